//! The Mamba DNA model family: configurations, checkpoints and streaming forward passes.

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod config;
mod crew;
#[cfg(feature = "cuda")]
pub mod cuda;
mod difference;
mod encode;
mod engine;
pub mod estimate;
mod head;
mod layer;
mod mixer;
mod model;
mod output;
mod pooling;
mod scratch;
mod strand;
mod stream;
mod token_file;
pub mod train;
mod watch;

pub use crew::{Crew, Lanes};
pub use difference::Difference;
pub use encode::Chunking;
#[cfg(feature = "cuda")]
pub use engine::Gpus;
pub use engine::{Engine, EngineError, Excess, Processor};
pub use model::Model;
pub use output::{Observer, Request, Tap};
pub use pooling::{Pooling, Reduction, Spans, VectorObserver};
pub use scratch::Scratch;
pub use stream::State;
pub use token_file::{TokenFile, TokenFileError};
pub use watch::{Meter, Unwatched, Watch};
