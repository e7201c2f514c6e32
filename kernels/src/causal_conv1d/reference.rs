//! The convolution in plain f64 loops.

use super::{GradParams, Params};
use crate::{Direction, GradRows, Rows};

/// See the [module](super).
///
/// # Panics
///
/// Panics if the shapes do not fit or there are more than [`MAX_KERNEL`](super::MAX_KERNEL) taps.
pub fn forward(params: &Params<'_, f64>, direction: Direction, x: Rows<'_, f64>, state: &mut [f64], out: &mut [f64]) {
    let (len, channels, kernel) = super::check(params, &x, state, out);
    let before = kernel - 1;
    let padded = padded(direction, x, state);
    for t in 0..len {
        for d in 0..channels {
            let mut sum = params.bias.map_or(0.0, |bias| bias[d]);
            for k in 0..kernel {
                let tap = direction.nth(k, kernel);
                sum += params.weight[tap * channels + d] * padded[(t + k) * channels + d];
            }
            out[t * channels + d] = sum / (1.0 + (-sum).exp());
        }
    }
    let kept = match direction {
        Direction::Forward => &padded[len * channels..],
        Direction::Reverse => &padded[..before * channels],
    };
    state.copy_from_slice(kept);
}

/// The K-1 outside positions and the sequence itself, in the order of positions.
fn padded(direction: Direction, x: Rows<'_, f64>, state: &[f64]) -> Vec<f64> {
    let rows = (0..x.len()).flat_map(|t| x.row(t).iter().copied());
    match direction {
        Direction::Forward => state.iter().copied().chain(rows).collect(),
        Direction::Reverse => rows.chain(state.iter().copied()).collect(),
    }
}

/// See the [module](super).
///
/// # Panics
///
/// Panics if the shapes do not fit or there are more than [`MAX_KERNEL`](super::MAX_KERNEL) taps.
#[allow(clippy::too_many_arguments, reason = "those of `forward` and their gradients")]
pub fn backward(
    params: &Params<'_, f64>,
    direction: Direction,
    x: Rows<'_, f64>,
    state: &[f64],
    d_out: &[f64],
    d_state: &mut [f64],
    mut d_x: GradRows<'_, f64>,
    d_params: &mut GradParams<'_, f64>,
) {
    let (len, channels, kernel) = super::check_backward(params, &x, state, d_out, d_state, &d_x, d_params);
    let outside = (kernel - 1) * channels;
    let padded = padded(direction, x, state);
    // The rows of `padded` that are the final state, the initial one, and the sequence.
    let (last, first, sequence) = match direction {
        Direction::Forward => (len * channels, 0, outside),
        Direction::Reverse => (0, len * channels, 0),
    };
    let mut d_padded = vec![0.0; padded.len()];
    d_padded[last..last + outside].copy_from_slice(d_state);
    for t in 0..len {
        for d in 0..channels {
            let taps = || (0..kernel).map(|k| (direction.nth(k, kernel) * channels + d, (t + k) * channels + d));
            let bias = params.bias.map_or(0.0, |bias| bias[d]);
            let sum = taps().fold(bias, |sum, (tap, i)| sum + params.weight[tap] * padded[i]);
            let s = 1.0 / (1.0 + (-sum).exp());
            let d_sum = d_out[t * channels + d] * s * (1.0 + sum * (1.0 - s));
            for (tap, i) in taps() {
                d_params.d_weight[tap] += d_sum * padded[i];
                d_padded[i] += d_sum * params.weight[tap];
            }
            if let Some(d_bias) = &mut d_params.d_bias {
                d_bias[d] += d_sum;
            }
        }
    }
    d_state.copy_from_slice(&d_padded[first..first + outside]);
    for (i, d) in d_padded[sequence..sequence + len * channels].iter().enumerate() {
        d_x.put(i / channels, i % channels, *d);
    }
}
