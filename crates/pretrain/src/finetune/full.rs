//! All parameters of a model with its head.

mod cpu;
#[cfg(feature = "cuda")]
mod gpu;

use std::borrow::Cow;

use longstrand_model::checkpoint::{TensorSpec, Weights};
use longstrand_model::config::Config;
use longstrand_model::{Engine, Processor};

use cpu::CpuLearner;
pub(super) use cpu::GROUPS;
#[cfg(feature = "cuda")]
use gpu::GpuLearner;

use super::data::{Part, oriented};
use super::deal::shuffled;
use super::error::FineTuneError;
use super::job::{Best, Epoch};
use super::predict::{Passes, mean_loss};
use super::settings::{Method, Optimization};
use super::task::{ClassWeights, Target, Task};
use crate::optimizer::{AdamW, clip_factor, global_norm};
use crate::random::{Draws, Purpose};

/// How a model is tuned.
pub(super) struct FullFit<'a> {
    pub(super) task: &'a Task,
    pub(super) class_weights: ClassWeights,
    pub(super) optimization: &'a Optimization,
    pub(super) seed: u64,
    pub(super) processor: &'a Processor,
    pub(super) config: &'a Config,
    pub(super) passes: &'a Passes<'a>,
}

/// A model that has been tuned.
pub(super) struct Full {
    pub(super) weights: Weights,
    pub(super) epochs: Vec<Epoch>,
}

/// A sequence of a batch.
struct Case<'a> {
    ids: Cow<'a, [u8]>,
    target: Target,
    /// How much it counts.
    weight: f64,
    /// Its part of the batch's mean.
    share: f64,
}

impl Case<'_> {
    /// The weighted loss of the head's outputs, and the gradient of the batch's mean by them.
    fn judge(&self, task: &Task, outputs: &[f64]) -> (f64, Vec<f64>) {
        let loss = self.weight * task.loss(outputs, self.target);
        (loss, task.d_outputs(outputs, self.target).into_iter().map(|d| d * self.share).collect())
    }
}

/// The loss of a batch, summed by weight, and the gradients of its mean.
struct Learned {
    loss: f64,
    gradients: Weights,
}

/// What computes the gradients of batches.
enum Learner {
    Cpu(CpuLearner),
    #[cfg(feature = "cuda")]
    Cuda(Box<GpuLearner>),
}

impl Learner {
    fn new(fit: &FullFit<'_>, weights: &Weights) -> Self {
        match fit.processor {
            Processor::Cpu(level) => Self::Cpu(CpuLearner::new(*level, fit.config, weights)),
            #[cfg(feature = "cuda")]
            Processor::Cuda(gpus) => Self::Cuda(Box::new(GpuLearner::new(gpus, fit.config, weights))),
        }
    }

    fn learn(&mut self, fit: &FullFit<'_>, weights: &Weights, cases: &[Case<'_>]) -> Result<Learned, FineTuneError> {
        match self {
            Self::Cpu(learner) => learner.learn(fit, weights, cases),
            #[cfg(feature = "cuda")]
            Self::Cuda(learner) => learner.learn(fit, weights, cases),
        }
    }
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
        let mut learner = Learner::new(self, &weights);
        let mut best = Best::new(weights.clone());
        best.offer(valid_loss, || weights.clone());
        let mut epochs = Vec::new();
        for epoch in 0..optimization.epochs {
            let places = shuffled(train.len(), self.seed, Purpose::Order, epoch);
            let order = Order { epoch, places: &places, weights: &counts };
            let loss = self.epoch(&mut weights, &mut optimizer, &mut learner, train, &order)?;
            let valid_loss = match valid.len() {
                0 => None,
                _ => {
                    let model = Engine::of_weights(self.processor, self.config, &weights)?;
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
        learner: &mut Learner,
        train: &Part<'_>,
        order: &Order<'_>,
    ) -> Result<f64, FineTuneError> {
        let schedule = self.optimization.schedule(train.len());
        let mut loss = 0.0;
        for batch in order.places.chunks(self.optimization.batch) {
            let cases = self.cases(train, batch, order);
            let Learned { loss: of_batch, gradients } = learner.learn(self, weights, &cases)?;
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

    /// The sequences of a batch as they are read in an epoch.
    fn cases<'a>(&self, train: &Part<'a>, batch: &[usize], order: &Order<'_>) -> Vec<Case<'a>> {
        let normaliser: f64 = batch.iter().map(|&place| order.weights[place]).sum();
        let case = |&place: &usize| Case {
            ids: oriented(&train.examples[place].ids, self.is_turned(order.epoch, place), self.passes.vocabulary),
            target: train.targets[place],
            weight: order.weights[place],
            share: order.weights[place] / normaliser,
        };
        batch.iter().map(case).collect()
    }

    /// Whether a sequence is read from its other strand in an epoch.
    fn is_turned(&self, epoch: u64, place: usize) -> bool {
        let index = u32::try_from(place).unwrap_or(u32::MAX);
        self.passes.both && Draws::new(self.seed, Purpose::Turn, epoch, index).unit(0) < 0.5
    }
}
