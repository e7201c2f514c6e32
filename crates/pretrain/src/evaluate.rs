//! How well a model predicts the bases of sequences that it was not trained on.
//!
//! With p the softmax of the logits over the model's whole vocabulary, padding included, the loss of a target is −ln p(target), in
//! nats. The losses of a class of targets have their mean, the *loss*; its exponential is the *perplexity*; a target
//! counts as *correct* where no other token has a larger logit.
//!
//! | class | targets |
//! |---|---|
//! | all | every one |
//! | masked, visible | of a masked language model: those where the model sees `[MASK]`, and those where it sees a base or a random token |
//! | A, C, G, T | those that are this base |
//!
//! Sums are in f64 and in the order of the windows, so that they do not depend on threads.

mod curve;
mod error;
mod job;
mod judges;
mod tally;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use longstrand_kernels::Rows;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::config::Head;
use longstrand_model::{Chunking, Crew, Engine, EngineError, Lanes, Meter, Observer, Request, Scratch, Tap, Watch};
use rayon::ThreadPoolBuildError;

pub use curve::{Curve, Stretch};
pub use error::EvaluateError;
pub use job::{Evaluation, Input, Measured, WindowsOf};
pub use tally::{Class, Tally, Total};

use crate::objective::{Batch, IGNORED};

/// Positions that are worked on together at least.
const BATCH: usize = 1 << 17;

/// Windows that are worked on together for each lane of a GPU: enough that no lane waits long for the others.
const WINDOWS_PER_LANE: usize = 32;

/// A model that is asked to predict.
pub(crate) struct Evaluator {
    model: Engine,
    crew: Crew<Scratch<f32>>,
    mask_id: Option<u8>,
    bases: [u8; 4],
}

/// Why an evaluation ended early.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The watch stopped it.
    Cancelled,
    /// A device computes nothing, or nothing more.
    Failed(EngineError),
    /// The system does not give threads.
    Threads(ThreadPoolBuildError),
}

impl From<ThreadPoolBuildError> for Halt {
    fn from(error: ThreadPoolBuildError) -> Self {
        Self::Threads(error)
    }
}

impl Evaluator {
    /// Has a checkpoint's model predict; `None` if it has no language-model head.
    pub(crate) fn new(model: Engine, checkpoint: &Checkpoint, threads: NonZeroUsize) -> Option<Self> {
        let vocabulary = &checkpoint.vocabulary;
        let mask_id = vocabulary.mask().filter(|_| !model.is_causal());
        let crew = Crew::new(threads, model.scratch());
        matches!(checkpoint.config.head, Head::LanguageModel { .. }).then(|| Self {
            crew,
            mask_id,
            bases: vocabulary.bases(),
            model,
        })
    }

    /// Positions of windows of a length that are best worked on together.
    pub(crate) fn batch(&self, length: usize) -> usize {
        let filling = match self.model.lanes(length, usize::MAX, self.crew.threads()) {
            Lanes::SideBySide(lanes) if self.model.gathers() => lanes.get() * WINDOWS_PER_LANE * length,
            _ => 0,
        };
        filling.max(BATCH)
    }

    /// Adds what the model makes of a batch.
    ///
    /// # Errors
    ///
    /// - the watch stops the run, a device fails, or there are no threads
    pub(crate) fn add(&mut self, batch: &Batch, tally: &mut Tally, watch: &dyn Watch) -> Result<(), Halt> {
        let Self { model, crew, mask_id, bases } = self;
        let rows: Vec<Row<'_>> = batch
            .ids
            .chunks_exact(batch.length)
            .zip(batch.labels.chunks_exact(batch.length))
            .map(|(ids, labels)| Row { ids, labels })
            .collect();
        let tallies: Vec<Mutex<Tally>> = rows.iter().map(|_| Mutex::default()).collect();
        let work = |(place, row): (usize, Row<'_>), scratch: &mut Scratch<f32>| {
            let mut judge = Judge {
                row,
                mask_id: *mask_id,
                bases: *bases,
                tally: Tally::default(),
                meter: Meter::new(watch, row.ids.len() as u64, model.work(row.ids.len() as u64)),
            };
            let request = Request { taps: &[], logits: true };
            if model.encode(row.ids, Chunking::Auto, &request, scratch, &mut judge).is_break() {
                return Err(model.failure().map_or(Halt::Cancelled, Halt::Failed));
            }
            *tallies[place].lock().unwrap_or_else(PoisonError::into_inner) = judge.tally;
            Ok(())
        };
        let jobs: Vec<(usize, Row<'_>)> = rows.into_iter().enumerate().collect();
        crew.run(model.lanes(batch.length, jobs.len(), crew.threads()), jobs, work)?;
        for of_row in tallies {
            tally.add(&of_row.into_inner().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(())
    }
}

/// A window, `[L]` each.
#[derive(Clone, Copy)]
struct Row<'a> {
    ids: &'a [u8],
    labels: &'a [u8],
}

/// Compares logits with targets.
struct Judge<'a> {
    row: Row<'a>,
    mask_id: Option<u8>,
    bases: [u8; 4],
    tally: Tally,
    meter: Meter<'a>,
}

impl Observer<f32> for Judge<'_> {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, f32>) {}

    fn logits(&mut self, start: u64, rows: Rows<'_, f32>) {
        let first = usize::try_from(start).expect("a window fits in memory");
        for t in 0..rows.len() {
            let (id, label) = (self.row.ids[first + t], self.row.labels[first + t]);
            if label == IGNORED {
                continue;
            }
            let logits = rows.row(t);
            let loss = log_sum_exp(logits) - f64::from(logits[usize::from(label)]);
            let correct = logits.iter().all(|&logit| logit <= logits[usize::from(label)]);
            let base = self.bases.iter().position(|&base| base == label);
            let sees_mask = self.mask_id.map(|mask| mask == id);
            self.tally.count((first + t) as u64, base, sees_mask, loss, correct);
        }
    }

    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        self.meter.advance(work)
    }
}

/// log Σ exp(x), in f64.
fn log_sum_exp(row: &[f32]) -> f64 {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    largest + row.iter().map(|&x| (f64::from(x) - largest).exp()).sum::<f64>().ln()
}
