//! What a run is going to take.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use longstrand_model::{
    Unwatched,
    estimate::{self, Estimate, Memory, Pace, Time},
};
use longstrand_seq::digest;

use super::{
    Division, Plan, PlannedMemory, Pretraining, StepGradients, TrainError, facts::files, run::Prepared, step::Learner,
};
use crate::{batch::Batches, collectives::Alone, config::Settings, objective::Batch, source::Sources};

/// Bases of the longest window that the pace is taken of.
const LONGEST_TRIAL: u64 = 1 << 16;

/// Bases of the shortest one, where windows are longer: in it there are chunks, as in a longer one.
const SHORTEST_TRIAL: u64 = 1 << 14;

/// Bytes of a parameter.
const FLOAT: u64 = 4;

/// Copies of the parameters in a checkpoint: the weights and two moments.
const CHECKPOINT_COPIES: u64 = 3;

/// Bytes of a line of the metrics, at most.
const METRICS_BYTES: u64 = 256;

impl Pretraining {
    /// What so many ranks are going to do, and what the whole run is going to take on each, at a rate in tokens a second or,
    /// without one, at the pace at which some of the windows give their gradients now. Nothing is written. The time to write
    /// checkpoints is not in it, nor that of sums over ranks.
    ///
    /// # Errors
    ///
    /// - settings or data cannot be used
    /// - a device fails, or there are no threads
    pub fn estimate(&self, ranks: usize, rate: Option<f64>) -> Result<(Plan, Estimate), TrainError> {
        let began = Instant::now();
        let settings = self.chosen(&self.folder.join("config.toml"))?;
        let mut prepared = self.prepare(&settings, ranks)?;
        let opening = began.elapsed().as_secs_f64();
        let plan = prepared.plan.clone();
        let memory = Memory::now().map(|memory| memory.and(&parts(&plan)));
        let work = Work::of(&settings, &plan)?;
        let digests = digest::seconds(&files(&settings))?;
        let paces = match rate {
            Some(_) => None,
            None => Some(Paces::take(&mut prepared, &work, plan.threads.get() as u64)?),
        };
        let at_rate = || estimate::seconds(work.tokens + work.validated, rate, None);
        let seconds = paces.as_ref().map_or_else(at_rate, |paces| paces.seconds(&work));
        let estimate = Estimate {
            work: vec![
                ("steps", work.steps),
                ("tokens", work.tokens),
                ("held-out tokens", work.validated),
                ("parameters", plan.parameters),
            ],
            pieces: 1,
            memory,
            disk: disk(&settings, plan.parameters),
            time: Time { fixed: opening + digests, divided: seconds, reading: 0.0 },
            pace: paces.map(|paces| paces.step),
            in_shard: None,
        };
        Ok((plan, estimate))
    }
}

/// Bytes that the run takes beside what is held when the model is there and its moments have not been touched.
fn parts(plan: &Plan) -> [(&'static str, u64); 5] {
    let PlannedMemory { state, windows, gradients, sums, passing } = plan.memory;
    let moments = state.saturating_sub(FLOAT * plan.parameters);
    [("optimizer", moments), ("windows", windows), ("gradients", gradients), ("sums", sums), ("passing", passing)]
}

/// Bytes of the run's folder at its largest: the checkpoints that are kept, that of the best validation, one that is being
/// written, and the model.
fn disk(settings: &Settings, parameters: u64) -> u64 {
    let checkpoints = settings.run.keep.saturating_add(2).min(settings.run.steps / settings.run.save_every + 2);
    let model = FLOAT * parameters;
    checkpoints * CHECKPOINT_COPIES * model + model + settings.run.steps * METRICS_BYTES
}

/// What a rank does in a run.
struct Work {
    steps: u64,
    tokens: u64,
    /// Tokens of all validations.
    validated: u64,
    /// The step at which most steps' length begins, and how a rank's windows of it are divided.
    usual: (u64, Division),
}

impl Work {
    fn of(settings: &Settings, plan: &Plan) -> Result<Self, TrainError> {
        let steps = settings.run.steps;
        let ends = plan.divisions.iter().skip(1).map(|(from, _)| *from).chain([steps]);
        let stages = plan.divisions.iter().zip(ends).map(|(&(from, division), end)| {
            let share = division.largest_share(plan.ranks);
            // A stretch that a rank owns of a window counts as a window of its own; what ranks exchange is not reckoned with.
            (end.min(steps).saturating_sub(from), from, Division::new(share.windows, share.longest_stretch()))
        });
        let stages: Vec<(u64, u64, Division)> = stages.collect();
        let tokens = stages.iter().map(|(steps, _, division)| steps * division.bases()).sum();
        let usual = stages.iter().max_by_key(|(steps, ..)| *steps).map(|&(_, from, division)| (from, division));
        let every = settings.validation.every;
        let windows = u64::from(settings.validation.windows).div_ceil(plan.ranks as u64);
        let validations = if every == 0 { 0 } else { steps.div_ceil(every) };
        Ok(Self {
            steps,
            tokens,
            validated: validations * windows * settings.validation_length()?,
            usual: usual.expect("a run has a stage"),
        })
    }
}

/// How fast a run goes.
struct Paces {
    /// Gradients.
    step: Pace,
    /// Seconds of an update of the weights.
    update: f64,
    /// Held-out windows, if any are looked at.
    validation: Option<Pace>,
}

impl Paces {
    fn take(prepared: &mut Prepared, work: &Work, threads: u64) -> Result<Self, TrainError> {
        let Prepared { training, validator, learner, sources, .. } = prepared;
        let (step, update) = of_step(training, learner, sources, work.usual, threads)?;
        let validation = validator.as_ref().map(|validator| validator.pace(learner, sources)).transpose()?;
        Ok(Self { step, update, validation })
    }

    fn seconds(&self, work: &Work) -> f64 {
        let validation = self.validation.map_or(0.0, |pace| work.validated as f64 / pace.rate());
        work.tokens as f64 / self.step.rate() + work.steps as f64 * self.update + validation
    }
}

/// The pace of a step's gradients, and the seconds of an update.
fn of_step(
    training: &Batches,
    learner: &mut Learner,
    sources: &mut Sources,
    (step, division): (u64, Division),
    threads: u64,
) -> Result<(Pace, f64), TrainError> {
    let sources = Mutex::new(sources);
    let mut last = None;
    let mut gradients = |windows: u64, length: u64| -> Result<(), TrainError> {
        let read = |index: u32| {
            let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
            training
                .read(&mut sources, step, index..index + 1)
                .map(|placed| beginning(placed.batch, length))
                .map_err(TrainError::from)
        };
        let trial = Division::new(windows as u32, length);
        last = learner.gradients(trial, read, &mut Alone::default(), &Unwatched)?;
        Ok(())
    };
    let Division { windows, length, .. } = division;
    let (tokens, length, seconds) = if length > SHORTEST_TRIAL {
        let mut longest = 0;
        let (tokens, seconds) = estimate::time(SHORTEST_TRIAL, length.min(LONGEST_TRIAL), |length| {
            longest = length;
            gradients(1, length)
        })?;
        (tokens, longest, seconds)
    } else {
        let (windows, seconds) = estimate::time(threads, u64::from(windows), |windows| gradients(windows, length))?;
        (windows * length, length, seconds)
    };
    let last: StepGradients = last.ok_or(TrainError::Cancelled { resumable: false })?;
    Ok((Pace { tokens, length, seconds }, update(learner, &last)?))
}

/// Seconds of an update that leaves the weights as they are. The first one takes memory for the moments.
fn update(learner: &mut Learner, gradients: &StepGradients) -> Result<f64, TrainError> {
    learner.update(0.0, gradients)?;
    let began = Instant::now();
    learner.update(0.0, gradients)?;
    Ok(began.elapsed().as_secs_f64())
}

/// The first bases of a batch's only window.
pub(super) fn beginning(mut batch: Batch, length: u64) -> Batch {
    batch.length = batch.length.min(usize::try_from(length).unwrap_or(usize::MAX));
    batch.ids.truncate(batch.length);
    batch.labels.truncate(batch.length);
    if let Some(weights) = &mut batch.weights {
        weights.truncate(batch.length);
    }
    batch
}
