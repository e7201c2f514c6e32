//! Cross-entropy of the next or the masked token: logits and labels to a loss.
//!
//! With `p[t] = softmax(x[t])` and `y[t]` the label of position t:
//!
//! ```text
//! loss[t] = -ln p[t, y[t]] = m[t] + ln Σ_v exp(x[t, v] - m[t]) - x[t, y[t]],   m[t] = max_v x[t, v]
//! sum     = Σ_t w[t] · loss[t],   weight = Σ_t w[t],   over positions whose label is not IGNORED
//! ```
//!
//! | buffer | shape |
//! |---|---|
//! | `logits` | `[L, V]`, V = `width` of at most 255, on a GPU of any size |
//! | `labels` | `[L]`, each less than V or [`IGNORED`] |
//! | `weights` | w, `[L]`, 1 where there are none |
//! | `losses` | `[L]`, optional: `loss[t]` without its weight, 0 where the label is ignored |
//!
//! The mean is `sum / weight`, of one call or of many. Sums are in f64, in the order of the positions within fixed
//! blocks and then of the blocks. The largest logit of a row is what the model says; of equals, the first.
//!
//! # Backward
//!
//! `∂ ln Σ_v exp(x[v]) / ∂x[v] = p[v]`, and `∂x[y] / ∂x[v]` is 1 for v = y and else 0, so with
//! `scale` = ∂ objective / ∂ sum (for the mean, 1 / weight):
//!
//! ```text
//! d_logits[t, v] = scale · w[t] · (p[t, v] - [v = y[t]])      0 where the label is ignored
//! ```
//!
//! `d_logits` is set. Nothing is saved but the logits: the row's maximum and sum are computed again. What is ignored is
//! not looked at, so a NaN there does no harm, and nothing but ignored labels gives a sum and weight of 0 and gradients
//! of 0.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod reference;
#[cfg(test)]
mod tests;

use crate::backend::Scalar;

/// The label of a position that has no part in the loss.
pub const IGNORED: u8 = u8::MAX;

/// What should have been said.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a, S> {
    /// The right token of each position or [`IGNORED`], `[L]`.
    pub labels: &'a [u8],
    /// How much each position counts, `[L]`; all count 1 without.
    pub weights: Option<&'a [S]>,
}

impl<S: Scalar> Targets<'_, S> {
    /// The label and weight of a position, or `None` where it is ignored.
    fn get(&self, t: usize) -> Option<(usize, f64)> {
        let label = self.labels[t];
        (label != IGNORED).then(|| (label.into(), self.weights.map_or(1.0, |weights| weights[t].to_f64())))
    }
}

/// The loss of some positions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Σ w · loss, in nats.
    pub sum: f64,
    /// Σ w.
    pub weight: f64,
    /// How many positions were not ignored.
    pub counted: u64,
    /// At how many of them the label had the largest logit.
    pub correct: u64,
}

impl Loss {
    /// The loss of these and other positions.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            weight: self.weight + other.weight,
            counted: self.counted + other.counted,
            correct: self.correct + other.correct,
        }
    }

    /// The loss of one position.
    fn of(loss: f64, weight: f64, correct: bool) -> Self {
        Self { sum: weight * loss, weight, counted: 1, correct: correct.into() }
    }
}

/// Whether no logit is larger than the label's, and none before it as large.
fn is_largest<S: Scalar + PartialOrd>(row: &[S], label: usize) -> bool {
    row[..label].iter().all(|x| *x < row[label]) && row[label..].iter().all(|x| *x <= row[label])
}

/// Checks all lengths and labels.
fn check<S>(logits: &[S], width: usize, targets: &Targets<'_, S>) {
    assert!((1..=usize::from(IGNORED)).contains(&width), "a vocabulary of {width}, expected 1 to {IGNORED}");
    assert_eq!(logits.len(), targets.labels.len() * width, "length of the logits");
    if let Some(weights) = targets.weights {
        assert_eq!(weights.len(), targets.labels.len(), "length of the weights");
    }
    let is_outside = |&label: &u8| label != IGNORED && usize::from(label) >= width;
    if let Some(t) = targets.labels.iter().position(is_outside) {
        panic!("label {} at position {t} lies outside a vocabulary of {width}", targets.labels[t]);
    }
}

/// Checks the length of what the losses are written to.
fn check_losses<S>(targets: &Targets<'_, S>, losses: Option<&[S]>) {
    if let Some(losses) = losses {
        assert_eq!(losses.len(), targets.labels.len(), "length of the losses");
    }
}
