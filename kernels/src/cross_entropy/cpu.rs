//! The loss in f32 with sums in f64. A row is normalised as by [`crate::log_softmax`], with the portable vector at every
//! level.

use rayon::prelude::*;

use super::{Loss, Targets};
use crate::{
    log_softmax::cpu::{LEAST, normaliser},
    simd::{Portable, Vector, exp, sweep},
    tasks,
};

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit or a label lies outside the vocabulary.
pub fn forward(logits: &[f32], width: usize, targets: &Targets<'_, f32>, losses: Option<&mut [f32]>) -> Loss {
    super::check(logits, width, targets);
    super::check_losses(targets, losses.as_deref());
    let rows = tasks::rows(width);
    let blocks = logits.par_chunks(rows * width).enumerate();
    let of_block =
        |i: usize, logits: &[f32], losses: Option<&mut [f32]>| forward_rows(logits, width, targets, i * rows, losses);
    let parts: Vec<Loss> = match losses {
        Some(losses) => {
            let blocks = blocks.zip(losses.par_chunks_mut(rows));
            blocks.map(|((i, logits), losses)| of_block(i, logits, Some(losses))).collect()
        }
        None => blocks.map(|(i, logits)| of_block(i, logits, None)).collect(),
    };
    parts.into_iter().fold(Loss::default(), Loss::and)
}

/// The loss of the rows `first..`.
fn forward_rows(
    logits: &[f32],
    width: usize,
    targets: &Targets<'_, f32>,
    first: usize,
    mut losses: Option<&mut [f32]>,
) -> Loss {
    let mut total = Loss::default();
    for (t, row) in logits.chunks_exact(width).enumerate() {
        let mut loss = 0.0;
        if let Some((label, weight)) = targets.get(first + t) {
            let (max, log) = normaliser(row);
            loss = (max - row[label]) + log;
            total = total.and(Loss::of(loss.into(), weight, super::is_largest(row, label)));
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
pub fn backward(logits: &[f32], width: usize, targets: &Targets<'_, f32>, scale: f64, d_logits: &mut [f32]) {
    super::check(logits, width, targets);
    assert_eq!(d_logits.len(), logits.len(), "length of the gradient");
    let rows = tasks::rows(width);
    let blocks = logits.par_chunks(rows * width).zip(d_logits.par_chunks_mut(rows * width));
    blocks.enumerate().for_each(|(i, (logits, d_logits))| {
        for (t, (row, d_row)) in logits.chunks_exact(width).zip(d_logits.chunks_exact_mut(width)).enumerate() {
            match targets.get(i * rows + t) {
                Some((label, weight)) => backward_row(row, label, (scale * weight) as f32, d_row),
                None => d_row.fill(0.0),
            }
        }
    });
}

/// `scale` times the probabilities, less one of the label.
fn backward_row(row: &[f32], label: usize, scale: f32, d_row: &mut [f32]) {
    let (max, log) = normaliser(row);
    let (x, d_x) = (row.as_ptr(), d_row.as_mut_ptr());
    // SAFETY: the two rows are equally wide, and every machine has the portable vector.
    unsafe {
        let (max, log, least) = (Portable::splat(max), Portable::splat(log), Portable::splat(LEAST));
        sweep!(Portable, row.len(), |v, lanes| {
            let difference = Portable::load_first(x.add(v), lanes).sub(max);
            exp(least.max(difference.sub(log))).store_first(d_x.add(v), lanes);
        });
    }
    d_row[label] -= 1.0;
    for x in d_row {
        *x *= scale;
    }
}
