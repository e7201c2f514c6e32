//! The gated norm in plain f64 loops.

use super::{GradInputs, Params};
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

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn backward(
    params: &Params<'_, f64>,
    x: &[f64],
    z: Rows<'_, f64>,
    d_out: &[f64],
    d_inputs: GradInputs<'_, f64>,
    d_weight: &mut [f64],
) {
    let width = super::check_backward(params, x, &z, d_out, &d_inputs, d_weight);
    let GradInputs { d_x, mut d_z } = d_inputs;
    let gate = |z: f64| z / (1.0 + (-z).exp());
    for t in 0..z.len() {
        let (x, z, d_out) = (&x[t * width..][..width], z.row(t), &d_out[t * width..][..width]);
        for start in (0..width).step_by(params.group) {
            let channels = || start..start + params.group;
            let n = params.group as f64;
            let square = channels().map(|d| (x[d] * gate(z[d])).powi(2)).sum::<f64>() / n;
            let scale = 1.0 / (square + params.epsilon).sqrt();
            let normed = |d: usize| x[d] * gate(z[d]) * scale;
            let product = channels().map(|d| d_out[d] * params.weight[d] * normed(d)).sum::<f64>() / n;
            for d in channels() {
                let d_gated = scale * (d_out[d] * params.weight[d] - normed(d) * product);
                let sigmoid = 1.0 / (1.0 + (-z[d]).exp());
                d_x[t * width + d] = d_gated * gate(z[d]);
                d_z.row(t)[d] = d_gated * x[d] * sigmoid * (1.0 + z[d] * (1.0 - sigmoid));
                d_weight[d] += d_out[d] * normed(d);
            }
        }
    }
}
