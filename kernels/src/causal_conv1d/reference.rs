//! The convolution in plain f64 loops.

use super::Params;
use crate::{Direction, Rows};

/// See the [module](super).
///
/// # Panics
///
/// Panics if the shapes do not fit or there are more than [`MAX_KERNEL`](super::MAX_KERNEL) taps.
pub fn forward(params: &Params<'_, f64>, direction: Direction, x: Rows<'_, f64>, state: &mut [f64], out: &mut [f64]) {
    let (len, channels, kernel) = super::check(params, &x, state, out);
    let before = kernel - 1;
    // The K-1 outside positions and the sequence itself, in the order of positions.
    let mut padded: Vec<f64> = Vec::with_capacity((len + before) * channels);
    let rows = (0..len).flat_map(|t| x.row(t).iter().copied());
    match direction {
        Direction::Forward => {
            padded.extend(&*state);
            padded.extend(rows);
        }
        Direction::Reverse => {
            padded.extend(rows);
            padded.extend(&*state);
        }
    }
    for t in 0..len {
        for d in 0..channels {
            let mut sum = params.bias.map_or(0.0, |bias| bias[d]);
            for k in 0..kernel {
                let tap = match direction {
                    Direction::Forward => k,
                    Direction::Reverse => before - k,
                };
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
