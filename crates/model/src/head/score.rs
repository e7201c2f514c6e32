//! The matrix of a classification head in f64, for pooled hidden states that have come to the host.

use longstrand_kernels::backend::Scalar;

use crate::checkpoint::Weights;
use crate::config::{ClassifierPooling, Config, Head};
#[cfg(feature = "cuda")]
use crate::pooling::{Pooling, Reduction, Spans};
use crate::strand::Arrangement;

/// A classification head's matrix. It is small: one row of D for each label.
#[derive(Clone, Debug)]
pub(crate) struct Score {
    /// `[labels, D]`
    weight: Vec<f64>,
    d_model: usize,
    pub(crate) pooling: ClassifierPooling,
}

impl Score {
    /// The head with the channels as the checkpoint has them, if there is one.
    pub(crate) fn new(config: &Config, weights: &Weights) -> Option<Self> {
        let Head::SequenceClassification { pooling, .. } = config.head else {
            return None;
        };
        let weight = weights.score.as_ref()?.iter().map(|&x| x.into()).collect();
        Some(Self { weight, d_model: config.d_model, pooling })
    }

    /// The head with the channels as the strands have them behind the last layer.
    pub(crate) fn of_strands(config: &Config, weights: &Weights) -> Option<Self> {
        let mut score = Self::new(config, weights)?;
        if Arrangement::after_blocks(config, config.n_layer).swapped {
            score.weight.chunks_exact_mut(config.d_model).for_each(<[f64]>::reverse);
        }
        Some(score)
    }

    /// Logits of the labels: the mean over strands of what each one's pooled hidden states, `[D]`, score.
    pub(crate) fn logits(&self, pooled: &[Vec<f64>]) -> Vec<f64> {
        let strands = pooled.len() as f64;
        let dot = |row: &[f64], pooled: &[f64]| row.iter().zip(pooled).map(|(w, x)| w * x).sum::<f64>();
        let rows = self.weight.chunks_exact(self.d_model);
        rows.map(|row| pooled.iter().map(|pooled| dot(row, pooled)).sum::<f64>() / strands).collect()
    }

    /// The gradient of the pooled hidden states, `[D]`, of each of so many strands.
    pub(crate) fn d_pooled(&self, d_logits: &[f64], strands: usize) -> Vec<f64> {
        let mut d_pooled = vec![0.0; self.d_model];
        for (row, d_logit) in self.weight.chunks_exact(self.d_model).zip(d_logits) {
            d_pooled.iter_mut().zip(row).for_each(|(x, w)| *x += d_logit * w / strands as f64);
        }
        d_pooled
    }

    /// Adds the gradient of the matrix, `[labels, D]`.
    pub(crate) fn add_gradient<S: Scalar>(&self, d_logits: &[f64], pooled: &[Vec<f64>], d_weight: &mut [S]) {
        for (row, d_logit) in d_weight.chunks_exact_mut(self.d_model).zip(d_logits) {
            for (i, x) in row.iter_mut().enumerate() {
                let sum: f64 = pooled.iter().map(|pooled| pooled[i]).sum();
                *x = S::from_f64(x.to_f64() + d_logit * sum / pooled.len() as f64);
            }
        }
    }
}

impl ClassifierPooling {
    /// The position of `len` that is kept by pooling of the first or the last one. What is turned round is the reverse
    /// complement's, whose first position is the last here.
    pub(crate) fn kept_position(self, is_turned: bool, len: usize) -> usize {
        let is_first = (self == Self::First) != is_turned;
        if is_first { 0 } else { len - 1 }
    }

    /// The same as vectors of spans: one, of all positions or of the one that is kept.
    #[cfg(feature = "cuda")]
    pub(crate) fn of_span(self, is_turned: bool, len: usize) -> Pooling {
        match self {
            Self::Mean => Pooling::mean(0..len as u64),
            Self::Max => Pooling { reduction: Reduction::Max, spans: Spans::one(0..len as u64) },
            Self::First | Self::Last => {
                let position = self.kept_position(is_turned, len) as u64;
                Pooling::mean(position..position + 1)
            }
        }
    }
}
