//! The head alone, on hidden states that do not change.
//!
//! Each channel is divided by its standard deviation over the training part, so that one learning rate suits all; the
//! factors are taken into `score` at the end. Nothing is subtracted, as the head has no bias to take that up.

use super::data::Part;
use super::deal::shuffled;
use super::error::FineTuneError;
use super::job::{Best, Epoch};
use super::predict::{Progress, mean_loss};
use super::settings::{Method, Optimization};
use super::task::{ClassWeights, Task};
use crate::optimizer::{AdamW, clip_factor, global_norm};
use crate::random::Purpose;

/// How a head is fitted.
pub(super) struct HeadFit<'a> {
    pub(super) task: &'a Task,
    pub(super) class_weights: ClassWeights,
    pub(super) optimization: &'a Optimization,
    pub(super) seed: u64,
}

/// A head that has been fitted.
pub(super) struct Head {
    /// `[outputs, D]`
    pub(super) score: Vec<f32>,
    pub(super) epochs: Vec<Epoch>,
}

/// A batch's loss by weight, and its gradient.
struct Learned {
    loss: f64,
    gradient: Vec<f32>,
}

impl HeadFit<'_> {
    pub(super) fn fit(
        &self,
        train: &Part<'_>,
        valid: &Part<'_>,
        progress: &Progress<'_>,
    ) -> Result<Head, FineTuneError> {
        let (outputs, d) = (self.task.outputs(), train.hidden[0].len());
        let factors = factors(train, d);
        let weights = self.task.weights(&train.targets, self.class_weights);
        let valid_weights = self.task.weights(&valid.targets, self.class_weights);
        let mut score = vec![0.0; outputs * d];
        let mut optimizer = AdamW::new(self.optimization.adamw(), [("score.weight", [outputs, d].as_slice())]);
        let schedule = self.optimization.schedule(train.len());
        let mut best = Best::new(unscaled(&score, &factors));
        let mut epochs = Vec::new();
        for epoch in 0..self.optimization.epochs {
            progress.check()?;
            let order = shuffled(train.len(), self.seed, Purpose::Order, epoch);
            let mut loss = 0.0;
            for batch in order.chunks(self.optimization.batch) {
                let learned = self.learn(train, batch, &weights, &score, &factors);
                let norm = global_norm(&[&learned.gradient]);
                if !norm.is_finite() {
                    return Err(FineTuneError::Diverged { step: optimizer.step() + 1, epoch: epoch + 1 });
                }
                let rate = schedule.rate(optimizer.step());
                let factor = clip_factor(norm, self.optimization.clip);
                optimizer.update(rate, factor, &mut [&mut score], &[&learned.gradient]);
                loss += learned.loss;
            }
            let current = unscaled(&score, &factors);
            let valid_loss = (valid.len() > 0)
                .then(|| mean_loss(self.task, &outputs_of(&current, &valid.hidden), valid, &valid_weights));
            best.offer(valid_loss, || current);
            let loss = loss / weights.iter().sum::<f64>();
            epochs.push(Epoch { stage: Method::HeadOnly, epoch: epoch + 1, loss, valid_loss });
        }
        Ok(Head { score: best.into_kept(), epochs })
    }

    fn learn(&self, train: &Part<'_>, batch: &[usize], weights: &[f64], score: &[f32], factors: &[f32]) -> Learned {
        let d = factors.len();
        let normaliser: f64 = batch.iter().map(|&place| weights[place]).sum();
        let mut sums = vec![0.0; score.len()];
        let mut loss = 0.0;
        for &place in batch {
            let scaled: Vec<f32> = train.hidden[place].iter().zip(factors).map(|(x, factor)| x * factor).collect();
            let outputs = head_outputs(score, &scaled);
            loss += weights[place] * self.task.loss(&outputs, train.targets[place]);
            let d_outputs = self.task.d_outputs(&outputs, train.targets[place]);
            for (sums, d_output) in sums.chunks_exact_mut(d).zip(d_outputs) {
                let d_output = d_output * weights[place] / normaliser;
                sums.iter_mut().zip(&scaled).for_each(|(sum, &x)| *sum += d_output * f64::from(x));
            }
        }
        Learned { loss, gradient: sums.into_iter().map(|sum: f64| sum as f32).collect() }
    }
}

/// One over the standard deviation of each channel; 1 where it is 0.
fn factors(train: &Part<'_>, d: usize) -> Vec<f32> {
    let n = train.len() as f64;
    let channel = |i: usize| {
        let values = || train.hidden.iter().map(|row| f64::from(row[i]));
        let mean = values().sum::<f64>() / n;
        let deviation = (values().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        if deviation > 0.0 { (1.0 / deviation) as f32 } else { 1.0 }
    };
    (0..d).map(channel).collect()
}

fn unscaled(score: &[f32], factors: &[f32]) -> Vec<f32> {
    score.iter().zip(factors.iter().cycle()).map(|(w, factor)| w * factor).collect()
}

/// The outputs of a head `[outputs, D]` for pooled hidden states `[D]`.
fn head_outputs(score: &[f32], hidden: &[f32]) -> Vec<f64> {
    let dot = |row: &[f32]| row.iter().zip(hidden).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
    score.chunks_exact(hidden.len()).map(dot).collect()
}

/// The outputs for many.
pub(super) fn outputs_of(score: &[f32], hidden: &[&[f32]]) -> Vec<Vec<f64>> {
    hidden.iter().map(|hidden| head_outputs(score, hidden)).collect()
}
