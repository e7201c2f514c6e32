//! The loss in plain f64 loops.

use super::{Loss, Targets};

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit or a label lies outside the vocabulary.
pub fn forward(logits: &[f64], width: usize, targets: &Targets<'_, f64>, mut losses: Option<&mut [f64]>) -> Loss {
    super::check(logits, width, targets);
    super::check_losses(targets, losses.as_deref());
    let mut total = Loss::default();
    for (t, row) in logits.chunks_exact(width).enumerate() {
        let mut loss = 0.0;
        if let Some((label, weight)) = targets.get(t) {
            loss = log_normaliser(row) - row[label];
            total = total.and(Loss::of(loss, weight, super::is_largest(row, label)));
        }
        if let Some(losses) = &mut losses {
            losses[t] = loss;
        }
    }
    total
}

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit or a label lies outside the vocabulary.
pub fn backward(logits: &[f64], width: usize, targets: &Targets<'_, f64>, scale: f64, d_logits: &mut [f64]) {
    super::check(logits, width, targets);
    assert_eq!(d_logits.len(), logits.len(), "length of the gradient");
    d_logits.fill(0.0);
    for (t, row) in logits.chunks_exact(width).enumerate() {
        if let Some((label, weight)) = targets.get(t) {
            let normaliser = log_normaliser(row);
            for v in 0..width {
                let target = if v == label { 1.0 } else { 0.0 };
                d_logits[t * width + v] = scale * weight * ((row[v] - normaliser).exp() - target);
            }
        }
    }
}

/// ln Σ exp(x)
fn log_normaliser(row: &[f64]) -> f64 {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + row.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}
