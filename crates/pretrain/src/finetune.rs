//! Fine-tuning: a head on a model's pooled hidden states that tells classes apart or gives a value.
//!
//! ```text
//! table ─ Examples ─┬─ hidden states, once ─ pooled [n, D] ─ head alone ──────────┬─ best epoch ─ measures, predictions
//!                   └─ all parameters, starting from the head that was so fitted ─┘
//! ```
//!
//! The final hidden states are averaged over positions and multiplied by `score`, `[outputs, D]`, without a bias, as in
//! Caduceus' `CaduceusForSequenceClassification`. The two strands are used as published:
//!
//! | model | training | prediction |
//! |---|---|---|
//! | reverse-complement equivariant (PS) | both strands are in the model | the same |
//! | any other (Ph) | the head alone: the mean of both strands' logits; all parameters: a strand drawn anew for each sequence and epoch | the mean of both strands' logits |
//!
//! | labels | outputs | loss |
//! |---|---|---|
//! | classes | one logit each | cross-entropy, weighted by class on demand |
//! | values | one, in units of the training values' standard deviation from their mean | squared error |
//!
//! After every epoch the validation part is predicted, and the parameters of the epoch with its smallest loss are kept. A
//! batch is split into groups that depend on the batch alone; groups are computed side by side and added in their order,
//! so that the bits do not depend on threads.

mod apply;
mod data;
mod deal;
mod error;
mod full;
mod head;
mod job;
mod lanes;
mod measures;
mod plan;
mod predict;
mod settings;
mod task;

pub use apply::Application;
pub use error::FineTuneError;
pub use job::{Epoch, FineTuned, Measured};
pub use measures::Measures;
pub use plan::TuningPlan;
pub use predict::{Prediction, Recipe};
pub use settings::{FineTuning, Input, Method, Optimization, Strands};
pub use task::{ClassWeights, Task, TaskKind};
