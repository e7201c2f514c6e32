//! A run from its settings to the model.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use longstrand_kernels::{Cpu, simd::Level};
use longstrand_model::{
    Difference, Watch,
    checkpoint::{Existing as ExistingModel, NewFolder},
};
use longstrand_table::Existing;

use super::{
    MetricsLine, Plan, StepMetrics, TrainError, Validation, ValidationMetrics,
    facts::{self, Inputs},
    folder::{RunFolder, checkpoint_name, step_of},
    metrics::{MetricsFile, replace},
    saved,
    spike::RunningLoss,
    step::{Division, Learner, StepGradients},
    validation::Validator,
};
use crate::{
    batch::Batches,
    config::{ConfigFile, Settings, resolve},
    data::Data,
    init::initial_weights,
    report,
    schedule::Schedule,
    source::Sources,
    split::Split,
};

/// A run that is to be made or to go on.
#[derive(Clone, Debug)]
pub struct Pretraining {
    /// The settings; those that the folder's run has, when absent.
    pub settings: Option<Settings>,
    /// The folder of the run.
    pub folder: PathBuf,
    /// What to do about a run that the folder holds.
    pub existing: Existing,
    /// The checkpoint to go on from, such as `step-0000100`, in the place of the newest. Later ones are removed.
    pub from: Option<String>,
    /// Threads to compute with. They change no bit.
    pub threads: NonZeroUsize,
    /// Vector instructions, which do.
    pub level: Level,
    /// Bytes of memory that may be used, where it is known.
    pub available_memory: Option<u64>,
}

/// What a run has done.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Updates of the weights in all.
    pub steps: u64,
    /// The updates that were there when this run began.
    pub began_at: u64,
    /// Bases trained on by this run.
    pub bases: u64,
    /// Seconds that the steps of this run took.
    pub seconds: f64,
    /// The last loss.
    pub loss: Option<f64>,
    /// The last validation.
    pub validation: Option<Validation>,
    /// The folder of the model.
    pub model: PathBuf,
    /// The report of the run.
    pub report: PathBuf,
}

impl Pretraining {
    /// The settings of the run, and what it is going to do. Nothing is written.
    ///
    /// # Errors
    ///
    /// - settings or data cannot be used
    pub fn plan(&self) -> Result<(Settings, Plan), TrainError> {
        let settings = self.chosen(&self.folder.join("config.toml"))?;
        let plan = self.prepare(&settings)?.plan;
        Ok((settings, plan))
    }

    /// Trains the model.
    ///
    /// # Errors
    ///
    /// - the folder cannot be used, or the run in it cannot go on
    /// - settings or data cannot be used, or a step takes more memory than there is
    /// - a checkpoint is broken, or cannot be written
    /// - the loss is no number or jumps
    /// - the watch stops the run: then a checkpoint has been written
    pub fn run(&self, watch: &dyn Watch) -> Result<Trained, TrainError> {
        // Nothing is made or replaced before it is known that the run can begin.
        RunFolder::check(&self.folder, self.existing)?;
        let settings = self.chosen(&self.folder.join("config.toml"))?;
        let mut prepared = self.prepare(&settings)?;
        prepared.plan.check()?;
        let folder = RunFolder::open(&self.folder, self.existing)?;
        let settings = if folder.has_run() { continued(&folder.config(), settings)? } else { settings };
        let inputs = Inputs::read(&settings, watch)?;
        let write = |path: PathBuf, text: String| replace(&path, &text).map_err(TrainError::io("write", &path));
        let is_known = folder.has_run() && folder.facts().is_file();
        if is_known {
            inputs.check(&folder.facts(), prepared.learner.backend(), watch)?;
        }
        if self.existing == Existing::Replace {
            folder.clear()?;
        }
        write(folder.config(), settings.to_toml()?)?;
        if !is_known {
            write(folder.facts(), facts::text(&prepared.plan, &inputs, prepared.learner.backend()))?;
        }
        folder.make_checkpoints()?;
        let running = self.restore(&folder, &mut prepared.learner)?;
        Run::new(folder, settings, prepared, running, self, watch)?.finish()
    }

    /// The settings given, or those of the run that is to go on.
    fn chosen(&self, path: &Path) -> Result<Settings, TrainError> {
        match &self.settings {
            Some(settings) => Ok(settings.clone()),
            None if self.existing == Existing::Resume && path.is_file() => stored(path),
            None => Ok(resolve(None, None, &[])?),
        }
    }

    fn prepare(&self, settings: &Settings) -> Result<Prepared, TrainError> {
        let cpu = Cpu::with_precision(self.level, settings.run.precision.into());
        let data = Data::open(settings)?;
        let training = data.training(settings)?;
        let config = settings.model_config()?;
        let weights = initial_weights(&config, &settings.model.initial(), settings.run.seed);
        let summary = data.summary(&training);
        let plan = Plan::new(settings, summary, &config, &weights, self.threads, cpu, self.available_memory)?;
        let validator = match settings.validation.every {
            0 => None,
            _ => Some(Validator {
                batches: data.fixed(Split::Valid, settings).map_err(TrainError::Validation)?,
                windows: settings.validation.windows,
                cpu,
                threads: self.threads,
            }),
        };
        let clip = settings.optimizer.clip;
        let learner = Learner::new(cpu, config, weights, settings.optimizer(), clip, self.threads);
        Ok(Prepared { plan, training, validator, learner, sources: data.sources, schedule: settings.schedule()? })
    }

    /// Reads the checkpoint to go on from, if there is one, and removes those after it when it was named.
    fn restore(&self, folder: &RunFolder, learner: &mut Learner) -> Result<RunningLoss, TrainError> {
        let steps = folder.steps()?;
        let names = || steps.iter().map(|&step| checkpoint_name(step)).collect();
        let step = match &self.from {
            None => steps.last().copied(),
            Some(name) => {
                let step = step_of(name).filter(|step| steps.contains(step));
                Some(step.ok_or_else(|| TrainError::NoCheckpoint { name: name.clone(), found: names() })?)
            }
        };
        let Some(step) = step else { return Ok(RunningLoss::default()) };
        let before = steps.iter().rev().find(|&&before| before < step).map(|&before| checkpoint_name(before));
        let broken = |(path, flaw)| TrainError::Broken { path, flaw: Box::new(flaw), before };
        let running = saved::load(&folder.checkpoint(step), step, learner).map_err(broken)?;
        for &later in steps.iter().filter(|&&later| later > step) {
            NewFolder::remove(&folder.checkpoint(later))?;
        }
        Ok(running)
    }
}

/// The settings of a run, as they were written.
fn stored(path: &Path) -> Result<Settings, TrainError> {
    let text = fs::read_to_string(path).map_err(TrainError::io("read", path))?;
    Ok(resolve(None, Some(ConfigFile { path, text: &text }), &[])?)
}

/// The settings of a run that goes on: those that it was begun with, but for what decides neither weights nor metrics.
fn continued(path: &Path, settings: Settings) -> Result<Settings, TrainError> {
    let before = stored(path)?;
    let compared = |mut of: Settings| {
        of.preset = None;
        (of.run.keep, of.run.save_every, of.run.spike) =
            (settings.run.keep, settings.run.save_every, settings.run.spike);
        serde_json::to_string(&of).expect("settings are JSON")
    };
    let (expected, found) = (compared(settings.clone()), compared(before));
    match expected == found {
        true => Ok(settings),
        false => {
            let difference = Difference::between("", &expected, &found);
            Err(TrainError::Differs { path: path.into(), difference })
        }
    }
}

/// Says of a run that is stopped that there is a checkpoint to go on from.
fn resumable(error: TrainError) -> TrainError {
    match error {
        TrainError::Cancelled { .. } => TrainError::Cancelled { resumable: true },
        error => error,
    }
}

/// What a run works with.
struct Prepared {
    plan: Plan,
    training: Batches,
    validator: Option<Validator>,
    learner: Learner,
    sources: Sources,
    schedule: Schedule,
}

/// A run that is under way.
struct Run<'a> {
    folder: RunFolder,
    settings: Settings,
    prepared: Prepared,
    running: RunningLoss,
    metrics: MetricsFile,
    /// The validations so far.
    validations: Vec<ValidationMetrics>,
    /// The last loss.
    loss: Option<f64>,
    /// The newest checkpoint.
    saved: Option<u64>,
    watch: &'a dyn Watch,
    began_at: u64,
    began: Instant,
    bases: u64,
}

impl<'a> Run<'a> {
    fn new(
        folder: RunFolder,
        settings: Settings,
        prepared: Prepared,
        running: RunningLoss,
        job: &Pretraining,
        watch: &'a dyn Watch,
    ) -> Result<Self, TrainError> {
        let step = prepared.learner.optimizer().step();
        let (metrics, lines) = MetricsFile::open(&folder.metrics(), step)?;
        if folder.has_run() && step < settings.run.steps {
            watch.note(&format!("{} goes on behind step {step}", job.folder.display()));
        }
        let validations = lines.iter().filter_map(|line| match line {
            MetricsLine::Validation(metrics) => Some(*metrics),
            MetricsLine::Step(_) => None,
        });
        let loss = lines.iter().rev().find_map(|line| match line {
            MetricsLine::Step(metrics) => Some(metrics.loss),
            MetricsLine::Validation(_) => None,
        });
        watch.skipped(step);
        watch.counted(step, Some(settings.run.steps));
        Ok(Self {
            saved: folder.steps()?.last().copied(),
            validations: validations.collect(),
            loss: loss.flatten(),
            folder,
            settings,
            prepared,
            running,
            metrics,
            watch,
            began_at: step,
            began: Instant::now(),
            bases: 0,
        })
    }

    /// Does the steps that are left, and leaves the model.
    fn finish(mut self) -> Result<Trained, TrainError> {
        // A run may have been stopped between a step and its validation.
        self.validate_if_due().map_err(resumable)?;
        while self.step() < self.settings.run.steps {
            self.learn()?;
            let stopped = match self.validate_if_due() {
                Err(TrainError::Cancelled { .. }) => true,
                validated => {
                    validated?;
                    self.watch.is_cancelled()
                }
            };
            let is_last = self.step() == self.settings.run.steps;
            if stopped || is_last || self.step().is_multiple_of(self.settings.run.save_every) {
                self.save()?;
            }
            if stopped && !is_last {
                report::write(self.folder.path())?;
                return Err(TrainError::Cancelled { resumable: true });
            }
        }
        self.metrics.sync()?;
        saved::model(&self.prepared.learner)?.save(self.folder.model(), ExistingModel::Replace)?;
        let report = report::write(self.folder.path())?;
        Ok(Trained {
            report,
            steps: self.step(),
            began_at: self.began_at,
            bases: self.bases,
            seconds: self.began.elapsed().as_secs_f64(),
            loss: self.loss,
            validation: self.validations.last().map(|last| last.validation),
            model: self.folder.model(),
        })
    }

    /// Updates so far.
    fn step(&self) -> u64 {
        self.prepared.learner.optimizer().step()
    }

    /// Does a step.
    fn learn(&mut self) -> Result<(), TrainError> {
        let (step, began) = (self.step(), Instant::now());
        let Prepared { training, learner, sources, schedule, .. } = &mut self.prepared;
        let length = training.sampler().length(step);
        let division = Division { windows: (self.settings.run.tokens / length) as u32, length };
        let sources = Mutex::new(sources);
        let read = |index: u32| {
            let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
            training.read(&mut sources, step, index..index + 1).map(|placed| placed.batch).map_err(TrainError::from)
        };
        let gradients = learner.gradients(division, read, self.watch)?;
        let rate = schedule.rate(step);
        self.check(step + 1, &gradients)?;
        self.prepared.learner.update(rate, &gradients)?;
        self.loss = gradients.mean_loss();
        if let Some(loss) = self.loss {
            self.running.add(loss);
        }
        self.bases += self.settings.run.tokens;
        self.metrics.append(&MetricsLine::Step(StepMetrics {
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
        Ok(())
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
        let last = self.saved.map(|saved| self.folder.checkpoint(saved));
        Err(TrainError::Diverged { step, what, last })
    }

    /// Tells the watch how the run does.
    fn tell(&self) {
        let loss = self.loss.map_or("no loss".into(), |loss| format!("loss {loss:.4}"));
        let validation = self.validations.last().and_then(|last| last.validation.loss);
        let validation = validation.map_or(String::new(), |loss| format!(", held out {loss:.4}"));
        self.watch.stands(&(loss + &validation));
        self.watch.counted(self.step(), Some(self.settings.run.steps));
    }

    /// Measures the loss on held-out bases, if that is to be done at this step and has not been.
    fn validate_if_due(&mut self) -> Result<(), TrainError> {
        let (step, every) = (self.step(), self.settings.validation.every);
        let is_due = step > 0 && (step.is_multiple_of(every.max(1)) || step == self.settings.run.steps);
        let is_done = self.validations.last().is_some_and(|last| last.step == step);
        let Some(validator) = self.prepared.validator.as_ref().filter(|_| is_due && !is_done) else { return Ok(()) };
        let began = Instant::now();
        let validation = validator.measure(&self.prepared.learner, &mut self.prepared.sources, self.watch)?;
        let metrics = ValidationMetrics { step, validation, seconds: began.elapsed().as_secs_f64() };
        self.metrics.append(&MetricsLine::Validation(metrics))?;
        self.validations.push(metrics);
        self.tell();
        Ok(())
    }

    /// Writes a checkpoint and removes old ones.
    fn save(&mut self) -> Result<(), TrainError> {
        self.metrics.sync()?;
        let step = self.step();
        saved::save(&self.folder.checkpoint(step), &self.prepared.learner, &self.running)?;
        self.saved = Some(step);
        let steps = self.folder.steps()?;
        let keep = usize::try_from(self.settings.run.keep).unwrap_or(usize::MAX);
        let best = self.best(&steps);
        for &old in steps.iter().rev().skip(keep).filter(|&&old| Some(old) != best) {
            NewFolder::remove(&self.folder.checkpoint(old))?;
        }
        Ok(())
    }

    /// The checkpoint of the lowest validation loss.
    fn best(&self, steps: &[u64]) -> Option<u64> {
        let validated = self.validations.iter().filter(|metrics| steps.contains(&metrics.step));
        let with_loss = validated.filter_map(|metrics| Some((metrics.validation.loss?, metrics.step)));
        with_loss.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, step)| step)
    }
}
