//! What is to be tuned, and how.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use longstrand_seq::GenomeOptions;

use super::error::FineTuneError;
use super::task::{ClassWeights, TaskKind};
use crate::optimizer::AdamWOptions;
use crate::schedule::{FirstStep, Form, Schedule, Warmup};

/// What is learned from.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A table for each part.
    Files {
        /// What is learned from.
        train: PathBuf,
        /// What decides the best epoch; without it a part of `train` is held out for that.
        valid: Option<PathBuf>,
        /// What only measures.
        test: Option<PathBuf>,
    },
    /// One table that is split into so many parts; each in turn is the test part.
    Folds {
        /// The table.
        table: PathBuf,
        /// How many parts, at least 2.
        folds: usize,
    },
}

/// What changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// The head.
    HeadOnly,
    /// The head, and then all parameters.
    Full,
}

/// Which strands are used of a model that is not equivariant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Strands {
    /// Both.
    #[default]
    Both,
    /// The sequence as it is given.
    Forward,
}

/// How parameters are moved: AdamW (β 0.9 and 0.999), a linear warm-up and half a cosine down to 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimization {
    /// Times that each sequence is seen.
    pub epochs: u64,
    /// Sequences of a step, at least 1.
    pub batch: usize,
    /// The highest learning rate.
    pub rate: f64,
    /// Decay of matrices.
    pub weight_decay: f64,
    /// The fraction of steps in which the rate rises.
    pub warmup: f64,
    /// The largest norm of all gradients.
    pub clip: f64,
}

impl Optimization {
    /// What suits a head alone.
    pub const HEAD: Self = Self { epochs: 40, batch: 64, rate: 1e-2, weight_decay: 0.01, warmup: 0.1, clip: 1.0 };

    /// What suits all parameters of a trained model.
    pub const FULL: Self = Self { epochs: 3, batch: 32, rate: 2e-4, weight_decay: 0.01, warmup: 0.1, clip: 1.0 };

    pub(super) fn adamw(&self) -> AdamWOptions {
        AdamWOptions { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: self.weight_decay }
    }

    pub(super) fn schedule(&self, sequences: usize) -> Schedule {
        let steps = self.epochs * sequences.div_ceil(self.batch) as u64;
        let warmup = (self.warmup * steps as f64).round() as u64;
        Schedule {
            warmup: Warmup { start: 0.0, steps: warmup, first: FirstStep::OneIncrement },
            peak: self.rate,
            form: Form::Cosine { steps, last: 0.0 },
        }
    }
}

/// A fine-tuning.
#[derive(Clone, Debug, PartialEq)]
pub struct FineTuning {
    /// The tables.
    pub input: Input,
    /// The genome of tables of intervals.
    pub genome: Option<PathBuf>,
    /// How it is understood.
    pub genome_options: GenomeOptions,
    /// What labels are.
    pub kind: TaskKind,
    /// What changes.
    pub method: Method,
    /// Which strands are used.
    pub strands: Strands,
    /// Bases of a sequence that are used, around its centre; at least 1.
    pub longest: usize,
    /// The fraction of the training table that is held out to decide the best epoch where there is no validation table; of 0
    /// the last epoch counts.
    pub valid_fraction: f64,
    /// How much classes count.
    pub class_weights: ClassWeights,
    /// How the head is fitted.
    pub head: Optimization,
    /// How all parameters are tuned.
    pub full: Optimization,
    /// What orders, strands and parts depend on.
    pub seed: u64,
    /// Threads.
    pub threads: NonZeroUsize,
    /// Bytes of memory that may be used, where it is known.
    pub available_memory: Option<u64>,
}

impl FineTuning {
    /// Whether all numbers are in bounds.
    pub(super) fn check(&self) -> Result<(), FineTuneError> {
        let usage = |message: String| Err(FineTuneError::Usage(message));
        if !(0.0..1.0).contains(&self.valid_fraction) {
            return usage(format!(
                "expected a validation fraction of at least 0 and below 1, found {}",
                self.valid_fraction
            ));
        }
        for optimization in [&self.head, &self.full] {
            let Optimization { rate, weight_decay, warmup, clip, batch, .. } = *optimization;
            if !(rate > 0.0 && rate.is_finite()) {
                return usage(format!("expected a learning rate above 0, found {rate}"));
            }
            if !(weight_decay >= 0.0 && weight_decay.is_finite()) {
                return usage(format!("expected a weight decay of at least 0, found {weight_decay}"));
            }
            if !(0.0..=1.0).contains(&warmup) || clip.is_nan() || clip <= 0.0 || batch == 0 {
                return usage("expected a warm-up from 0 to 1, a clipping norm above 0 and a batch above 0".into());
            }
        }
        match self.input {
            Input::Folds { folds: 0 | 1, .. } => usage("expected at least 2 folds".into()),
            _ if self.longest == 0 => usage("expected at least one base of each sequence".into()),
            _ => Ok(()),
        }
    }
}
