//! What training takes: time and memory of a step.

pub(crate) mod memory;
pub(crate) mod speed;
pub(crate) mod stretch;

use std::num::NonZeroUsize;

use anyhow::Context;
use longstrand_kernels::{Cpu, simd::Level};
use longstrand_model::Unwatched;
use longstrand_pretrain::{
    collectives::Alone,
    config::{Flag, Settings, resolve},
    init::initial_weights,
    objective::{Batch, IGNORED},
    train::{Division, Learner},
};
use longstrand_tests::synthetic;

/// A model with an optimizer, and steps of pseudo-random bases to take.
struct Steps {
    learner: Learner,
    division: Division,
    rate: f64,
}

impl Steps {
    /// A model as a preset, changed by flags, has it, and steps of so many windows.
    fn new(settings: &Settings, windows: u32, level: Level) -> anyhow::Result<Self> {
        let config = settings.model_config()?;
        let weights = initial_weights(&config, &settings.model.initial(), settings.run.seed);
        let clip = settings.optimizer.clip;
        let learner = Learner::new(Cpu::new(level), config, weights, settings.optimizer(), clip, threads());
        let division = Division::new(windows, settings.data.length);
        Ok(Self { learner, division, rate: settings.schedule.peak })
    }

    /// Forward, backward and the update.
    #[expect(clippy::result_large_err, reason = "the error of a learner's windows")]
    fn step(&mut self) -> anyhow::Result<()> {
        let is_causal = self.learner.config().is_causal();
        let length = usize::try_from(self.division.length)?;
        let read = |index: u32| Ok(batch(length, index, is_causal));
        let gradients = self.learner.gradients(self.division, read, &mut Alone::default(), &Unwatched)?;
        let gradients = gradients.filter(|gradients| gradients.are_finite()).context("gradients that are finite")?;
        Ok(self.learner.update(self.rate, &gradients)?)
    }
}

/// The settings of a preset, changed by flags.
fn settings(preset: Option<&str>, flags: &[Flag]) -> anyhow::Result<Settings> {
    Ok(resolve(preset, None, flags)?)
}

/// One window: every next base is asked for, or every seventh one.
fn batch(length: usize, index: u32, is_causal: bool) -> Batch {
    let ids = synthetic::ids(length, index.into());
    let label = |t: usize| match is_causal {
        true => ids.get(t + 1).copied().unwrap_or(IGNORED),
        false if t.is_multiple_of(7) => ids[t],
        false => IGNORED,
    };
    Batch { length, labels: (0..length).map(label).collect(), ids, weights: None }
}

fn threads() -> NonZeroUsize {
    NonZeroUsize::new(rayon::current_num_threads()).unwrap_or(NonZeroUsize::MIN)
}
