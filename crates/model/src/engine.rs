//! A model on whatever computes it.
//!
//! A CPU passes each sequence by itself, on the threads that ask. A GPU does better to pass many at once, and those who ask
//! come one by one: so their calls are gathered (see `gather`), and each is answered on its own thread.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use longstrand_kernels::Cpu;
#[cfg(feature = "cuda")]
use longstrand_kernels::cuda::CudaError;

use crate::checkpoint::{Checkpoint, Weights};
use crate::config::Config;
use crate::crew::{Crew, Lanes};
#[cfg(feature = "cuda")]
use crate::cuda::CudaModel;
use crate::encode::Chunking;
#[cfg(feature = "cuda")]
use crate::encode::LONGEST_WINDOW;
#[cfg(feature = "cuda")]
use crate::head::Score;
use crate::model::Model;
use crate::output::{Observer, Request, Tap};
use crate::pooling::{Poolers, Pooling, VectorObserver};
use crate::scratch::Scratch;
use crate::strand::strands;
use crate::stream::State;

mod classify;
mod error;
#[cfg(feature = "cuda")]
mod gather;
mod processor;
mod room;

pub use error::EngineError;
#[cfg(feature = "cuda")]
use gather::{Gathering, Runner};
#[cfg(feature = "cuda")]
pub use processor::Gpus;
pub use processor::Processor;
pub use room::Excess;

/// The most lanes that wait for a GPU.
#[cfg(feature = "cuda")]
const MOST_LANES: usize = 512;

/// Lanes for each place in a pass.
#[cfg(feature = "cuda")]
const LANES_OF_A_PLACE: usize = gather::AT_ONCE + 1;

/// Positions that a causal model is fed at a time on a GPU.
#[cfg(feature = "cuda")]
const CUDA_CHUNK: usize = 1 << 16;

/// Hidden states are pooled on a GPU where there are so many positions for a vector, or more.
#[cfg(feature = "cuda")]
const POSITIONS_OF_A_VECTOR: usize = 8;

/// A model made ready for a [`Processor`]. It is asked from many threads at once.
#[derive(Debug)]
pub struct Engine(Kind);

#[derive(Debug)]
enum Kind {
    Cpu(Box<Model<Cpu>>),
    /// A model on each device, and the matrix of its classification head.
    #[cfg(feature = "cuda")]
    Cuda(Gathering<CudaModel>, Option<Box<Score>>),
}

impl Engine {
    /// Makes a checkpoint's weights ready.
    ///
    /// # Errors
    ///
    /// A device has no room for them, or cannot compute.
    pub fn new(processor: &Processor, checkpoint: &Checkpoint) -> Result<Self, EngineError> {
        Self::of_weights(processor, &checkpoint.config, &checkpoint.weights)
    }

    /// As [`Engine::new`], of weights that follow their configuration.
    ///
    /// # Errors
    ///
    /// As `new`.
    pub fn of_weights(processor: &Processor, config: &Config, weights: &Weights) -> Result<Self, EngineError> {
        Ok(Self(match processor {
            Processor::Cpu(level) => Kind::Cpu(Box::new(Model::of_weights(Cpu::new(*level), config.clone(), weights))),
            #[cfg(feature = "cuda")]
            Processor::Cuda(gpus) => {
                Kind::Cuda(Gathering::new(gpus.models(config, weights)?), Score::new(config, weights).map(Box::new))
            }
        }))
    }

    /// A model on the CPU, whatever the backend's precision.
    pub fn cpu(backend: Cpu, checkpoint: &Checkpoint) -> Self {
        Self(Kind::Cpu(Box::new(Model::new(backend, checkpoint))))
    }

    /// What the checkpoint's configuration says.
    pub fn config(&self) -> &Config {
        match &self.0 {
            Kind::Cpu(model) => model.config(),
            #[cfg(feature = "cuda")]
            Kind::Cuda(models, _) => models.first().config(),
        }
    }

    /// As [`Model::width`].
    pub fn width(&self) -> usize {
        self.config().d_model * strands(self.config().rcps.as_ref())
    }

    /// As [`Model::is_causal`].
    pub fn is_causal(&self) -> bool {
        self.config().is_causal()
    }

    /// As [`Model::work`].
    pub fn work(&self, len: u64) -> u64 {
        len * (self.config().n_layer * strands(self.config().rcps.as_ref())) as u64
    }

    /// Working memory for passes of this model; on a GPU it stays empty.
    pub fn scratch(&self) -> Scratch<f32> {
        Scratch::new(self.config())
    }

    /// As [`Model::encode`]. It breaks, too, where a device has failed: see [`failure`](Self::failure).
    ///
    /// A GPU takes no heed of the chunking. It hands over what it gives of a sequence when the sequences that it passes
    /// together are through, unless it passes one alone.
    pub fn encode(
        &self,
        ids: &[u8],
        chunking: Chunking,
        request: &Request<'_>,
        scratch: &mut Scratch<f32>,
        observer: &mut dyn Observer<f32>,
    ) -> ControlFlow<()> {
        match &self.0 {
            Kind::Cpu(model) => model.encode(ids, chunking, request, scratch, observer),
            #[cfg(feature = "cuda")]
            Kind::Cuda(models, _) => models.encode(ids, request, observer),
        }
    }

    /// As [`encode`](Self::encode), of which hidden states at `taps` are pooled: on a GPU before they leave it, where there
    /// are eight positions for a vector or more.
    pub fn pool(
        &self,
        ids: &[u8],
        chunking: Chunking,
        taps: &[Tap],
        pooling: &Pooling,
        scratch: &mut Scratch<f32>,
        observer: &mut dyn VectorObserver,
    ) -> ControlFlow<()> {
        #[cfg(feature = "cuda")]
        if let (Kind::Cuda(models, _), true) = (&self.0, pooling.spans.len() * POSITIONS_OF_A_VECTOR <= ids.len()) {
            return models.pool(ids, taps, pooling, observer);
        }
        let request = Request { taps, logits: false };
        self.encode(ids, chunking, &request, scratch, &mut Poolers::new(taps, pooling, self.width(), observer))
    }

    /// As [`Model::feed`]; as [`encode`](Self::encode) where a device has failed, after which the state is of no use.
    pub fn feed(
        &self,
        state: &mut State<f32>,
        ids: &[u8],
        request: &Request<'_>,
        scratch: &mut Scratch<f32>,
        observer: &mut dyn Observer<f32>,
    ) -> ControlFlow<()> {
        match &self.0 {
            Kind::Cpu(model) => model.feed(state, ids, request, scratch, observer),
            #[cfg(feature = "cuda")]
            Kind::Cuda(models, _) => models.feed(state, ids, request, observer),
        }
    }

    /// As [`Model::initial_state`].
    pub fn initial_state(&self) -> Option<State<f32>> {
        match &self.0 {
            Kind::Cpu(model) => model.initial_state(),
            #[cfg(feature = "cuda")]
            Kind::Cuda(models, _) => models.first().initial_state(),
        }
    }

    /// Positions that a causal model is best fed at a time, of so many: at least 1.
    pub fn chunk_positions(&self, chunking: Chunking, length: usize) -> usize {
        match &self.0 {
            Kind::Cpu(model) => model.chunk_positions(chunking, length),
            #[cfg(feature = "cuda")]
            Kind::Cuda(..) => length.clamp(1, CUDA_CHUNK),
        }
    }

    /// Why passes break, where it is a device that has failed.
    pub fn failure(&self) -> Option<EngineError> {
        match &self.0 {
            Kind::Cpu(_) => None,
            #[cfg(feature = "cuda")]
            Kind::Cuda(models, _) => models.failure(),
        }
    }

    /// Whether calls of several threads are passed together.
    pub fn gathers(&self) -> bool {
        match &self.0 {
            Kind::Cpu(_) => false,
            #[cfg(feature = "cuda")]
            Kind::Cuda(..) => true,
        }
    }

    /// Whether a sequence of this length keeps all that computes busy by itself.
    pub fn is_filled_by(&self, length: usize) -> bool {
        match &self.0 {
            Kind::Cpu(_) => length >= Crew::<()>::LONG,
            #[cfg(feature = "cuda")]
            Kind::Cuda(models, _) => models.at_once(length) == 1,
        }
    }

    /// How so many sequences of about this length are best divided among threads, of which there are so many to compute
    /// with: by all together where one keeps them busy or there are fewer than threads, else side by side.
    ///
    /// On GPUs it is three times as many as all of them pass at once, whatever the threads: while some are passed and the next
    /// ones are sent, others take what they were given.
    pub fn lanes(&self, length: usize, sequences: usize, threads: NonZeroUsize) -> Lanes {
        if self.is_filled_by(length) {
            return Lanes::Together;
        }
        match &self.0 {
            Kind::Cpu(_) if sequences < threads.get() => Lanes::Together,
            Kind::Cpu(_) => Lanes::SideBySide(threads),
            #[cfg(feature = "cuda")]
            Kind::Cuda(models, _) => {
                let places = models.at_once(length);
                // A window that fills its GPU is passed there alone: memory was reckoned so.
                let lanes_of_a_place = if places == models.each().count() { 1 } else { LANES_OF_A_PLACE };
                let lanes = places.saturating_mul(lanes_of_a_place).min(MOST_LANES);
                Lanes::SideBySide(NonZeroUsize::new(lanes).unwrap_or(NonZeroUsize::MIN))
            }
        }
    }
}

#[cfg(feature = "cuda")]
impl Runner for CudaModel {
    fn batch(&self, length: usize) -> usize {
        self.batch(length.min(LONGEST_WINDOW as usize)).min(MOST_LANES / LANES_OF_A_PLACE)
    }

    fn encode(&self, sequences: &[&[u8]], request: &Request<'_>, take: gather::Take<'_>) -> gather::Passed {
        self.encode(sequences, request, take).map_err(|error| failed(self, error))
    }

    fn pool(&self, sequences: &[&[u8]], taps: &[Tap], poolings: &[Pooling], take: gather::Take<'_>) -> gather::Passed {
        self.pool(sequences, taps, poolings, take).map_err(|error| failed(self, error))
    }

    fn feed(
        &self,
        states: &mut [&mut State<f32>],
        sequences: &[&[u8]],
        request: &Request<'_>,
        take: gather::Take<'_>,
    ) -> gather::Passed {
        self.feed(states, sequences, request, take).map_err(|error| failed(self, error))
    }
}

#[cfg(feature = "cuda")]
fn failed(model: &CudaModel, error: CudaError) -> EngineError {
    EngineError::of(model.device(), &error)
}
