//! What a pass hands over.

use std::ops::ControlFlow;
use std::sync::Arc;

use longstrand_kernels::cuda::{Buffer, CudaError, Real, View};
use longstrand_kernels::linear::cuda::{Matrix, MatrixMut};
use longstrand_kernels::{Write, norm};

use super::Piece;
use super::executor::Executor;
use super::host::{Lent, SharedRows};
use super::layout::Layout;
use super::pool::Pools;
use super::weights::Head;
use crate::output::{Request, Tap};
use crate::pooling::Pooling;
use crate::strand::Arrangement;

/// Takes pieces of what is computed of a sequence, by its place among those that are passed together.
pub(super) type Take<'a> = &'a mut dyn FnMut(usize, Piece) -> ControlFlow<()>;

/// What is asked for and who takes it.
pub(super) struct Output<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) take: Take<'a>,
    /// Absolute position of the first base of each sequence.
    pub(super) starts: Vec<u64>,
    /// What becomes of hidden states that are not handed over as they are.
    pub(super) pools: Option<Pools<'a>>,
    /// Whether a taker has had enough.
    pub(super) flow: ControlFlow<()>,
}

impl<'a> Output<'a> {
    pub(super) fn new(request: &'a Request<'a>, take: Take<'a>, starts: Vec<u64>) -> Self {
        Self { request, take, starts, pools: None, flow: ControlFlow::Continue(()) }
    }

    /// The same, with hidden states pooled as each sequence's own pooling says.
    pub(super) fn pooled(self, poolings: &'a [Pooling]) -> Self {
        Self { pools: Some(Pools::new(poolings)), ..self }
    }

    /// So much of the work on each sequence has been asked for; breaks where a taker has had enough.
    pub(super) fn advanced(&mut self, work: usize) -> ControlFlow<()> {
        (0..self.starts.len()).for_each(|i| self.give(i, Piece::Advanced(work as u64)));
        self.flow
    }

    pub(super) fn give(&mut self, sequence: usize, piece: Piece) {
        if self.flow.is_continue() {
            self.flow = (self.take)(sequence, piece);
        }
    }
}

/// A chunk of all strands of some sequences, between two layers or behind the last.
pub(super) struct Streams<'a> {
    /// Position of the first column in its sequence.
    pub(super) start: usize,
    /// Of one strand.
    pub(super) layout: Layout,
    /// `[used columns, D]` of each strand.
    pub(super) strands: Vec<View<'a, f32>>,
}

impl<'a> Streams<'a> {
    pub(super) fn new(start: usize, layout: Layout, strands: impl IntoIterator<Item = View<'a, f32>>) -> Self {
        Self { start, layout, strands: strands.into_iter().collect() }
    }
}

impl<T: Real> Executor<T> {
    /// Hands over the residual streams that have come to `tap`, as far as they are asked for.
    pub(super) fn emit(&self, tap: Tap, streams: &Streams<'_>, output: &mut Output<'_>) -> Result<(), CudaError> {
        let is_wanted = output.request.taps.contains(&tap);
        if tap != Tap::Last {
            return if is_wanted { self.publish(tap, streams, output) } else { Ok(()) };
        }
        if is_wanted {
            let normed: Vec<Buffer<f32>> = self.normed(streams)?;
            let strands = normed.iter().map(Buffer::view);
            self.publish(tap, &Streams::new(streams.start, streams.layout, strands), output)?;
        }
        match &self.weights.head {
            Some(head) if output.request.logits => self.emit_logits(head, streams, output),
            _ => Ok(()),
        }
    }

    /// The final norm's output of each strand, `[used columns, D]`.
    pub(super) fn normed<U: Real>(&self, streams: &Streams<'_>) -> Result<Vec<Buffer<U>>, CudaError> {
        let of_strand = |stream: &View<'_, f32>| {
            let mut out = self.device.buffer::<U>(stream.len())?;
            let input = norm::cuda::Input::<U, f32>::Stream(*stream);
            norm::cuda::forward(&self.weights.norm_f.params(), input, out.view_mut())?;
            Ok(out)
        };
        streams.strands.iter().map(of_strand).collect()
    }

    fn emit_logits(&self, head: &Head<T>, streams: &Streams<'_>, output: &mut Output<'_>) -> Result<(), CudaError> {
        let Layout { sequences, len, stride } = streams.layout;
        let width = self.config.vocab_size;
        let normed: Vec<Buffer<T>> = self.normed(streams)?;
        let logits = self.logits(head, &normed, streams.layout.used())?;
        let mut host = self.host.lend(logits.len());
        logits.view().read(host.first(logits.len()))?;
        let host = Arc::new(host);
        for i in 0..sequences {
            let rows = SharedRows::part(&host, i * stride * width, len * width, width);
            let start = output.starts[i] + streams.start as u64;
            output.give(i, Piece::Logits { start, rows });
        }
        Ok(())
    }

    /// Logits, `[rows, V]`, of the strands' final hidden states, `[rows, D]` each.
    pub(super) fn logits(&self, head: &Head<T>, normed: &[Buffer<T>], rows: usize) -> Result<Buffer<f32>, CudaError> {
        let (d, width) = (self.config.d_model, self.config.vocab_size);
        let mut logits = self.device.buffer::<f32>(rows * width)?;
        for (slot, table) in head.tables.iter().enumerate() {
            let hidden = Matrix::new(normed[head.slots[slot]].view(), rows, d, d);
            let table = Matrix::new(table.view(), width, d, d).transposed();
            let write = if slot == 0 { Write::Set } else { Write::Add };
            self.how.rows(hidden, table, MatrixMut::new(logits.view_mut(), rows, width, width), write)?;
        }
        Ok(logits)
    }

    /// Hands rows over in the published form, or what they are pooled to.
    fn publish(&self, tap: Tap, streams: &Streams<'_>, output: &mut Output<'_>) -> Result<(), CudaError> {
        if output.pools.is_some() {
            return self.publish_vectors(tap, streams, output);
        }
        let (d, Layout { sequences, len, stride }) = (self.config.d_model, streams.layout);
        let width = d * streams.strands.len();
        let host = self.fetch(tap, &streams.strands)?;
        for i in 0..sequences {
            let rows = SharedRows::part(&host, i * stride * width, len * width, width);
            let start = output.starts[i] + streams.start as u64;
            output.give(i, Piece::Hidden { tap, start, rows });
        }
        Ok(())
    }

    /// Rows of all strands, `[rows, D]` each, in the published form: the stream itself, or for RCPS slot a beside slot b.
    pub(super) fn fetch(&self, tap: Tap, strands: &[View<'_, f32>]) -> Result<Arc<Lent>, CudaError> {
        let size = strands[0].len();
        let read = |stream: &View<'_, f32>| {
            let mut host = self.host.lend(size);
            stream.read(host.first(size))?;
            Ok(host)
        };
        let mut strands = strands.iter().map(read).collect::<Result<Vec<Lent>, CudaError>>()?;
        Ok(Arc::new(match strands.len() {
            1 => strands.swap_remove(0),
            _ => self.beside(self.arrangement(tap).slots(), &strands, size),
        }))
    }

    /// The strands in the two slots beside each other, `[rows, 2 D]`.
    fn beside(&self, slots: [usize; 2], strands: &[Lent], size: usize) -> Lent {
        let d = self.config.d_model;
        let mut both = self.host.lend(2 * size);
        for (slot, strand) in slots.into_iter().enumerate() {
            let rows = strands[strand].filled(size).chunks_exact(d);
            for (out, row) in both.first(2 * size).chunks_exact_mut(2 * d).zip(rows) {
                let half = &mut out[slot * d..(slot + 1) * d];
                half.copy_from_slice(row);
                if strand == 1 {
                    half.reverse();
                }
            }
        }
        both
    }

    /// How the strands stand at a tap.
    fn arrangement(&self, tap: Tap) -> Arrangement {
        let blocks = match tap {
            Tap::Block(blocks) => blocks,
            Tap::Last => self.config.n_layer,
        };
        Arrangement::after_blocks(&self.config, blocks)
    }
}
