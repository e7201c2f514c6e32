//! Runs: a model that is trained step by step, and survives being stopped.
//!
//! ```text
//! windows of (seed, step) ─ ranks ─ groups ─ gradients, added in a fixed order ─ norm ─ clip ─ AdamW ─ weights ─ next step
//!
//! run/
//! ├── config.toml       every setting
//! ├── run.json          the program, the inputs and their digests, the sizes
//! ├── metrics.jsonl     one line a step, one a validation
//! ├── checkpoints/      step-0000500/, …: the model, the optimizer's state, the digests of both
//! └── model/            the model at the end
//! ```
//!
//! What a step does depends on the weights, the optimizer's state and the step's number alone, and not on threads. A
//! checkpoint holds the three and is written whole or not at all. So a run that was stopped at any moment, by whatever, goes
//! on behind its newest checkpoint and ends with the bits of a run that was not. `metrics.jsonl` is cut back to the
//! checkpoint first.
//!
//! Several processes train one model as [ranks](crate::collectives): each works on its share of a step's windows, sums meet,
//! and all do the same update. Rank 0 alone writes, and gives the others what it begins with. What decides where a run goes
//! is known to all of them alike: settings, and numbers that were summed. Some that stand side by side may own each of their
//! windows together, every one a stretch of it ([`Context`](longstrand_model::train::Context)).

mod agreed;
mod division;
mod error;
mod estimate;
mod facts;
mod folder;
mod given;
#[cfg(feature = "cuda")]
mod gpu;
mod job;
mod metrics;
mod output;
mod plan;
mod processor;
mod run;
mod saved;
mod spike;
mod step;
mod stretches;
mod validation;
mod within;

pub use division::Division;
pub use error::{Flaw, TrainError};
pub use folder::RunFolder;
pub use job::{Pretraining, Trained};
pub use metrics::{MetricsLine, StepMetrics, Validation, ValidationMetrics, read_metrics};
pub use plan::{Plan, PlannedMemory};
pub use processor::TrainingProcessor;
pub use step::{Learner, StepGradients};
