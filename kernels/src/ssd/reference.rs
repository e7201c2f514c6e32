//! The recurrence in plain f64 loops.

use super::{GradInputs, GradParams, Inputs, Output, Params};
use crate::{Direction, GradRows, Rows, Write};

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
    for t in (0..len).map(|step| position(direction, len, step)) {
        for (head, state) in state.chunks_exact_mut(params.states * params.head_dim).enumerate() {
            advance(params, inputs, t, head, state);
            if let Some(output) = &mut output {
                read_out(params, inputs, t, head, state, output);
            }
        }
    }
}

/// The gradients of [`forward`]; see the [module](super#backward).
///
/// All states of a head are kept at a time.
///
/// # Panics
///
/// Panics if the shapes do not fit.
#[allow(clippy::too_many_arguments, reason = "those of forward, and a gradient for each")]
pub fn backward(
    params: &Params<'_, f64>,
    direction: Direction,
    _start: u64,
    inputs: &Inputs<'_, f64>,
    state: &[f64],
    d_y: Option<Rows<'_, f64>>,
    d_state: &mut [f64],
    mut d_inputs: GradInputs<'_, f64>,
    d_params: &mut GradParams<'_, f64>,
) {
    let len = super::check_backward(params, inputs, state, d_y, d_state, &d_inputs, d_params);
    let GradInputs { d_x, d_dt, d_b, d_c } = &mut d_inputs;
    for gradient in [d_x, d_dt, d_b, d_c] {
        clear(gradient);
    }
    let mut chain = Chain { params, inputs, d_inputs, d_params };
    let size = params.states * params.head_dim;
    for head in 0..params.heads {
        let mut states = state[head * size..][..size].to_vec();
        for step in 0..len {
            states.extend_from_within(step * size..);
            advance(params, inputs, position(direction, len, step), head, &mut states[(step + 1) * size..]);
        }
        let gradient = &mut d_state[head * size..][..size];
        for step in (0..len).rev() {
            let t = position(direction, len, step);
            let (before, after) = states[step * size..][..2 * size].split_at(size);
            if let Some(d_y) = d_y {
                chain.read_out(t, head, after, d_y.row(t), gradient);
            }
            chain.advance(t, head, before, gradient);
        }
    }
}

/// The gradient of the initial state alone; see the [module](super#backward).
///
/// # Panics
///
/// Panics if the shapes do not fit.
pub fn retreat(
    params: &Params<'_, f64>,
    direction: Direction,
    _start: u64,
    inputs: &Inputs<'_, f64>,
    d_y: Rows<'_, f64>,
    d_state: &mut [f64],
) {
    let len = super::check_retreat(params, inputs, d_y, d_state);
    let (least, largest) = params.dt_limit;
    for t in (0..len).rev().map(|step| position(direction, len, step)) {
        for (head, gradient) in d_state.chunks_exact_mut(params.states * params.head_dim).enumerate() {
            let delta = softplus(inputs.dt.row(t)[head] + params.dt_bias[head]).clamp(least, largest);
            let d_y = &d_y.row(t)[head * params.head_dim..];
            let c = &inputs.c.row(t)[group(params, head)];
            for (i, g) in gradient.iter_mut().enumerate() {
                *g += c[i / params.head_dim] * d_y[i % params.head_dim];
                *g *= (delta * params.a[head]).exp();
            }
        }
    }
}

/// The position that is met at a step of the walk.
fn position(direction: Direction, len: usize, step: usize) -> usize {
    match direction {
        Direction::Forward => step,
        Direction::Reverse => len - 1 - step,
    }
}

/// Makes ready for sums what is to be set.
fn clear(gradient: &mut GradRows<'_, f64>) {
    if gradient.write == Write::Set {
        for t in 0..gradient.rows.len() {
            gradient.rows.row(t).fill(0.0);
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

/// The chain rule, one position and head at a time. `gradient` is that of the state, `[N, P]`.
struct Chain<'a, 'b> {
    params: &'a Params<'a, f64>,
    inputs: &'a Inputs<'a, f64>,
    d_inputs: GradInputs<'a, f64>,
    d_params: &'a mut GradParams<'b, f64>,
}

impl Chain<'_, '_> {
    /// From the gradient of y to those of C, x, D and the state.
    fn read_out(&mut self, t: usize, head: usize, state: &[f64], d_y: &[f64], gradient: &mut [f64]) {
        let Self { params, inputs, d_inputs, d_params } = self;
        for p in 0..params.head_dim {
            let channel = head * params.head_dim + p;
            let d_y = d_y[channel];
            d_params.d_d[head] += inputs.x.row(t)[channel] * d_y;
            d_inputs.d_x.rows.row(t)[channel] += params.d[head] * d_y;
            for (n, column) in group(params, head).enumerate() {
                let i = n * params.head_dim + p;
                d_inputs.d_c.rows.row(t)[column] += state[i] * d_y;
                gradient[i] += inputs.c.row(t)[column] * d_y;
            }
        }
    }

    /// From the gradient of the state after `t` to that of the state before it and to those of what drives it.
    fn advance(&mut self, t: usize, head: usize, before: &[f64], gradient: &mut [f64]) {
        let Self { params, inputs, d_inputs, d_params } = self;
        let (least, largest) = params.dt_limit;
        let raw = inputs.dt.row(t)[head] + params.dt_bias[head];
        let free = softplus(raw);
        let delta = free.clamp(least, largest);
        let decay = (delta * params.a[head]).exp();
        let (mut by_exponent, mut by_step) = (0.0, 0.0);
        for (n, column) in group(params, head).enumerate() {
            let b = inputs.b.row(t)[column];
            for p in 0..params.head_dim {
                let channel = head * params.head_dim + p;
                let x = inputs.x.row(t)[channel];
                let g = &mut gradient[n * params.head_dim + p];
                by_exponent += decay * before[n * params.head_dim + p] * *g;
                by_step += b * x * *g;
                d_inputs.d_b.rows.row(t)[column] += delta * x * *g;
                d_inputs.d_x.rows.row(t)[channel] += delta * b * *g;
                *g *= decay;
            }
        }
        let outside = free < least || free > largest;
        let slope = if outside { 0.0 } else { softplus_slope(raw) };
        let d_dt = (params.a[head] * by_exponent + by_step) * slope;
        d_inputs.d_dt.rows.row(t)[head] += d_dt;
        d_params.d_dt_bias[head] += d_dt;
        d_params.d_a[head] += delta * by_exponent;
    }
}

/// ln(1 + e^x), and x itself above 20, where the reference code stops.
fn softplus(x: f64) -> f64 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

/// The derivative of [`softplus`].
fn softplus_slope(x: f64) -> f64 {
    if x > 20.0 { 1.0 } else { 1.0 / (1.0 + (-x).exp()) }
}
