//! The gradients of a batch on the CPU.

use std::ops::Range;

use longstrand_kernels::{Cpu, simd::Level};
use longstrand_model::Chunking;
use longstrand_model::checkpoint::Weights;
use longstrand_model::config::Config;
use longstrand_model::train::{Gradients, TrainScratch, Trainee};

use super::super::error::FineTuneError;
use super::{Case, FullFit, Learned};

/// Groups that a batch is split into, each with gradients of its own.
pub(in super::super) const GROUPS: usize = 8;

/// Groups of a batch side by side.
pub(super) struct CpuLearner {
    level: Level,
    groups: Vec<Group>,
}

/// A part of a batch, and what was learned from it.
struct Group {
    rows: Range<usize>,
    gradients: Gradients<f32>,
    loss: f64,
}

impl CpuLearner {
    pub(super) fn new(level: Level, config: &Config, weights: &Weights) -> Self {
        let group = |_| Group { rows: 0..0, gradients: Gradients::new(config, weights), loss: 0.0 };
        Self { level, groups: (0..GROUPS).map(group).collect() }
    }

    pub(super) fn learn(
        &mut self,
        fit: &FullFit<'_>,
        weights: &Weights,
        cases: &[Case<'_>],
    ) -> Result<Learned, FineTuneError> {
        let trainee = Trainee::new(Cpu::new(self.level), fit.config, weights);
        let size = cases.len().div_ceil(GROUPS);
        let used = &mut self.groups[..cases.len().div_ceil(size)];
        for (i, group) in used.iter_mut().enumerate() {
            group.rows = i * size..((i + 1) * size).min(cases.len());
        }
        let longest = cases.iter().map(|case| case.ids.len()).max().unwrap_or_default();
        let learn = |scratch: &mut TrainScratch<f32>, group: &mut Group| {
            group.gradients.zero();
            group.loss = 0.0;
            cases[group.rows.clone()].iter().try_for_each(|case| group.learn(fit, &trainee, scratch, case))
        };
        fit.passes.lanes.each(used.iter_mut().collect(), longest, || trainee.scratch(), learn)?;
        let (first, others) = used.split_first_mut().expect("a batch is not empty");
        others.iter().for_each(|group| first.gradients.add(&group.gradients));
        let loss = first.loss + others.iter().map(|group| group.loss).sum::<f64>();
        Ok(Learned { loss, gradients: first.gradients.fold(fit.config, weights) })
    }
}

impl Group {
    fn learn(
        &mut self,
        fit: &FullFit<'_>,
        trainee: &Trainee<Cpu>,
        scratch: &mut TrainScratch<f32>,
        case: &Case<'_>,
    ) -> Result<(), FineTuneError> {
        let classified = trainee.classify(&case.ids, Chunking::Auto, scratch).expect("the model was given a head");
        let outputs: Vec<f64> = classified.logits().iter().map(|&x| f64::from(x)).collect();
        let (loss, d_outputs) = case.judge(fit.task, &outputs);
        self.loss += loss;
        classified.backward(&d_outputs, &mut self.gradients);
        fit.passes.progress.passed(case.ids.len())
    }
}
