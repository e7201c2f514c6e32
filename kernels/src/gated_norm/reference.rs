//! The gated norm in plain f64 loops.

use super::Params;
use crate::Rows;

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn forward(params: &Params<'_, f64>, x: &mut [f64], z: Rows<'_, f64>) {
    let width = super::check(params, x, &z);
    for (t, x) in x.chunks_exact_mut(width).enumerate() {
        for (x, &z) in x.iter_mut().zip(z.row(t)) {
            *x *= z / (1.0 + (-z).exp());
        }
        for (x, weight) in x.chunks_exact_mut(params.group).zip(params.weight.chunks_exact(params.group)) {
            let square = x.iter().map(|x| x * x).sum::<f64>() / params.group as f64;
            let scale = 1.0 / (square + params.epsilon).sqrt();
            for (x, weight) in x.iter_mut().zip(weight) {
                *x *= scale * weight;
            }
        }
    }
}
