//! The loss on held-out windows, always the same ones.

use std::num::NonZeroUsize;

use longstrand_kernels::Cpu;
use longstrand_model::Watch;

use super::{TrainError, Validation, saved, step::Learner};
use crate::{
    batch::Batches,
    data::DataError,
    evaluate::{Class, Evaluator, Tally, Total},
    source::Sources,
    split::Split,
};

/// Tokens of windows that are read at a time.
const BATCH: u64 = 1 << 16;

/// What a model is measured by.
pub(super) struct Validator {
    pub(super) batches: Batches,
    pub(super) windows: u32,
    /// What the model learns on, so that it is measured as it learns.
    pub(super) cpu: Cpu,
    pub(super) threads: NonZeroUsize,
}

impl Validator {
    /// Measures the model as it is now.
    pub(super) fn measure(
        &self,
        learner: &Learner,
        sources: &mut Sources,
        watch: &dyn Watch,
    ) -> Result<Validation, TrainError> {
        let checkpoint = saved::model(learner)?;
        let evaluator = Evaluator::new(&checkpoint, self.cpu, self.threads);
        let mut evaluator = evaluator.expect("what is pretrained is a language model");
        let mut tally = Tally::default();
        let at_a_time = (BATCH / self.batches.sampler().length(0)).clamp(1, u64::from(u32::MAX)) as u32;
        for first in (0..self.windows).step_by(at_a_time as usize) {
            let indices = first..first.saturating_add(at_a_time).min(self.windows);
            let placed = self.batches.read(sources, 0, indices);
            let placed = placed.map_err(|source| DataError::Sample { split: Split::Valid, source })?;
            evaluator.add(&placed.batch, &mut tally, &Unseen(watch))?;
        }
        Ok(validation(&tally))
    }
}

fn validation(tally: &Tally) -> Validation {
    let of = |class, value: fn(&Total) -> f64| Some(tally.total(class)).filter(|total| total.targets > 0).map(value);
    Validation {
        loss: of(Class::All, Total::mean_loss),
        accuracy: of(Class::All, Total::accuracy),
        masked_loss: of(Class::Masked, Total::mean_loss),
        targets: tally.total(Class::All).targets,
    }
}

/// A watch that may stop the work and does not count it as bases trained on.
struct Unseen<'a>(&'a dyn Watch);

impl Watch for Unseen<'_> {
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
