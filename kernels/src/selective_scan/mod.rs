//! The selective scan of Mamba (S6).
//!
//! Gu & Dao 2023, Algorithm 2 with Eq. 2 and 4, as the reference code computes it (A by zero-order hold, B by Euler):
//!
//! ```text
//! Δ'[t, d]    = softplus(Δ[t, d] + bias[d])
//! h[t, n, d]  = exp(Δ'[t, d] · A[n, d]) · h[t ∓ 1, n, d] + Δ'[t, d] · B[t, n] · u[t, d]
//! y[t, d]     = (Σ_n C[t, n] · h[t, n, d] + D[d] · u[t, d]) · silu(z[t, d])
//! ```
//!
//! Forward walks t upwards from the initial state, Reverse downwards; nothing is flipped in memory.
//!
//! | buffer | shape |
//! |---|---|
//! | `a` | `[N, D]`, negative: -exp(A_log), state-major (the transpose of what checkpoints hold) |
//! | `d`, `delta_bias` | `[D]` |
//! | `u`, `delta`, `z` | `[L, D]`, rows with a stride; without `z` there is no gate |
//! | `b`, `c` | `[L, N]`, rows with a stride |
//! | `state` | `[N, D]`, initial in, final out |
//! | `y` | `[L, D]`, rows with a stride, set or added to |
//!
//! Without an [`Output`] only the state is advanced, which costs about two thirds.
//!
//! Cost of an element (t, n, d): one exponential and five multiply-adds; `4 · L · D` numbers are read or written.
//!
//! # Gradients
//!
//! Let e = exp(Δ'·A) be the decay, q = Σ_n C·h + D·u the output before the gate, and `h⁻`, `g⁺` and `e⁺` what belongs
//! to the position before t and after t in the direction of the scan. The loss reaches `h[t]` through `y[t]` and through
//! `h⁺ = e⁺·h + …`, so its adjoint g runs against the scan, from the gradient of the final state (in the place of
//! `e⁺·g⁺`) to that of the initial one, `e·g` at the first position (Gu & Dao 2023, §3.3.2: states are recomputed):
//!
//! ```text
//! dq[t, d]    = dy · silu(z)                      dz[t, d] = dy · q · silu'(z)
//! g[t, n, d]  = e⁺ · g⁺ + C[t, n] · dq
//! dC[t, n]    = Σ_d dq · h                        dB[t, n] = Σ_d g · Δ' · u
//! du[t, d]    = D · dq + Δ' · Σ_n B · g           dD[d]    = Σ_t dq · u
//! dA[n, d]    = Σ_t Δ' · (g · e · h⁻)
//! dΔ[t, d]    = (Σ_n A · (g · e · h⁻) + u · Σ_n B · g) · softplus'(Δ + bias)
//! dbias[d]    = Σ_t dΔ[t, d]
//! ```
//!
//! with softplus' the logistic function, 1 above 20, and silu'(z) = σ(z)·(1 + z·(1 - σ(z))). `d_a` is the gradient of A
//! itself: that of A_log is `A · d_a`.
//!
//! `backward` takes the arguments of `forward` in the same order, a [`Readout`] in the place of the [`Output`], then
//! the gradients. `d_state` is that of the final state in, that of the initial state out. Gradients of activations
//! are set or added; gradients of parameters are always added, since they are sums over a batch.
//!
//! Saved: the inputs and the *initial* state, `4 · N · D` bytes in f32; nothing of the length. While it runs, the f32
//! form holds the states at the borders of blocks of 32 rows, `4 · N · D · ⌈L/32⌉` bytes: for 16 states half of what u
//! takes.
//!
//! Cost of an element: two exponentials and about fifteen multiply-adds.
//!
//! `retreat` carries g alone, from the gradient of the final state to that of the initial one, which needs neither u nor B
//! nor the state: one exponential and two multiply-adds. With [`elapsed`](crate::elapsed) it is what a stretch of a sequence
//! tells the one before it.

use crate::{GradRows, Rows, RowsMut, Write};

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod reference;
#[cfg(test)]
mod tests;

/// What does not depend on the position.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a, S> {
    /// A, `[N, D]`, negative.
    pub a: &'a [S],
    /// D, `[D]`.
    pub d: &'a [S],
    /// Bias of Δ, `[D]`.
    pub delta_bias: &'a [S],
}

/// What drives the state.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, S> {
    /// u, `[L, D]`.
    pub u: Rows<'a, S>,
    /// Δ before bias and softplus, `[L, D]`.
    pub delta: Rows<'a, S>,
    /// B, `[L, N]`.
    pub b: Rows<'a, S>,
}

/// What is read out of the state, and where it goes.
#[derive(Debug)]
pub struct Output<'a, S> {
    /// C, `[L, N]`.
    pub c: Rows<'a, S>,
    /// z, `[L, D]`.
    pub z: Option<Rows<'a, S>>,
    /// y, `[L, D]`.
    pub y: RowsMut<'a, S>,
    /// Whether y is set or added to.
    pub write: Write,
}

/// What was read out of the state, and the gradient that came back.
#[derive(Clone, Copy, Debug)]
pub struct Readout<'a, S> {
    /// C, `[L, N]`.
    pub c: Rows<'a, S>,
    /// z, `[L, D]`.
    pub z: Option<Rows<'a, S>>,
    /// Gradient of y, `[L, D]`.
    pub d_y: Rows<'a, S>,
}

/// Gradients of what depends on the position.
#[derive(Debug)]
pub struct GradInputs<'a, S> {
    /// Of u, `[L, D]`.
    pub d_u: GradRows<'a, S>,
    /// Of Δ before bias and softplus, `[L, D]`.
    pub d_delta: GradRows<'a, S>,
    /// Of B, `[L, N]`.
    pub d_b: GradRows<'a, S>,
    /// Of C, `[L, N]`: there with a [`Readout`].
    pub d_c: Option<GradRows<'a, S>>,
    /// Of z, `[L, D]`: there with a [`Readout`] that has a gate.
    pub d_z: Option<GradRows<'a, S>>,
}

/// Gradients of what does not depend on the position: always added to.
#[derive(Debug)]
pub struct GradParams<'a, S> {
    /// Of A, `[N, D]`.
    pub d_a: &'a mut [S],
    /// Of D, `[D]`.
    pub d_d: &'a mut [S],
    /// Of the bias of Δ, `[D]`.
    pub d_delta_bias: &'a mut [S],
}

/// Sizes of a scan.
#[derive(Clone, Copy, Debug)]
struct Dims {
    len: usize,
    channels: usize,
    states: usize,
}

/// Checks all lengths of a forward call against each other.
fn check<S>(params: &Params<'_, S>, inputs: &Inputs<'_, S>, state: &[S], output: Option<&Output<'_, S>>) -> Dims {
    let dims = check_inputs(params, inputs, state);
    let Dims { len, channels, states } = dims;
    if let Some(output) = output {
        assert_eq!((output.c.len(), output.c.width()), (len, states), "shape of c");
        assert_eq!((output.y.len(), output.y.width()), (len, channels), "shape of y");
        if let Some(z) = output.z {
            assert_eq!((z.len(), z.width()), (len, channels), "shape of z");
        }
    }
    dims
}

fn check_inputs<S>(params: &Params<'_, S>, inputs: &Inputs<'_, S>, state: &[S]) -> Dims {
    let (len, channels, states) = (inputs.u.len(), inputs.u.width(), inputs.b.width());
    assert_eq!((inputs.delta.len(), inputs.delta.width()), (len, channels), "shape of delta");
    assert_eq!(inputs.b.len(), len, "length of b");
    assert_eq!(params.a.len(), states * channels, "length of a");
    assert_eq!(params.d.len(), channels, "length of d");
    assert_eq!(params.delta_bias.len(), channels, "length of the bias of delta");
    assert_eq!(state.len(), states * channels, "length of the state");
    Dims { len, channels, states }
}

/// Checks all lengths of a retreat against each other.
fn check_retreat<S>(params: &Params<'_, S>, delta: &Rows<'_, S>, readout: &Readout<'_, S>, d_state: &[S]) -> Dims {
    let (len, channels, states) = (delta.len(), delta.width(), readout.c.width());
    assert_eq!(params.a.len(), states * channels, "length of a");
    assert_eq!(params.delta_bias.len(), channels, "length of the bias of delta");
    assert_eq!(readout.c.len(), len, "length of c");
    assert_eq!((readout.d_y.len(), readout.d_y.width()), (len, channels), "shape of the gradient of y");
    if let Some(z) = readout.z {
        assert_eq!((z.len(), z.width()), (len, channels), "shape of z");
    }
    assert_eq!(d_state.len(), states * channels, "length of the gradient of the state");
    Dims { len, channels, states }
}

/// Checks all lengths of a backward call against each other.
fn check_backward<S>(
    params: &Params<'_, S>,
    inputs: &Inputs<'_, S>,
    state: &[S],
    readout: Option<&Readout<'_, S>>,
    d_state: &[S],
    d_inputs: &GradInputs<'_, S>,
    d_params: &GradParams<'_, S>,
) -> Dims {
    let dims = check_inputs(params, inputs, state);
    let Dims { len, channels, states } = dims;
    let z = readout.and_then(|readout| readout.z);
    if let Some(readout) = readout {
        assert_eq!((readout.c.len(), readout.c.width()), (len, states), "shape of c");
        assert_eq!((readout.d_y.len(), readout.d_y.width()), (len, channels), "shape of the gradient of y");
    }
    if let Some(z) = z {
        assert_eq!((z.len(), z.width()), (len, channels), "shape of z");
    }
    assert_eq!(d_state.len(), state.len(), "length of the gradient of the state");
    assert_eq!(d_inputs.d_u.shape(), (len, channels), "shape of the gradient of u");
    assert_eq!(d_inputs.d_delta.shape(), (len, channels), "shape of the gradient of delta");
    assert_eq!(d_inputs.d_b.shape(), (len, states), "shape of the gradient of b");
    let d_c = d_inputs.d_c.as_ref().map(GradRows::shape);
    assert_eq!(d_c, readout.map(|_| (len, states)), "shape of the gradient of c");
    let d_z = d_inputs.d_z.as_ref().map(GradRows::shape);
    assert_eq!(d_z, z.map(|_| (len, channels)), "shape of the gradient of z");
    assert_eq!(d_params.d_a.len(), states * channels, "length of the gradient of a");
    assert_eq!(d_params.d_d.len(), channels, "length of the gradient of d");
    assert_eq!(d_params.d_delta_bias.len(), channels, "length of the gradient of the bias of delta");
    dims
}
