//! Gradients of a model: forward, loss and the way back of one sequence after another.
//!
//! Of a sequence the **input of every layer** is kept, `[L, D]` for each strand, and the **state at every border of
//! chunks**. Everything else is computed again on the way back, chunk after chunk. So memory grows with the residual
//! stream and not with the scan, and any chunk size gives the same gradients up to rounding.
//!
//! With a backend of [bf16](longstrand_kernels::backend::Precision::Bf16) the inputs are kept as bf16, in half the memory.
//! The residual stream itself is not rounded as it goes from layer to layer; each layer's norm rounds what it reads of it,
//! forward and back, so that the way back sees what forward saw and the gradients are those of the loss that was
//! computed, rounding taken for the identity.
//!
//! ```text
//! forward    layer after layer, strand after strand, chunk after chunk; inputs and border states are kept
//! head       chunk after chunk: norm, logits, loss and back; its gradient takes the place of the last stream
//! backward   layers from the last to the first; at each, every branch walks its chunks against its direction and
//!            carries the gradient of its state; in one chunk both branches go together and share their projections
//! embedding  what is left of the streams' gradients is added to the rows of the tokens
//! ```
//!
//! [`Gradients`] add up over sequences in the layout that the passes use; [`Gradients::fold`] gives them the layout of a
//! checkpoint's weights. Every result is the same bit for bit whatever the number of threads.

use std::ops::Range;

use longstrand_kernels::Backend;

pub use longstrand_kernels::cross_entropy::{IGNORED, Loss};

use crate::checkpoint::Weights;
use crate::config::Config;
use crate::encode::{Chunking, spans};
use crate::head::Score;
use crate::head::backward::LanguageHeadTransposed;
use crate::layer::backward::LayerTransposed;
use crate::model::Model;
use crate::strand::Arrangement;

mod classify;
mod context;
mod gradients;
mod kept;
mod language;
mod layers;
mod memory;
mod scratch;
mod stretch;

pub use classify::Classified;
pub use context::{Context, Course, WholeSequences};
pub use gradients::Gradients;
pub use language::Example;
#[cfg(feature = "cuda")]
pub(crate) use layers::WAY_BACK;
pub use memory::TrainMemory;
pub use scratch::TrainScratch;
pub(crate) use scratch::{Adjoints, BackwardPlace};

/// A model whose gradients can be computed: its weights ready for the way forward and for the way back.
///
/// It holds no optimizer's state. After a step make a new one from the new weights; that is little work beside the step.
#[derive(Debug)]
pub struct Trainee<B: Backend> {
    model: Model<B>,
    layers: Vec<LayerTransposed<B>>,
    head: Option<LanguageHeadTransposed<B>>,
    score: Option<Score>,
}

impl<B: Backend> Trainee<B> {
    /// Makes weights ready that follow their configuration.
    pub fn new(backend: B, config: &Config, weights: &Weights) -> Self {
        let layer =
            |(i, layer)| LayerTransposed::new(&backend, config, layer, Arrangement::of_layer(config, i).swapped);
        Self {
            layers: weights.layers.iter().enumerate().map(layer).collect(),
            head: LanguageHeadTransposed::new(&backend, config, weights),
            score: Score::of_strands(config, weights),
            model: Model::of_weights(backend, config.clone(), weights),
        }
    }

    /// The model itself, for passes without gradients.
    pub fn model(&self) -> &Model<B> {
        &self.model
    }

    /// Working memory for gradients of this model.
    pub fn scratch(&self) -> TrainScratch<B::Scalar> {
        TrainScratch::new(self.model.config(), self.model.backend.precision())
    }

    /// Positions that are worked on at a time in a sequence of `length`: at most `length`, and at least 1.
    pub fn chunk_positions(&self, chunking: Chunking, length: usize) -> usize {
        memory::chunk_positions::<B::Scalar>(self.model.config(), self.model.backend.precision(), chunking, length)
    }

    fn spans(&self, chunking: Chunking, length: usize) -> Vec<Range<usize>> {
        spans(length, self.chunk_positions(chunking, length))
    }
}
