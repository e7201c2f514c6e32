//! The norms in plain f64 loops.

use super::{Kind, Params};

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn forward(params: &Params<'_, f64>, x: &[f64], out: &mut [f64]) {
    let width = super::check(params, x, out);
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let mean = match params.kind {
            Kind::Rms => 0.0,
            Kind::Layer => x.iter().sum::<f64>() / width as f64,
        };
        let square = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / width as f64;
        let scale = 1.0 / (square + params.epsilon).sqrt();
        for d in 0..width {
            out[d] = (x[d] - mean) * scale * params.weight[d] + params.bias.map_or(0.0, |bias| bias[d]);
        }
    }
}
