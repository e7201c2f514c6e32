//! Models on NVIDIA GPUs.
//!
//! The same passes as on a CPU, of several sequences at once. Between layers lies the residual stream, `[positions, D]` in f32;
//! inside a mixer positions are contiguous, `[channels, positions]`, so that a convolution and a scan read whole lines, and
//! the positions of all sequences and of both strands of a model with RCPS are the columns of one matrix: a projection is
//! one product however many there are. Matrices and what passes between them are f32 or bf16 ([`Arithmetic`]); sums, scans,
//! norms and the residual stream are f32.
//!
//! A chunk holds as many columns as its working memory has room for. Sequences that fit go through in one, as many at a time
//! as there is room for. A longer one goes chunk after chunk: a causal model carries its state, and of a bidirectional one a
//! layer runs the branch against the main one first, keeps its output, `[I, L]`, and adds it chunk by chunk to the other's.

mod arithmetics;
mod executor;
mod generator;
mod host;
mod layer;
mod layout;
mod mixer;
mod output;
mod pool;
mod state;
#[cfg(test)]
mod tests;
mod train;
mod weights;
mod workspace;

use std::ops::ControlFlow;

use half::bf16;
use longstrand_kernels::cuda::{CudaError, Device};
use longstrand_kernels::linear::cuda::SinglePrecision;

use crate::checkpoint::{Checkpoint, Weights};
use crate::config::Config;
use crate::output::{Request, Tap};
use crate::pooling::Pooling;
use crate::stream::State;
use executor::Executor;
pub use generator::{CudaGenerator, NOT_FINITE};
pub use host::SharedRows;
pub(crate) use mixer::{check, check_training};
pub use train::{CudaTrainee, Room};

/// How a model computes on a GPU.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Arithmetic {
    /// All in f32.
    #[default]
    Single,
    /// Products of f32 with operands rounded to TF32, the rest as in f32.
    Tf32,
    /// Matrices and what passes between them are bf16.
    Bf16,
}

impl Arithmetic {
    /// How f32 is multiplied.
    fn single(self) -> SinglePrecision {
        if self == Self::Tf32 { SinglePrecision::Tf32 } else { SinglePrecision::Full }
    }
}

/// A piece of what is computed of a sequence.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Hidden states, as an [`Observer`](crate::Observer) is given them.
    Hidden {
        /// Where they were read.
        tap: Tap,
        /// Absolute position of the first row.
        start: u64,
        /// `[L, width]`
        rows: SharedRows,
    },
    /// Vectors of spans, as a [`VectorObserver`](crate::VectorObserver) is given them.
    Vectors {
        /// Where hidden states were read.
        tap: Tap,
        /// Index of the first span.
        first: usize,
        /// `[spans, width]`
        rows: SharedRows,
    },
    /// Logits.
    Logits {
        /// Absolute position of the first row.
        start: u64,
        /// `[L, V]`
        rows: SharedRows,
    },
    /// So much of [`Model::work`](crate::Model::work) on this sequence has been asked for.
    Advanced(u64),
}

/// A model whose weights are on a GPU.
///
/// It has one stream: calls from several threads take turns.
#[derive(Debug)]
pub struct CudaModel {
    executor: Kind,
}

#[derive(Debug)]
enum Kind {
    Single(Executor<f32>),
    Bf16(Executor<bf16>),
}

/// Does the same with the executor of either type.
macro_rules! with {
    ($kind:expr, $executor:ident => $do:expr) => {
        match $kind {
            Kind::Single($executor) => $do,
            Kind::Bf16($executor) => $do,
        }
    };
}

impl CudaModel {
    /// Brings a checkpoint's weights to a device.
    ///
    /// # Errors
    ///
    /// - there is no code for the model on a GPU
    /// - the device has not enough memory, or the driver refuses
    pub fn new(device: Device, arithmetic: Arithmetic, checkpoint: &Checkpoint) -> Result<Self, CudaError> {
        Self::of_weights(device, arithmetic, checkpoint.config.clone(), &checkpoint.weights)
    }

    /// As [`CudaModel::new`], of weights that follow their configuration.
    ///
    /// # Errors
    ///
    /// As `new`.
    pub fn of_weights(
        device: Device,
        arithmetic: Arithmetic,
        config: Config,
        weights: &Weights,
    ) -> Result<Self, CudaError> {
        let single = arithmetic.single();
        let executor = match arithmetic {
            Arithmetic::Single | Arithmetic::Tf32 => Kind::Single(Executor::new(device, config, weights, single)?),
            Arithmetic::Bf16 => Kind::Bf16(Executor::new(device, config, weights, single)?),
        };
        Ok(Self { executor })
    }

    /// What the checkpoint's configuration says.
    pub fn config(&self) -> &Config {
        with!(&self.executor, executor => &executor.config)
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        with!(&self.executor, executor => &executor.device)
    }

    /// How many sequences of a length are best passed together: at least one.
    pub fn batch(&self, length: usize) -> usize {
        with!(&self.executor, executor => executor.sequences_of(length)).max(1)
    }

    /// Bytes of the device's memory that a pass over one sequence takes, the weights aside.
    pub fn pass_bytes(&self, length: usize) -> u64 {
        with!(&self.executor, executor => executor.pass_bytes(length))
    }

    /// Passes sequences of one length through the model, and hands what `request` asks for to `take`, each sequence by its
    /// place: pieces of a sequence come in the order of positions at each tap. `take` may break the pass off.
    ///
    /// # Errors
    ///
    /// The device has not enough memory, or the driver refuses.
    ///
    /// # Panics
    ///
    /// Panics if lengths differ or an id is not in the vocabulary.
    pub fn encode(
        &self,
        sequences: &[&[u8]],
        request: &Request<'_>,
        take: &mut dyn FnMut(usize, Piece) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, CudaError> {
        with!(&self.executor, executor => executor.encode(sequences, request, take))
    }

    /// As [`encode`](Self::encode), where of each sequence's hidden states at `taps` only the pooled vectors are handed over, as
    /// its own pooling says.
    ///
    /// # Errors
    ///
    /// As `encode`.
    ///
    /// # Panics
    ///
    /// As `encode`, and if there is not a pooling for each sequence or they are not of one reduction.
    pub fn pool(
        &self,
        sequences: &[&[u8]],
        taps: &[Tap],
        poolings: &[Pooling],
        take: &mut dyn FnMut(usize, Piece) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, CudaError> {
        with!(&self.executor, executor => executor.pool(sequences, taps, poolings, take))
    }

    /// The state before the first position, or `None` for a model that is not causal.
    pub fn initial_state(&self) -> Option<State<f32>> {
        with!(&self.executor, executor => executor.initial_state())
    }

    /// Feeds the next positions of sequences, of one length, to a causal model and advances their states past them; otherwise
    /// as [`encode`](Self::encode).
    ///
    /// # Errors
    ///
    /// As `encode`.
    ///
    /// # Panics
    ///
    /// As `encode`, and if a state has not the sizes of this model's or there is not one for each sequence.
    pub fn feed(
        &self,
        states: &mut [&mut State<f32>],
        sequences: &[&[u8]],
        request: &Request<'_>,
        take: &mut dyn FnMut(usize, Piece) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, CudaError> {
        with!(&self.executor, executor => executor.feed(states, sequences, request, take))
    }
}
