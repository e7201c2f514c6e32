//! The norms in plain f64 loops.

use super::{GradParams, Kind, Params};
use crate::{Write, backend::Precision};

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn forward(precision: Precision, params: &Params<'_, f64>, x: &[f64], out: &mut [f64]) {
    let width = super::check(params, x, out);
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let x = precision.operands(x);
        let (mean, scale) = statistics(params, &x);
        for d in 0..width {
            out[d] = (x[d] - mean) * scale * params.weight[d] + params.bias.map_or(0.0, |bias| bias[d]);
        }
    }
}

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn backward(
    precision: Precision,
    params: &Params<'_, f64>,
    x: &[f64],
    d_out: &[f64],
    d_x: &mut [f64],
    write: Write,
    d_params: &mut GradParams<'_, f64>,
) {
    let width = super::check_backward(params, x, d_out, d_x, d_params);
    for t in 0..x.len() / width {
        let x = precision.operands(&x[t * width..][..width]);
        let (d_out, d_x) = (&d_out[t * width..][..width], &mut d_x[t * width..][..width]);
        let (mean, scale) = statistics(params, &x);
        let (mut mean_g, mut mean_product) = (0.0, 0.0);
        for d in 0..width {
            let (normed, g) = ((x[d] - mean) * scale, d_out[d] * params.weight[d]);
            if params.kind == Kind::Layer {
                mean_g += g / width as f64;
            }
            mean_product += g * normed / width as f64;
        }
        for d in 0..width {
            let (normed, g) = ((x[d] - mean) * scale, d_out[d] * params.weight[d]);
            let gradient = scale * (g - mean_g - normed * mean_product);
            match write {
                Write::Set => d_x[d] = gradient,
                Write::Add => d_x[d] += gradient,
            }
            d_params.d_weight[d] += d_out[d] * normed;
            if let Some(d_bias) = &mut d_params.d_bias {
                d_bias[d] += d_out[d];
            }
        }
    }
}

/// What is taken from a row, and what the rest is multiplied by.
fn statistics(params: &Params<'_, f64>, x: &[f64]) -> (f64, f64) {
    let width = x.len() as f64;
    let mean = match params.kind {
        Kind::Rms => 0.0,
        Kind::Layer => x.iter().sum::<f64>() / width,
    };
    let square = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / width;
    (mean, 1.0 / (square + params.epsilon).sqrt())
}
