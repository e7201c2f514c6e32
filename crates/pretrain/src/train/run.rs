//! The steps of a run, on every rank.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use longstrand_model::Watch;

use super::{
    Division, MetricsLine, Plan, StepGradients, StepMetrics, TrainError, Trained, Validation, ValidationMetrics,
    folder, given::Start, output::Output, spike::RunningLoss, step::Learner, validation::Validator, within::Within,
};
use crate::{
    batch::Batches, collectives::Collectives, config::Settings, report::REPORT, schedule::Schedule, source::Sources,
};

/// What a run works with.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) training: Batches,
    pub(super) validator: Option<Validator>,
    pub(super) learner: Learner,
    pub(super) sources: Sources,
    pub(super) schedule: Schedule,
}

/// A run that is under way.
///
/// Every rank takes the same decisions: they depend on the settings and on what was summed over all ranks alone.
pub(super) struct Run<'a, C: ?Sized> {
    ranks: &'a mut C,
    watch: &'a dyn Watch,
    settings: Settings,
    prepared: Prepared,
    /// The run's folder, which rank 0 alone sees.
    folder: PathBuf,
    /// What is written, by rank 0.
    output: Option<Output>,
    running: RunningLoss,
    /// The last loss.
    loss: Option<f64>,
    /// The last validation, and the step that it is of; rank 0 alone knows what an earlier run has measured.
    validation: Option<Validation>,
    validated: Option<u64>,
    /// The newest checkpoint.
    saved: Option<u64>,
    began_at: u64,
    began: Instant,
    bases: u64,
}

impl<'a, C> Run<'a, C>
where
    C: Collectives<Values = Vec<f32>> + ?Sized,
{
    pub(super) fn new(
        settings: Settings,
        prepared: Prepared,
        (folder, output): (PathBuf, Option<Output>),
        start: Start,
        ranks: &'a mut C,
        watch: &'a dyn Watch,
    ) -> Self {
        let step = prepared.learner.optimizer().step();
        watch.skipped(step);
        watch.counted(step, Some(settings.run.steps));
        Self {
            ranks,
            watch,
            settings,
            prepared,
            folder,
            running: start.running,
            loss: output.as_ref().and_then(Output::loss),
            validation: output.as_ref().and_then(Output::validation).map(|last| last.validation),
            validated: start.validated,
            output,
            saved: (step > 0).then_some(step),
            began_at: step,
            began: Instant::now(),
            bases: 0,
        }
    }

    /// Does the steps that are left, and leaves the model.
    pub(super) fn finish(mut self) -> Result<Trained, TrainError> {
        let flow = self.steps()?;
        self.save()?;
        let is_stopped = flow.is_break() && (self.step() < self.settings.run.steps || self.is_validation_due());
        if let Some(output) = &self.output {
            if !is_stopped {
                output.write_model(&self.prepared.learner)?;
            }
            output.report()?;
        }
        // What rank 0 cannot write is no success of the others.
        self.ranks.barrier()?;
        if is_stopped {
            return Err(TrainError::Cancelled { resumable: true });
        }
        Ok(Trained {
            steps: self.step(),
            began_at: self.began_at,
            bases: self.bases,
            seconds: self.began.elapsed().as_secs_f64(),
            loss: self.loss,
            validation: self.validation,
            model: folder::model(&self.folder),
            report: self.folder.join(REPORT),
        })
    }

    /// Does the steps that are left; breaks off where a rank is to stop.
    fn steps(&mut self) -> Result<ControlFlow<()>, TrainError> {
        // A run may have been stopped between a step and its validation.
        let mut flow = self.validate_if_due()?;
        while flow.is_continue() && self.step() < self.settings.run.steps {
            flow = self.learn()?;
            if flow.is_continue() {
                flow = self.validate_if_due()?;
            }
            if self.step().is_multiple_of(self.settings.run.save_every) {
                self.save()?;
            }
        }
        Ok(flow)
    }

    /// Updates so far.
    fn step(&self) -> u64 {
        self.prepared.learner.optimizer().step()
    }

    /// Does a step, or drops it where a rank is to stop before it is done.
    fn learn(&mut self) -> Result<ControlFlow<()>, TrainError> {
        let (step, began) = (self.step(), Instant::now());
        let standing = self.loss.map_or(String::new(), |_| self.standing() + ", ");
        let Prepared { plan, training, learner, sources, schedule, .. } = &mut self.prepared;
        let length = training.sampler().length(step);
        let windows = (self.settings.run.tokens / length) as u32;
        let division = Division { context: plan.context, ..Division::new(windows, length) };
        let sources = Mutex::new(sources);
        let read = |index: u32| {
            let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
            training.read(&mut sources, step, index..index + 1).map(|placed| placed.batch).map_err(TrainError::from)
        };
        let watch = Within::new(self.watch, step + 1, self.settings.run.tokens, standing);
        let Some(gradients) = learner.gradients(division, read, self.ranks, &watch)? else {
            return Ok(ControlFlow::Break(()));
        };
        let rate = schedule.rate(step);
        self.check(step + 1, &gradients)?;
        self.prepared.learner.update(rate, &gradients)?;
        self.loss = gradients.mean_loss();
        if let Some(loss) = self.loss {
            self.running.add(loss);
        }
        self.bases += self.settings.run.tokens;
        self.append(MetricsLine::Step(StepMetrics {
            step: step + 1,
            loss: self.loss,
            accuracy: gradients.accuracy(),
            rate,
            grad_norm: gradients.norm,
            length,
            tokens: self.settings.run.tokens,
            seconds: began.elapsed().as_secs_f64(),
        }))?;
        self.tell();
        Ok(if gradients.is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Ends the run before an update that would spoil the weights.
    fn check(&self, step: u64, gradients: &StepGradients) -> Result<(), TrainError> {
        let what = match gradients.mean_loss() {
            _ if !gradients.are_finite() => {
                format!("the loss is {} and the gradients' norm {}", gradients.loss.sum, gradients.norm)
            }
            Some(loss) if self.running.is_spike(loss, self.settings.run.spike) => {
                let (mean, limit) = (self.running.mean.unwrap_or_default(), self.settings.run.spike);
                format!("the loss is {loss:.4}, more than run.spike = {limit} times its running mean, {mean:.4}")
            }
            _ => return Ok(()),
        };
        let last = self.saved.map(|saved| folder::checkpoint(&self.folder, saved));
        Err(TrainError::Diverged { step, what, last })
    }

    fn append(&mut self, line: MetricsLine) -> Result<(), TrainError> {
        self.output.as_mut().map_or(Ok(()), |output| output.append(line))
    }

    /// How the run does, in words.
    fn standing(&self) -> String {
        let loss = self.loss.map_or("no loss".into(), |loss| format!("loss {loss:.4}"));
        let validation = self.validation.and_then(|last| last.loss);
        let validation = validation.map_or(String::new(), |loss| format!(", held out {loss:.4}"));
        loss + &validation
    }

    /// Tells the watch how the run does.
    fn tell(&self) {
        self.watch.stands(&self.standing());
        self.watch.counted(self.step(), Some(self.settings.run.steps));
    }

    /// Whether held-out bases are to be looked at at this step and have not been.
    fn is_validation_due(&self) -> bool {
        let (step, every) = (self.step(), self.settings.validation.every);
        let is_due = step > 0 && (step.is_multiple_of(every.max(1)) || step == self.settings.run.steps);
        self.prepared.validator.is_some() && is_due && self.validated != Some(step)
    }

    /// Measures the loss on held-out bases, if that is due; breaks off where a rank is to stop.
    fn validate_if_due(&mut self) -> Result<ControlFlow<()>, TrainError> {
        let is_due = self.is_validation_due();
        let Prepared { learner, sources, validator, .. } = &mut self.prepared;
        let Some(validator) = validator.as_ref().filter(|_| is_due) else { return Ok(ControlFlow::Continue(())) };
        let began = Instant::now();
        let Some(validation) = validator.measure(learner, sources, self.ranks, self.watch)? else {
            return Ok(ControlFlow::Break(()));
        };
        let step = self.step();
        (self.validation, self.validated) = (Some(validation), Some(step));
        let seconds = began.elapsed().as_secs_f64();
        self.append(MetricsLine::Validation(ValidationMetrics { step, validation, seconds }))?;
        self.tell();
        Ok(ControlFlow::Continue(()))
    }

    /// Writes a checkpoint of this step, unless there is one.
    fn save(&mut self) -> Result<(), TrainError> {
        let step = self.step();
        if step == 0 || self.saved == Some(step) {
            return Ok(());
        }
        if let Some(output) = &self.output {
            output.save(&self.prepared.learner, &self.running, self.settings.run.keep)?;
        }
        self.saved = Some(step);
        Ok(())
    }
}
