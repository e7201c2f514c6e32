//! The loss on held-out windows, always the same ones.

use std::{num::NonZeroUsize, ops::Range};

use longstrand_model::{
    Unwatched, Watch,
    estimate::{self, Pace},
};

use super::{TrainError, TrainingProcessor, Validation, division::share, estimate::beginning, saved, step::Learner};
use crate::{
    batch::Batches,
    collectives::Collectives,
    data::DataError,
    evaluate::{Class, Evaluator, Tally, Total},
    objective::Batch,
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
        let mut evaluator = self.evaluator(learner)?;
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

impl Validator {
    /// How fast held-out windows go, of which the first is looked at again and again, or its beginning if it is long.
    pub(super) fn pace(&self, learner: &Learner, sources: &mut Sources) -> Result<Pace, TrainError> {
        const LONGEST: u64 = 1 << 15;
        let placed = self.batches.read(sources, 0, 0..1);
        let placed = placed.map_err(|source| DataError::Sample { split: Split::Valid, source })?;
        let one = beginning(placed.batch, LONGEST);
        let mut evaluator = self.evaluator(learner)?;
        let most = (evaluator.batch(one.length) / one.length).clamp(1, self.windows as usize);
        let (windows, seconds) = estimate::time(self.threads.get() as u64, most as u64, |windows| {
            let of_all = |values: &[u8]| values.repeat(windows as usize);
            let batch = Batch { length: one.length, ids: of_all(&one.ids), labels: of_all(&one.labels), weights: None };
            evaluator.add(&batch, &mut Tally::default(), &Unwatched)
        })?;
        let length = one.length as u64;
        Ok(Pace { tokens: windows * length, length, seconds })
    }

    /// The model as it is now, ready for passes.
    fn evaluator(&self, learner: &Learner) -> Result<Evaluator, TrainError> {
        let checkpoint = saved::model(learner)?;
        let evaluator = Evaluator::new(self.processor.engine(&checkpoint)?, &checkpoint, self.threads);
        Ok(evaluator.expect("what is pretrained is a language model"))
    }
}

/// A watch that may stop the work and does not count it as bases trained on.
struct Unseen<'a>(&'a dyn Watch);

impl Watch for Unseen<'_> {
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
