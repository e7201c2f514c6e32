//! A model made ready for a backend.

use std::ops::ControlFlow;

use longstrand_kernels::{Backend, Rows, embedding::complement_table};

use crate::checkpoint::Checkpoint;
use crate::config::{Config, Directions};
use crate::head::{Classifier, LanguageHead};
use crate::layer::{Layer, Norm};
use crate::mixer::convert;
use crate::scratch::Scratch;
use crate::strand::{Arrangement, strands};

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

/// A model whose weights are ready for backend `B`.
#[derive(Debug)]
pub struct Model<B: Backend> {
    pub(crate) backend: B,
    config: Config,
    pub(crate) layers: Vec<Layer<B>>,
    /// What each strand starts from, `[V, D]`.
    pub(crate) tables: Vec<Vec<B::Scalar>>,
    norm_f: Norm<B::Scalar>,
    language_head: Option<LanguageHead<B>>,
    pub(crate) classifier: Option<Classifier<B>>,
}

impl<B: Backend> Model<B> {
    /// Makes a checkpoint's weights ready: packs them, and permutes those of layers that see reversed channels.
    pub fn new(backend: B, checkpoint: &Checkpoint) -> Self {
        let (config, weights) = (checkpoint.config.clone(), &checkpoint.weights);
        let layers = weights
            .layers
            .iter()
            .enumerate()
            .map(|(i, layer)| Layer::new(&backend, &config, layer, Arrangement::of_layer(&config, i).swapped))
            .collect();
        let last = Arrangement::after_blocks(&config, config.n_layer);
        let mut tables = vec![convert(&weights.embedding)];
        if let Some(rcps) = &config.rcps {
            tables.push(complement_table(&tables[0], config.d_model, &rcps.complement_map));
        }
        Self {
            norm_f: Norm::new(config.norm, &weights.norm_f, last.swapped),
            language_head: LanguageHead::new(&backend, &config, weights),
            classifier: Classifier::new(&backend, &config, weights),
            layers,
            tables,
            backend,
            config,
        }
    }

    /// What the checkpoint's configuration says.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Channels of a hidden state: D, or 2 D for a model with RCPS, whose halves lie side by side as published.
    pub fn width(&self) -> usize {
        self.config.d_model * self.tables.len()
    }

    /// Whether every position depends on those before it alone, so that a sequence can be fed piece by piece.
    pub fn is_causal(&self) -> bool {
        self.config.directions == Directions::Causal && self.config.rcps.is_none()
    }

    /// How much is reported to [`Observer::advanced`] in a pass over `len` positions.
    pub fn work(&self, len: u64) -> u64 {
        len * (self.config.n_layer * strands(self.config.rcps.as_ref())) as u64
    }

    /// Working memory for passes of this model.
    pub fn scratch(&self) -> Scratch<B::Scalar> {
        Scratch::new(&self.config)
    }

    /// Writes each strand's embedding of `ids`, `[L, D]`.
    pub(crate) fn embed(&self, strand: usize, ids: &[u8], residual: &mut [B::Scalar]) {
        self.backend.embedding(&self.tables[strand], ids, residual);
    }

    /// Hands a chunk's residual streams after `blocks` blocks to the observer if the request asks for them.
    pub(crate) fn emit_block(
        &self,
        blocks: usize,
        start: u64,
        residuals: &[&[B::Scalar]],
        request: &Request<'_>,
        scratch: &mut Scratch<B::Scalar>,
        observer: &mut dyn Observer<B::Scalar>,
    ) {
        let tap = Tap::Block(blocks);
        if request.taps.contains(&tap) {
            let arrangement = Arrangement::after_blocks(&self.config, blocks);
            self.publish(tap, arrangement, start, residuals, &mut scratch.halves, observer);
        }
    }

    /// Norms a chunk's residual streams after the last block, and hands over what the request asks for.
    pub(crate) fn emit_last(
        &self,
        start: u64,
        residuals: &[&[B::Scalar]],
        request: &Request<'_>,
        scratch: &mut Scratch<B::Scalar>,
        observer: &mut dyn Observer<B::Scalar>,
    ) {
        let wants_hidden = request.taps.contains(&Tap::Last);
        let wants_logits = request.logits && self.language_head.is_some();
        if !wants_hidden && !wants_logits {
            return;
        }
        let rows = residuals[0].len() / self.config.d_model;
        for (residual, normed) in residuals.iter().zip(&mut scratch.mixed) {
            self.backend.norm(&self.norm_f.params(), residual, normed.get(rows));
        }
        let Scratch { mixed, halves, logits, .. } = scratch;
        let normed: Vec<&[B::Scalar]> = mixed.iter().take(residuals.len()).map(|half| half.filled(rows)).collect();
        let arrangement = Arrangement::after_blocks(&self.config, self.config.n_layer);
        if wants_hidden {
            self.publish(Tap::Last, arrangement, start, &normed, halves, observer);
        }
        if wants_logits && let Some(head) = &self.language_head {
            let normed: Vec<_> = normed.iter().map(|half| Rows::new(half, self.config.d_model)).collect();
            head.forward(&self.backend, &normed, logits.get(rows));
            observer.logits(start, logits.rows(rows));
        }
    }

    /// Hands rows over in the published form: the stream itself, or for RCPS slot a beside slot b.
    fn publish(
        &self,
        tap: Tap,
        arrangement: Arrangement,
        start: u64,
        strands: &[&[B::Scalar]],
        halves: &mut crate::scratch::Plane<B::Scalar>,
        observer: &mut dyn Observer<B::Scalar>,
    ) {
        let d = self.config.d_model;
        if let [stream] = strands {
            observer.hidden(tap, start, Rows::new(stream, d));
            return;
        }
        let rows = strands[0].len() / d;
        for (t, out) in halves.get(rows).chunks_exact_mut(2 * d).enumerate() {
            for (slot, strand) in arrangement.slots().into_iter().enumerate() {
                let half = &mut out[slot * d..][..d];
                half.copy_from_slice(&strands[strand][t * d..][..d]);
                if strand == 1 {
                    half.reverse();
                }
            }
        }
        observer.hidden(tap, start, halves.rows(rows));
    }
}
