//! The scan in plain f64 loops.

use super::{Dims, GradInputs, GradParams, Inputs, Output, Params, Readout};
use crate::{Direction, Rows, Write};

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
        let t = direction.nth(step, dims.len);
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

/// See the [module](super). Keeps the states of all positions.
#[allow(clippy::too_many_arguments, reason = "those of `forward` and their gradients")]
pub fn backward(
    params: &Params<'_, f64>,
    direction: Direction,
    inputs: &Inputs<'_, f64>,
    state: &[f64],
    readout: Option<&Readout<'_, f64>>,
    d_state: &mut [f64],
    mut d_inputs: GradInputs<'_, f64>,
    d_params: &mut GradParams<'_, f64>,
) {
    let dims = super::check_backward(params, inputs, state, readout, d_state, &d_inputs, d_params);
    let Dims { len, channels, states } = dims;
    let at = |step: usize| direction.nth(step, len);
    let all = states_of_all_steps(params, inputs, state, dims, at);
    for step in (0..len).rev() {
        let (t, before, after) = (at(step), &all[step], &all[step + 1]);
        let (mut d_b, mut d_c) = (vec![0.0; states], vec![0.0; states]);
        for d in 0..channels {
            let raw = inputs.delta.row(t)[d] + params.delta_bias[d];
            let (delta, u) = (softplus(raw), inputs.u.row(t)[d]);
            let mut d_q = 0.0;
            if let Some(readout) = readout {
                let gate = readout.z.map_or((1.0, 0.0), |z| silu_and_slope(z.row(t)[d]));
                let d_y = readout.d_y.row(t)[d];
                d_q = d_y * gate.0;
                if let Some(d_z) = &mut d_inputs.d_z {
                    let read = |n: usize| readout.c.row(t)[n] * after[n * channels + d];
                    let q = params.d[d] * u + (0..states).map(read).sum::<f64>();
                    d_z.put(t, d, d_y * q * gate.1);
                }
            }
            let (mut d_u, mut d_delta) = (params.d[d] * d_q, 0.0);
            for n in 0..states {
                let i = n * channels + d;
                if let Some(readout) = readout {
                    d_state[i] += readout.c.row(t)[n] * d_q;
                    d_c[n] += d_q * after[i];
                }
                let (g, b, decay) = (d_state[i], inputs.b.row(t)[n], (delta * params.a[i]).exp());
                d_b[n] += g * delta * u;
                d_u += g * delta * b;
                d_delta += g * (params.a[i] * decay * before[i] + b * u);
                d_params.d_a[i] += g * delta * decay * before[i];
                d_state[i] = decay * g;
            }
            d_delta *= softplus_slope(raw);
            d_params.d_d[d] += d_q * u;
            d_params.d_delta_bias[d] += d_delta;
            d_inputs.d_u.put(t, d, d_u);
            d_inputs.d_delta.put(t, d, d_delta);
        }
        for n in 0..states {
            d_inputs.d_b.put(t, n, d_b[n]);
            if let Some(rows) = &mut d_inputs.d_c {
                rows.put(t, n, d_c[n]);
            }
        }
    }
}

/// See the [module](super).
pub fn retreat(
    params: &Params<'_, f64>,
    direction: Direction,
    delta: Rows<'_, f64>,
    readout: &Readout<'_, f64>,
    d_state: &mut [f64],
) {
    let Dims { len, channels, .. } = super::check_retreat(params, &delta, readout, d_state);
    for t in (0..len).rev().map(|step| direction.nth(step, len)) {
        for (i, g) in d_state.iter_mut().enumerate() {
            let (n, d) = (i / channels, i % channels);
            let gate = readout.z.map_or(1.0, |z| silu_and_slope(z.row(t)[d]).0);
            *g += readout.c.row(t)[n] * readout.d_y.row(t)[d] * gate;
            *g *= (softplus(delta.row(t)[d] + params.delta_bias[d]) * params.a[i]).exp();
        }
    }
}

/// The initial state and that after each step, `[L + 1][N, D]`.
fn states_of_all_steps(
    params: &Params<'_, f64>,
    inputs: &Inputs<'_, f64>,
    state: &[f64],
    dims: Dims,
    at: impl Fn(usize) -> usize,
) -> Vec<Vec<f64>> {
    let mut all = vec![state.to_vec()];
    for step in 0..dims.len {
        let t = at(step);
        let mut next = all[step].clone();
        for (i, h) in next.iter_mut().enumerate() {
            let (n, d) = (i / dims.channels, i % dims.channels);
            let delta = softplus(inputs.delta.row(t)[d] + params.delta_bias[d]);
            *h = (delta * params.a[i]).exp() * *h + delta * inputs.b.row(t)[n] * inputs.u.row(t)[d];
        }
        all.push(next);
    }
    all
}

/// z·σ(z) and its derivative.
fn silu_and_slope(z: f64) -> (f64, f64) {
    let s = 1.0 / (1.0 + (-z).exp());
    (z * s, s * (1.0 + z * (1.0 - s)))
}

/// The derivative of [`softplus`].
fn softplus_slope(x: f64) -> f64 {
    if x > 20.0 { 1.0 } else { 1.0 / (1.0 + (-x).exp()) }
}

/// ln(1 + eˣ), and x itself above 20, as PyTorch has it.
pub(crate) fn softplus(x: f64) -> f64 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}
