//! The loss on held-out windows, always the same ones.

use std::{num::NonZeroUsize, ops::Range};

use longstrand_model::Watch;

use super::{TrainError, TrainingProcessor, Validation, division::share, saved, step::Learner};
use crate::{
    batch::Batches,
    collectives::Collectives,
    data::DataError,
    evaluate::{Class, Evaluator, Tally, Total},
    source::Sources,
    split::Split,
};

/// What a model is measured by.
pub(super) struct Validator {
    pub(super) batches: Batches,
    pub(super) windows: u32,
    /// What the model learns on, so that it is measured as it learns.
    pub(super) processor: TrainingProcessor,
    pub(super) threads: NonZeroUsize,
}

impl Validator {
    /// Measures the model as it is now, each rank its share of the windows; `None` where the watch of one stops it.
    pub(super) fn measure<C>(
        &self,
        learner: &Learner,
        sources: &mut Sources,
        ranks: &mut C,
        watch: &dyn Watch,
    ) -> Result<Option<Validation>, TrainError>
    where
        C: Collectives + ?Sized,
    {
        let windows = share(self.windows, ranks.rank(), ranks.world_size());
        let (tally, is_stopped) = match self.tally(windows, learner, sources, watch) {
            Ok(tally) => (tally, 0.0),
            Err(TrainError::Cancelled { .. }) => (Tally::default(), 1.0),
            Err(error) => return Err(error),
        };
        let [all, masked] = [Class::All, Class::Masked].map(|class| tally.total(class));
        let numbers = |total: &Total| [total.targets as f64, total.loss, total.correct as f64];
        let mut sums = [numbers(all), numbers(masked), [is_stopped, 0.0, 0.0]];
        ranks.sum_f64(sums.as_flattened_mut())?;
        let [all, masked, [is_stopped, ..]] = sums;
        let total =
            |[targets, loss, correct]: [f64; 3]| Total { targets: targets as u64, loss, correct: correct as u64 };
        Ok((is_stopped == 0.0).then(|| validation(&total(all), &total(masked))))
    }

    /// What the model makes of some of the windows.
    fn tally(
        &self,
        windows: Range<u32>,
        learner: &Learner,
        sources: &mut Sources,
        watch: &dyn Watch,
    ) -> Result<Tally, TrainError> {
        let checkpoint = saved::model(learner)?;
        let evaluator = Evaluator::new(self.processor.engine(&checkpoint)?, &checkpoint, self.threads);
        let mut evaluator = evaluator.expect("what is pretrained is a language model");
        let mut tally = Tally::default();
        let length = self.batches.sampler().length(0);
        let tokens = evaluator.batch(usize::try_from(length).unwrap_or(usize::MAX)) as u64;
        let at_a_time = (tokens / length).clamp(1, u64::from(u32::MAX)) as u32;
        for first in windows.clone().step_by(at_a_time as usize) {
            let indices = first..first.saturating_add(at_a_time).min(windows.end);
            let placed = self.batches.read(sources, 0, indices);
            let placed = placed.map_err(|source| DataError::Sample { split: Split::Valid, source })?;
            evaluator.add(&placed.batch, &mut tally, &Unseen(watch))?;
        }
        Ok(tally)
    }
}

fn validation(all: &Total, masked: &Total) -> Validation {
    let of = |total: &Total, value: fn(&Total) -> f64| (total.targets > 0).then(|| value(total));
    Validation {
        loss: of(all, Total::mean_loss),
        accuracy: of(all, Total::accuracy),
        masked_loss: of(masked, Total::mean_loss),
        targets: all.targets,
    }
}

/// A watch that may stop the work and does not count it as bases trained on.
struct Unseen<'a>(&'a dyn Watch);

impl Watch for Unseen<'_> {
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
