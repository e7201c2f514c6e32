//! What rank 0 writes: measures, checkpoints, the model, the report.

use std::path::PathBuf;

use longstrand_model::checkpoint::{Existing, NewFolder};

use super::{
    MetricsLine, TrainError, ValidationMetrics, folder::RunFolder, metrics::MetricsFile, saved, spike::RunningLoss,
    step::Learner,
};
use crate::report;

/// The folder of a run that is under way.
pub(super) struct Output {
    folder: RunFolder,
    metrics: MetricsFile,
    validations: Vec<ValidationMetrics>,
    /// The loss of the step before.
    loss: Option<f64>,
    /// Steps in the measures when the run began.
    steps: u64,
}

impl Output {
    /// Goes on behind a step.
    pub(super) fn open(folder: RunFolder, step: u64) -> Result<Self, TrainError> {
        let (metrics, lines) = MetricsFile::open(&folder.metrics(), step)?;
        let validations = lines.iter().filter_map(|line| match line {
            MetricsLine::Validation(metrics) => Some(*metrics),
            MetricsLine::Step(_) => None,
        });
        let loss = lines.iter().rev().find_map(|line| match line {
            MetricsLine::Step(metrics) => Some(metrics.loss),
            MetricsLine::Validation(_) => None,
        });
        let steps = lines.iter().filter(|line| matches!(line, MetricsLine::Step(_))).count() as u64;
        Ok(Self { validations: validations.collect(), loss: loss.flatten(), steps, folder, metrics })
    }

    /// Steps that have been measured, as the folder tells.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// The last validation.
    pub(super) fn validation(&self) -> Option<&ValidationMetrics> {
        self.validations.last()
    }

    /// The loss of the step that the run goes on behind.
    pub(super) fn loss(&self) -> Option<f64> {
        self.loss
    }

    /// Appends a line to the measures.
    pub(super) fn append(&mut self, line: MetricsLine) -> Result<(), TrainError> {
        self.metrics.append(&line)?;
        if let MetricsLine::Validation(metrics) = line {
            self.validations.push(metrics);
        }
        Ok(())
    }

    /// Writes a checkpoint and removes old ones but the newest `keep`.
    pub(super) fn save(&self, learner: &Learner, running: &RunningLoss, keep: u64) -> Result<(), TrainError> {
        self.metrics.sync()?;
        saved::save(&self.folder.checkpoint(learner.optimizer().step()), learner, running)?;
        let steps = self.folder.steps()?;
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let best = self.best(&steps);
        for &old in steps.iter().rev().skip(keep).filter(|&&old| Some(old) != best) {
            NewFolder::remove(&self.folder.checkpoint(old))?;
        }
        Ok(())
    }

    /// The checkpoint of the lowest validation loss.
    fn best(&self, steps: &[u64]) -> Option<u64> {
        let validated = self.validations.iter().filter(|metrics| steps.contains(&metrics.step));
        ValidationMetrics::best(validated).map(|metrics| metrics.step)
    }

    /// Writes the model.
    pub(super) fn write_model(&self, learner: &Learner) -> Result<(), TrainError> {
        self.metrics.sync()?;
        saved::model(learner)?.save(self.folder.model(), Existing::Replace)?;
        Ok(())
    }

    /// Writes the report of what has been done so far.
    pub(super) fn report(&self) -> Result<PathBuf, TrainError> {
        Ok(report::write(self.folder.path())?)
    }
}
