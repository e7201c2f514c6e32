//! The scan in plain f64 loops.

use super::{Inputs, Output, Params};
use crate::{Direction, Write};

/// See the [module](super).
pub fn forward(
    params: &Params<'_, f64>,
    direction: Direction,
    inputs: &Inputs<'_, f64>,
    state: &mut [f64],
    mut output: Option<Output<'_, f64>>,
) {
    let dims = super::check(params, inputs, state, output.as_ref());
    for step in 0..dims.len {
        let t = match direction {
            Direction::Forward => step,
            Direction::Reverse => dims.len - 1 - step,
        };
        for d in 0..dims.channels {
            let delta = softplus(inputs.delta.row(t)[d] + params.delta_bias[d]);
            let u = inputs.u.row(t)[d];
            for n in 0..dims.states {
                let i = n * dims.channels + d;
                state[i] = (delta * params.a[i]).exp() * state[i] + delta * inputs.b.row(t)[n] * u;
            }
            if let Some(output) = &mut output {
                let mut y = params.d[d] * u;
                for n in 0..dims.states {
                    y += output.c.row(t)[n] * state[n * dims.channels + d];
                }
                if let Some(z) = output.z {
                    let z = z.row(t)[d];
                    y *= z / (1.0 + (-z).exp());
                }
                match output.write {
                    Write::Set => output.y.row(t)[d] = y,
                    Write::Add => output.y.row(t)[d] += y,
                }
            }
        }
    }
}

/// ln(1 + eˣ), and x itself above 20, as PyTorch has it.
pub(crate) fn softplus(x: f64) -> f64 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}
