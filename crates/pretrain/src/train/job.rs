//! A run from its settings to the model.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use longstrand_model::{Difference, Processor, Watch, checkpoint::NewFolder};
use longstrand_table::Existing;

use super::{
    Plan, TrainError, TrainingProcessor, Validation, agreed,
    facts::{self, Inputs},
    folder::{RunFolder, checkpoint_name, step_of},
    given::{Start, give},
    metrics::replace,
    output::Output,
    run::{Prepared, Run},
    saved,
    spike::RunningLoss,
    step::Learner,
    validation::Validator,
};
use crate::{
    collectives::Collectives,
    config::{ConfigFile, Settings, resolve},
    data::Data,
    init::initial_weights,
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
    /// What is computed on, which does; of several GPUs the first.
    pub processor: Processor,
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
    /// The settings of the run, and what so many ranks are going to do. Nothing is written.
    ///
    /// # Errors
    ///
    /// - settings or data cannot be used
    pub fn plan(&self, ranks: usize) -> Result<(Settings, Plan), TrainError> {
        let settings = self.chosen(&self.folder.join("config.toml"))?;
        let plan = self.prepare(&settings, ranks)?.plan;
        Ok((settings, plan))
    }

    /// Trains the model, together with all other ranks.
    ///
    /// # Errors
    ///
    /// - the folder cannot be used, or the run in it cannot go on
    /// - settings or data cannot be used, or a step takes more memory than there is
    /// - a checkpoint is broken, or cannot be written
    /// - the loss is no number or jumps
    /// - a rank is gone, or has other settings, inputs or instructions
    /// - the watch of a rank stops the run: then there is a checkpoint of the last whole step
    pub fn run<C>(&self, ranks: &mut C, watch: &dyn Watch) -> Result<Trained, TrainError>
    where
        C: Collectives<Values = Vec<f32>> + ?Sized,
    {
        // Nothing is made or replaced before it is known that the run can begin, on every rank.
        let leads = ranks.rank() == 0;
        if leads {
            RunFolder::check(&self.folder, self.existing)?;
        }
        let path = self.folder.join("config.toml");
        let own = if leads { Some(self.chosen(&path)?) } else { self.settings.clone() };
        let settings = agreed::settings(own, &self.processor, &path, ranks)?;
        let mut prepared = self.prepare(&settings, ranks.world_size())?;
        prepared.plan.check()?;
        let folder = if leads { Some(self.open(&settings)?) } else { None };
        let inputs = agreed::inputs(&settings, ranks, watch)?;
        let (output, start) = match folder {
            None => (None, Start::default()),
            Some(folder) => {
                let (output, start) = self.begin(folder, &settings, &inputs, &mut prepared, watch)?;
                (Some(output), start)
            }
        };
        let start = give(start, &mut prepared.learner, ranks)?;
        if prepared.plan.context > 1 {
            prepared.learner.share_windows(ranks.split(prepared.plan.context)?);
        }
        Run::new(settings, prepared, (self.folder.clone(), output), start, ranks, watch).finish()
    }

    /// Takes the folder, which must hold a run of the same settings if it is to go on.
    fn open(&self, settings: &Settings) -> Result<RunFolder, TrainError> {
        let folder = RunFolder::open(&self.folder, self.existing)?;
        if folder.has_run() {
            check_continued(&folder.config(), settings)?;
        }
        Ok(folder)
    }

    /// Begins a run in the folder, or reads what it goes on from.
    fn begin(
        &self,
        folder: RunFolder,
        settings: &Settings,
        inputs: &Inputs,
        prepared: &mut Prepared,
        watch: &dyn Watch,
    ) -> Result<(Output, Start), TrainError> {
        let write = |path: PathBuf, text: String| replace(&path, &text).map_err(TrainError::io("write", &path));
        // A run that was killed while it began may have settings and no more.
        let has_steps = folder.has_run() && !folder.steps()?.is_empty();
        let is_known = folder.has_run() && (has_steps || folder.facts().is_file());
        if is_known {
            inputs.check(&folder.facts(), prepared.learner.processor(), &prepared.plan, watch)?;
        }
        if self.existing == Existing::Replace {
            folder.clear()?;
        }
        write(folder.config(), settings.to_toml()?)?;
        if !is_known {
            write(folder.facts(), facts::text(&prepared.plan, inputs, prepared.learner.processor()))?;
        }
        folder.make_checkpoints()?;
        let running = self.restore(&folder, &mut prepared.learner)?;
        let step = prepared.learner.optimizer().step();
        if folder.has_run() && step < settings.run.steps {
            watch.note(&format!("{} goes on behind step {step}", self.folder.display()));
        }
        let had_measures = fs::metadata(folder.metrics()).is_ok_and(|metrics| metrics.len() > 0);
        if step == 0 && had_measures && folder.has_run() {
            watch.warn(&format!("{} has no checkpoint: the run begins anew", self.folder.display()));
        }
        let output = Output::open(folder, step)?;
        if output.steps() != step {
            let metrics = self.folder.join("metrics.jsonl");
            watch.warn(&format!("{}: expected {step} steps, found {}", metrics.display(), output.steps()));
        }
        let validated = output.validation().map(|last| last.step);
        Ok((output, Start { running, validated }))
    }

    /// The settings given, or those of the run that is to go on.
    pub(super) fn chosen(&self, path: &Path) -> Result<Settings, TrainError> {
        match &self.settings {
            Some(settings) => Ok(settings.clone()),
            None if self.existing == Existing::Resume => match path.is_file() {
                true => stored(path),
                false => Err(TrainError::Usage(format!(
                    "{}: expected a run to go on with, found none; a new one needs a genome",
                    self.folder.display()
                ))),
            },
            None => Ok(resolve(None, None, &[])?),
        }
    }

    pub(super) fn prepare(&self, settings: &Settings, ranks: usize) -> Result<Prepared, TrainError> {
        let processor = TrainingProcessor::new(&self.processor, settings.run.precision.into());
        let mut data = Data::open(settings)?;
        let training = data.training(settings)?;
        let config = settings.model_config()?;
        Plan::check_model(&config, self.available_memory)?;
        let weights = initial_weights(&config, &settings.model.initial(), settings.run.seed);
        let summary = data.summary(&training);
        let processes = (ranks, self.threads);
        let plan = Plan::new(settings, summary, (&config, &weights), processes, &processor, self.available_memory)?;
        let validator = match settings.validation.every {
            0 => None,
            _ => Some(Validator {
                batches: data.fixed(Split::Valid, settings).map_err(TrainError::Validation)?,
                windows: settings.validation.windows,
                processor: processor.clone(),
                threads: self.threads,
            }),
        };
        // What has no window to take is said before anything is computed.
        training.read(&mut data.sources, 0, 0..1)?;
        if let Some(validator) = &validator {
            validator.batches.read(&mut data.sources, 0, 0..1)?;
        }
        let clip = settings.optimizer.clip;
        #[cfg_attr(not(feature = "cuda"), expect(unused_mut, reason = "only a GPU puts anything away"))]
        let mut learner = Learner::new(processor, config, weights, settings.optimizer(), clip, self.threads);
        #[cfg(feature = "cuda")]
        learner.set_host_room(plan.spare_memory());
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
        // The model of a run that had ended is none of one that goes back.
        if self.from.is_some() && folder.model().is_dir() {
            NewFolder::remove(&folder.model())?;
        }
        Ok(running)
    }
}

/// The settings of a run, as they were written.
fn stored(path: &Path) -> Result<Settings, TrainError> {
    let text = fs::read_to_string(path).map_err(TrainError::io("read", path))?;
    Ok(resolve(None, Some(ConfigFile { path, text: &text }), &[])?)
}

/// Makes sure that a run goes on with the settings that it was begun with, but for what decides neither weights nor metrics.
fn check_continued(path: &Path, settings: &Settings) -> Result<(), TrainError> {
    let before = stored(path)?;
    let compared = |mut of: Settings| {
        of.preset = None;
        // What is in the genomes and BED files is compared by its digest, wherever they lie by now.
        let data = &settings.data;
        if of.data.genomes.len() == data.genomes.len() {
            of.data.genomes.clone_from(&data.genomes);
        }
        for (path, now) in [
            (&mut of.data.include, &data.include),
            (&mut of.data.exclude, &data.exclude),
            (&mut of.data.split.bed, &data.split.bed),
        ] {
            if path.is_some() && now.is_some() {
                path.clone_from(now);
            }
        }
        let run = &settings.run;
        (of.run.keep, of.run.save_every, of.run.spike) = (run.keep, run.save_every, run.spike);
        of.run.context_ranks = run.context_ranks;
        serde_json::to_string(&of).expect("settings are JSON")
    };
    let (expected, found) = (compared(settings.clone()), compared(before));
    match expected == found {
        true => Ok(()),
        false => {
            let difference = Difference::between("", &expected, &found);
            Err(TrainError::Differs { path: path.into(), difference })
        }
    }
}
