//! A model made ready for a backend.

use longstrand_kernels::{Backend, embedding::complement_table};

use crate::checkpoint::{Checkpoint, Weights};
use crate::config::Config;
use crate::head::{Classifier, LanguageHead};
use crate::layer::{Layer, Norm};
use crate::mixer::convert;
use crate::scratch::{Place, Scratch};
use crate::strand::{Arrangement, strands};

/// A model whose weights are ready for backend `B`.
#[derive(Debug)]
pub struct Model<B: Backend> {
    pub(crate) backend: B,
    config: Config,
    pub(crate) layers: Vec<Layer<B>>,
    /// What each strand starts from, `[V, D]`.
    pub(crate) tables: Vec<Vec<B::Scalar>>,
    pub(crate) norm_f: Norm<B::Scalar>,
    pub(crate) language_head: Option<LanguageHead<B>>,
    pub(crate) classifier: Option<Classifier<B>>,
}

impl<B: Backend> Model<B> {
    /// Makes a checkpoint's weights ready: packs them, and permutes those of layers that see reversed channels.
    pub fn new(backend: B, checkpoint: &Checkpoint) -> Self {
        Self::of_weights(backend, checkpoint.config.clone(), &checkpoint.weights)
    }

    /// As [`Model::new`], of weights that follow their configuration.
    pub fn of_weights(backend: B, config: Config, weights: &Weights) -> Self {
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
        self.config.is_causal()
    }

    /// How much is reported to [`Observer::advanced`](crate::Observer::advanced), all in all, in a pass over `len`
    /// positions, however they are chunked.
    pub fn work(&self, len: u64) -> u64 {
        len * (self.config.n_layer * strands(self.config.rcps.as_ref())) as u64
    }

    /// Working memory for passes of this model.
    pub fn scratch(&self) -> Scratch<B::Scalar> {
        Scratch::new(&self.config)
    }

    /// Where chunks are computed.
    pub(crate) fn place<'a>(&'a self, scratch: &'a mut Scratch<B::Scalar>) -> Place<'a, B> {
        Place { backend: &self.backend, scratch }
    }

    /// Writes a strand's embedding of `ids`, `[L, D]`.
    pub(crate) fn embed(&self, strand: usize, ids: &[u8], residual: &mut [B::Scalar]) {
        self.backend.embedding(&self.tables[strand], ids, residual);
    }
}
