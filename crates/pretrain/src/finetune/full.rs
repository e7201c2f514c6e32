//! All parameters of a model with its head.

use std::ops::Range;

use longstrand_kernels::{Cpu, simd::Level};
use longstrand_model::checkpoint::{TensorSpec, Weights};
use longstrand_model::config::Config;
use longstrand_model::train::{Gradients, TrainScratch, Trainee};
use longstrand_model::{Chunking, Model};

use super::data::{Part, oriented};
use super::deal::shuffled;
use super::error::FineTuneError;
use super::job::{Best, Epoch};
use super::predict::{Passes, mean_loss};
use super::settings::{Method, Optimization};
use super::task::{ClassWeights, Task};
use crate::optimizer::{AdamW, clip_factor, global_norm};
use crate::random::{Draws, Purpose};

/// Groups that a batch is split into, each with gradients of its own.
pub(super) const GROUPS: usize = 8;

/// How a model is tuned.
pub(super) struct FullFit<'a> {
    pub(super) task: &'a Task,
    pub(super) class_weights: ClassWeights,
    pub(super) optimization: &'a Optimization,
    pub(super) seed: u64,
    pub(super) level: Level,
    pub(super) config: &'a Config,
    pub(super) passes: &'a Passes<'a>,
}

/// A model that has been tuned.
pub(super) struct Full {
    pub(super) weights: Weights,
    pub(super) epochs: Vec<Epoch>,
}

/// A part of a batch, and what was learned from it.
struct Group {
    rows: Range<usize>,
    gradients: Gradients<f32>,
    loss: f64,
}

/// An epoch's sequences in their order.
struct Order<'a> {
    epoch: u64,
    places: &'a [usize],
    /// How much each sequence of the part counts.
    weights: &'a [f64],
}

impl FullFit<'_> {
    /// Tunes `weights`, whose loss on the validation part is `valid_loss`; they are kept if no epoch is better.
    pub(super) fn fit(
        &self,
        mut weights: Weights,
        valid_loss: Option<f64>,
        train: &Part<'_>,
        valid: &Part<'_>,
    ) -> Result<Full, FineTuneError> {
        let Self { task, optimization, passes, .. } = self;
        let counts = task.weights(&train.targets, self.class_weights);
        let valid_weights = task.weights(&valid.targets, self.class_weights);
        let specs = TensorSpec::all(self.config);
        let shapes = specs.iter().map(|spec| (spec.name.as_str(), spec.shape.as_slice()));
        let mut optimizer = AdamW::new(optimization.adamw(), shapes);
        let mut groups: Vec<Group> = (0..GROUPS)
            .map(|_| Group { rows: 0..0, gradients: Gradients::new(self.config, &weights), loss: 0.0 })
            .collect();
        let mut best = Best::new(weights.clone());
        best.offer(valid_loss, || weights.clone());
        let mut epochs = Vec::new();
        for epoch in 0..optimization.epochs {
            let places = shuffled(train.len(), self.seed, Purpose::Order, epoch);
            let order = Order { epoch, places: &places, weights: &counts };
            let loss = self.epoch(&mut weights, &mut optimizer, &mut groups, train, &order)?;
            let valid_loss = match valid.len() {
                0 => None,
                _ => {
                    let model = Model::of_weights(Cpu::new(self.level), self.config.clone(), &weights);
                    let outputs = passes.outputs(&model, &valid.examples)?;
                    Some(mean_loss(task, &outputs, valid, &valid_weights))
                }
            };
            best.offer(valid_loss, || weights.clone());
            let done = Epoch { stage: Method::Full, epoch: epoch + 1, loss, valid_loss };
            passes.progress.watch.note(&format!("{done} of {}", optimization.epochs));
            epochs.push(done);
        }
        Ok(Full { weights: best.into_kept(), epochs })
    }

    /// Steps over all sequences once; returns their mean loss.
    fn epoch(
        &self,
        weights: &mut Weights,
        optimizer: &mut AdamW,
        groups: &mut [Group],
        train: &Part<'_>,
        order: &Order<'_>,
    ) -> Result<f64, FineTuneError> {
        let schedule = self.optimization.schedule(train.len());
        let mut loss = 0.0;
        for batch in order.places.chunks(self.optimization.batch) {
            let (of_batch, gradients) = self.learn(weights, groups, train, batch, order)?;
            let tensors = gradients.tensors();
            let norm = self.passes.lanes.together(|| global_norm(&tensors));
            if !norm.is_finite() || !of_batch.is_finite() {
                return Err(FineTuneError::Diverged { step: optimizer.step() + 1, epoch: order.epoch + 1 });
            }
            let (rate, factor) = (schedule.rate(optimizer.step()), clip_factor(norm, self.optimization.clip));
            let mut parameters = weights.tensors_mut();
            self.passes.lanes.together(|| optimizer.update(rate, factor, &mut parameters, &tensors));
            loss += of_batch;
        }
        Ok(loss / order.weights.iter().sum::<f64>())
    }

    /// The loss of a batch, summed by weight, and the gradients of its mean.
    fn learn(
        &self,
        weights: &Weights,
        groups: &mut [Group],
        train: &Part<'_>,
        batch: &[usize],
        order: &Order<'_>,
    ) -> Result<(f64, Weights), FineTuneError> {
        let trainee = Trainee::new(Cpu::new(self.level), self.config, weights);
        let normaliser: f64 = batch.iter().map(|&place| order.weights[place]).sum();
        let size = batch.len().div_ceil(GROUPS);
        let used = batch.len().div_ceil(size);
        for (i, group) in groups[..used].iter_mut().enumerate() {
            group.rows = i * size..((i + 1) * size).min(batch.len());
        }
        let longest = batch.iter().map(|&place| train.examples[place].ids.len()).max().unwrap_or_default();
        let jobs = groups[..used].iter_mut().collect();
        let learn = |scratch: &mut TrainScratch<f32>, group: &mut Group| {
            group.gradients.zero();
            group.loss = 0.0;
            for &place in &batch[group.rows.clone()] {
                let share = order.weights[place] / normaliser;
                self.learn_one(&trainee, scratch, group, train, place, order, share)?;
            }
            Ok(())
        };
        self.passes.lanes.each(jobs, longest, || trainee.scratch(), learn)?;
        let (first, others) = groups[..used].split_first_mut().expect("a batch is not empty");
        others.iter().for_each(|group| first.gradients.add(&group.gradients));
        let loss = first.loss + others.iter().map(|group| group.loss).sum::<f64>();
        Ok((loss, first.gradients.fold(self.config, weights)))
    }

    #[expect(clippy::too_many_arguments, reason = "a sequence with its place in the batch and where its gradients go")]
    fn learn_one(
        &self,
        trainee: &Trainee<Cpu>,
        scratch: &mut TrainScratch<f32>,
        group: &mut Group,
        train: &Part<'_>,
        place: usize,
        order: &Order<'_>,
        share: f64,
    ) -> Result<(), FineTuneError> {
        let (example, target) = (train.examples[place], train.targets[place]);
        let ids = oriented(&example.ids, self.is_turned(order.epoch, place), self.passes.vocabulary);
        let classified = trainee.classify(&ids, Chunking::Auto, scratch).expect("the model was given a head");
        let outputs: Vec<f64> = classified.logits().iter().map(|&x| f64::from(x)).collect();
        group.loss += order.weights[place] * self.task.loss(&outputs, target);
        let d_outputs: Vec<f64> = self.task.d_outputs(&outputs, target).into_iter().map(|d| d * share).collect();
        classified.backward(&d_outputs, &mut group.gradients);
        self.passes.progress.passed(ids.len())
    }

    /// Whether a sequence is read from its other strand in an epoch.
    fn is_turned(&self, epoch: u64, place: usize) -> bool {
        let index = u32::try_from(place).unwrap_or(u32::MAX);
        self.passes.both && Draws::new(self.seed, Purpose::Turn, epoch, index).unit(0) < 0.5
    }
}
