//! The recurrence in plain f64 loops.

use super::{Inputs, Output, Params};
use crate::{Direction, Write};

/// See the [module](super). The recurrence has no grid: `start` changes nothing.
///
/// # Panics
///
/// Panics if the shapes do not fit.
pub fn forward(
    params: &Params<'_, f64>,
    direction: Direction,
    _start: u64,
    inputs: &Inputs<'_, f64>,
    state: &mut [f64],
    mut output: Option<Output<'_, f64>>,
) {
    let len = super::check(params, inputs, state, output.as_ref());
    for step in 0..len {
        let t = match direction {
            Direction::Forward => step,
            Direction::Reverse => len - 1 - step,
        };
        for (head, state) in state.chunks_exact_mut(params.states * params.head_dim).enumerate() {
            advance(params, inputs, t, head, state);
            if let Some(output) = &mut output {
                read_out(params, inputs, t, head, state, output);
            }
        }
    }
}

/// The columns of B and C that belong to a head.
fn group(params: &Params<'_, f64>, head: usize) -> std::ops::Range<usize> {
    let group = head / (params.heads / params.groups);
    group * params.states..(group + 1) * params.states
}

fn advance(params: &Params<'_, f64>, inputs: &Inputs<'_, f64>, t: usize, head: usize, state: &mut [f64]) {
    let (least, largest) = params.dt_limit;
    let delta = softplus(inputs.dt.row(t)[head] + params.dt_bias[head]).clamp(least, largest);
    let decay = (delta * params.a[head]).exp();
    let b = &inputs.b.row(t)[group(params, head)];
    let x = &inputs.x.row(t)[head * params.head_dim..][..params.head_dim];
    for n in 0..params.states {
        for p in 0..params.head_dim {
            let s = &mut state[n * params.head_dim + p];
            *s = decay * *s + delta * b[n] * x[p];
        }
    }
}

fn read_out(
    params: &Params<'_, f64>,
    inputs: &Inputs<'_, f64>,
    t: usize,
    head: usize,
    state: &[f64],
    output: &mut Output<'_, f64>,
) {
    let c = &inputs.c.row(t)[group(params, head)];
    let write = output.write;
    for p in 0..params.head_dim {
        let channel = head * params.head_dim + p;
        let mut sum = params.d[head] * inputs.x.row(t)[channel];
        for n in 0..params.states {
            sum += c[n] * state[n * params.head_dim + p];
        }
        let y = &mut output.y.row(t)[channel];
        match write {
            Write::Set => *y = sum,
            Write::Add => *y += sum,
        }
    }
}

/// ln(1 + e^x), and x itself above 20, where the reference code stops.
fn softplus(x: f64) -> f64 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}
