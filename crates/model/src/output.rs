//! What a pass is asked for, and how it is handed over.

use std::ops::ControlFlow;

use longstrand_kernels::{Backend, Rows};

use crate::model::Model;
use crate::scratch::{Plane, Scratch};
use crate::strand::Arrangement;

/// Where hidden states are read.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Tap {
    /// The residual stream after this many blocks; 0 is the embedding.
    Block(usize),
    /// The output of the final norm, which is what the head reads.
    Last,
}

/// What a pass is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Where to read hidden states.
    pub taps: &'a [Tap],
    /// Whether to compute the language-model head.
    pub logits: bool,
}

/// Receives what a pass computes.
pub trait Observer<S> {
    /// Hidden states at `tap` of the positions from `start` on, `[L, width]`; see [`Model::width`]. Positions come in
    /// order at each tap.
    fn hidden(&mut self, tap: Tap, start: u64, rows: Rows<'_, S>);

    /// Logits of the positions from `start` on, `[L, V]`, in the order of positions.
    fn logits(&mut self, start: u64, rows: Rows<'_, S>) {
        let _ = (start, rows);
    }

    /// Some of [`Model::work`] has been done; breaking ends the pass.
    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        let _ = work;
        ControlFlow::Continue(())
    }
}

/// A pass that is under way: what it was asked for, what it works in, and who receives what it computes.
pub(crate) struct Pass<'a, S> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) scratch: &'a mut Scratch<S>,
    pub(crate) observer: &'a mut dyn Observer<S>,
}

/// A chunk of all strands, between two layers or behind the final norm.
#[derive(Clone, Copy)]
pub(crate) struct Streams<'a, S> {
    /// Absolute position of the first row, 0-based.
    pub(crate) start: u64,
    /// `[L, D]` of each strand.
    pub(crate) strands: &'a [&'a [S]],
}

impl<B: Backend> Model<B> {
    /// Hands over the residual streams that have come to `tap`, as far as they are asked for.
    pub(crate) fn emit(&self, tap: Tap, streams: Streams<'_, B::Scalar>, pass: &mut Pass<'_, B::Scalar>) {
        match tap {
            Tap::Last => self.emit_last(streams, pass),
            Tap::Block(_) if pass.request.taps.contains(&tap) => {
                self.publish(tap, streams, &mut pass.scratch.halves, pass.observer);
            }
            Tap::Block(_) => {}
        }
    }

    /// Norms the residual streams behind the last block, and hands over hidden states and logits.
    fn emit_last(&self, streams: Streams<'_, B::Scalar>, pass: &mut Pass<'_, B::Scalar>) {
        let Pass { request, scratch, observer } = pass;
        let wants_hidden = request.taps.contains(&Tap::Last);
        let head = self.language_head.as_ref().filter(|_| request.logits);
        if !wants_hidden && head.is_none() {
            return;
        }
        let d = self.config().d_model;
        let rows = streams.strands[0].len() / d;
        let Scratch { mixed, halves, logits, .. } = &mut **scratch;
        for (residual, normed) in streams.strands.iter().zip(&mut *mixed) {
            self.backend.norm(&self.norm_f.params(), residual, normed.get(rows));
        }
        let normed: Vec<&[B::Scalar]> =
            mixed.iter().take(streams.strands.len()).map(|half| half.filled(rows)).collect();
        if wants_hidden {
            self.publish(Tap::Last, Streams { strands: &normed, ..streams }, halves, &mut **observer);
        }
        if let Some(head) = head {
            let normed: Vec<_> = normed.iter().map(|half| Rows::new(half, d)).collect();
            head.forward(&self.backend, &normed, logits.get(rows));
            observer.logits(streams.start, logits.rows(rows));
        }
    }

    /// Hands rows over in the published form: the stream itself, or for RCPS slot a beside slot b.
    fn publish(
        &self,
        tap: Tap,
        streams: Streams<'_, B::Scalar>,
        halves: &mut Plane<B::Scalar>,
        observer: &mut dyn Observer<B::Scalar>,
    ) {
        let d = self.config().d_model;
        let Streams { start, strands } = streams;
        if let [stream] = strands {
            observer.hidden(tap, start, Rows::new(stream, d));
            return;
        }
        let slots = self.arrangement(tap).slots();
        let rows = strands[0].len() / d;
        for (t, out) in halves.get(rows).chunks_exact_mut(2 * d).enumerate() {
            for (half, strand) in out.chunks_exact_mut(d).zip(slots) {
                half.copy_from_slice(&strands[strand][t * d..][..d]);
                if strand == 1 {
                    half.reverse();
                }
            }
        }
        observer.hidden(tap, start, halves.rows(rows));
    }

    /// How the strands stand at a tap.
    fn arrangement(&self, tap: Tap) -> Arrangement {
        let blocks = match tap {
            Tap::Block(blocks) => blocks,
            Tap::Last => self.config().n_layer,
        };
        Arrangement::after_blocks(self.config(), blocks)
    }
}
