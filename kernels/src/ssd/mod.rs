//! The state-space duality scan of Mamba-2 (SSD).
//!
//! Dao & Gu 2024, Eq. 16 with a scalar A for each head, as the reference code computes it. Head h has P channels p
//! and shares B and C with the other heads of its group g = h / (H / G):
//!
//! ```text
//! Δ'[t, h]      = clamp(softplus(Δ[t, h] + bias[h]), limit)
//! S[t, h, n, p] = exp(Δ'[t, h] · A[h]) · S[t ∓ 1, h, n, p] + Δ'[t, h] · B[t, g, n] · x[t, h, p]
//! y[t, h, p]    = Σ_n C[t, g, n] · S[t, h, n, p] + D[h] · x[t, h, p]
//! ```
//!
//! Forward walks t upwards from the initial state, Reverse downwards; nothing is flipped in memory.
//!
//! | buffer | shape |
//! |---|---|
//! | `a`, `d`, `dt_bias` | `[H]`; A is negative: -exp(A_log) |
//! | `x` | `[L, H · P]`, rows with a stride |
//! | `dt` | `[L, H]`, rows with a stride, before bias and softplus |
//! | `b`, `c` | `[L, G · N]`, rows with a stride |
//! | `state` | `[H, N, P]`, P contiguous: the transpose of the paper's and the checkpoints' `[H, P, N]`; initial in, final out |
//! | `y` | `[L, H · P]`, rows with a stride, set or added to |
//!
//! `start` is the absolute position of the first row. The f32 form sums over time in blocks of [`cpu::BLOCK`] that
//! lie on the grid of absolute positions, in both directions, so a sequence may be cut at any multiple of
//! [`TILE`](crate::TILE) without a change in a single bit; a cut elsewhere changes how sums are grouped, and with it
//! the rounding.
//!
//! Without an [`Output`] only the state is advanced, which costs about half.
//!
//! Cost of a head and position: `4 · N · P` operations for the state and about `BLOCK · P` inside the block.
//!
//! # Backward
//!
//! Let λ be the scalar whose gradients are asked for, and G[t, h, n, p] its derivative by S[t, h, n, p] along all ways:
//! through `y[t]`, and through the next state of the walk. By the chain rule on the three lines above, walked from the
//! last position to the first,
//!
//! ```text
//! G[t]          = C[t] ⊗ d_y[t] + exp(Δ'[t ± 1] · A) · G[t ± 1]     the last: + d_state, the gradient of the final state
//! d_c[t, g, n]  = Σ_{h of g} Σ_p S[t, h, n, p] · d_y[t, h, p]
//! d_b[t, g, n]  = Σ_{h of g} Δ'[t, h] · Σ_p G[t, h, n, p] · x[t, h, p]
//! d_x[t, h, p]  = Δ'[t, h] · Σ_n B[t, g, n] · G[t, h, n, p] + D[h] · d_y[t, h, p]
//! r[t, h]       = exp(Δ'[t, h] · A[h]) · Σ_np S[t ∓ 1, h, n, p] · G[t, h, n, p]        by the exponent Δ' · A
//! d_Δ'[t, h]    = A[h] · r[t, h] + Σ_np B[t, g, n] · x[t, h, p] · G[t, h, n, p]
//! d_dt[t, h]    = d_Δ'[t, h] · softplus'(Δ[t, h] + bias[h]) inside the limit, 0 outside of it
//! d_a[h]        = Σ_t Δ'[t, h] · r[t, h]      d_d[h] = Σ_tp x · d_y      d_dt_bias[h] = Σ_t d_dt[t, h]
//! d_state       = exp(Δ' · A) · G of the first position: the gradient of the initial state
//! ```
//!
//! softplus' is the logistic function, and 1 above 20. At a limit itself the gradient passes, beyond it it does not.
//!
//! | buffer | shape | |
//! |---|---|---|
//! | `state` | `[H, N, P]` | the initial state of the forward call |
//! | `d_y` | `[L, H · P]`, rows with a stride | `None` when the forward call had no [`Output`] |
//! | `d_state` | `[H, N, P]` | in: gradient of the final state; out: of the initial one |
//! | `d_x`, `d_dt`, `d_b`, `d_c` | as `x`, `dt`, `b`, `c` | each set or added to |
//! | `d_a`, `d_d`, `d_dt_bias` | `[H]` | always added to: they are sums over a batch too |
//!
//! Nothing is saved by the forward call but its arguments, the initial state among them (`4 · H · N · P` bytes in f32);
//! states in between are made again. So backward of a‖b is backward of b, then of a with the `d_state` that b left.
//!
//! `retreat` carries G alone, from the gradient of the final state to that of the initial one, which needs neither x nor B
//! nor the state.

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
    /// H.
    pub heads: usize,
    /// P, channels of a head.
    pub head_dim: usize,
    /// N, states of a channel.
    pub states: usize,
    /// G, groups of heads that share B and C; H is a multiple of it.
    pub groups: usize,
    /// A, `[H]`, negative.
    pub a: &'a [S],
    /// D, `[H]`.
    pub d: &'a [S],
    /// Bias of Δ, `[H]`.
    pub dt_bias: &'a [S],
    /// The least and the largest Δ after softplus; the largest may be infinite.
    pub dt_limit: (f64, f64),
}

/// What drives the state, and how it is read.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, S> {
    /// x, `[L, H · P]`.
    pub x: Rows<'a, S>,
    /// Δ before bias and softplus, `[L, H]`.
    pub dt: Rows<'a, S>,
    /// B, `[L, G · N]`.
    pub b: Rows<'a, S>,
    /// C, `[L, G · N]`.
    pub c: Rows<'a, S>,
}

/// Where the result goes.
#[derive(Debug)]
pub struct Output<'a, S> {
    /// y, `[L, H · P]`.
    pub y: RowsMut<'a, S>,
    /// Whether y is set or added to.
    pub write: Write,
}

/// Where the gradients of [`Inputs`] go.
#[derive(Debug)]
pub struct GradInputs<'a, S> {
    /// Gradient of x, `[L, H · P]`.
    pub d_x: GradRows<'a, S>,
    /// Gradient of Δ before bias and softplus, `[L, H]`.
    pub d_dt: GradRows<'a, S>,
    /// Gradient of B, `[L, G · N]`.
    pub d_b: GradRows<'a, S>,
    /// Gradient of C, `[L, G · N]`.
    pub d_c: GradRows<'a, S>,
}

/// Where the gradients of [`Params`] are added.
#[derive(Debug)]
pub struct GradParams<'a, S> {
    /// Gradient of A itself, `[H]`.
    pub d_a: &'a mut [S],
    /// Gradient of D, `[H]`.
    pub d_d: &'a mut [S],
    /// Gradient of the bias of Δ, `[H]`.
    pub d_dt_bias: &'a mut [S],
}

/// Checks all lengths against each other and returns L.
fn check<S>(params: &Params<'_, S>, inputs: &Inputs<'_, S>, state: &[S], output: Option<&Output<'_, S>>) -> usize {
    let &Params { heads, head_dim, states, groups, .. } = params;
    assert!(
        groups > 0 && heads > 0 && heads.is_multiple_of(groups),
        "{heads} heads cannot be shared between {groups} groups"
    );
    assert_eq!([params.a.len(), params.d.len(), params.dt_bias.len()], [heads; 3], "lengths of a, d and dt_bias");
    let (least, largest) = params.dt_limit;
    assert!(least <= largest, "a limit of dt from {least} to {largest}");
    let len = inputs.x.len();
    assert_eq!(inputs.x.width(), heads * head_dim, "columns of x");
    assert_eq!((inputs.dt.len(), inputs.dt.width()), (len, heads), "shape of dt");
    assert_eq!((inputs.b.len(), inputs.b.width()), (len, groups * states), "shape of b");
    assert_eq!((inputs.c.len(), inputs.c.width()), (len, groups * states), "shape of c");
    assert_eq!(state.len(), heads * states * head_dim, "length of the state");
    if let Some(output) = output {
        assert_eq!((output.y.len(), output.y.width()), (len, heads * head_dim), "shape of y");
    }
    len
}

/// Checks all lengths of a retreat against each other and returns L.
fn check_retreat<S>(params: &Params<'_, S>, inputs: &Inputs<'_, S>, d_y: Rows<'_, S>, d_state: &[S]) -> usize {
    let len = check(params, inputs, d_state, None);
    assert_eq!((d_y.len(), d_y.width()), (len, params.heads * params.head_dim), "shape of d_y");
    len
}

/// Checks all lengths of a backward call against each other and returns L.
fn check_backward<S>(
    params: &Params<'_, S>,
    inputs: &Inputs<'_, S>,
    state: &[S],
    d_y: Option<Rows<'_, S>>,
    d_state: &[S],
    d_inputs: &GradInputs<'_, S>,
    d_params: &GradParams<'_, S>,
) -> usize {
    let len = check(params, inputs, state, None);
    let &Params { heads, head_dim, states, groups, .. } = params;
    if let Some(d_y) = d_y {
        assert_eq!((d_y.len(), d_y.width()), (len, heads * head_dim), "shape of d_y");
    }
    assert_eq!(d_state.len(), state.len(), "length of the gradient of the state");
    assert_eq!(d_inputs.d_x.shape(), (len, heads * head_dim), "shape of d_x");
    assert_eq!(d_inputs.d_dt.shape(), (len, heads), "shape of d_dt");
    assert_eq!(d_inputs.d_b.shape(), (len, groups * states), "shape of d_b");
    assert_eq!(d_inputs.d_c.shape(), (len, groups * states), "shape of d_c");
    let lengths = [d_params.d_a.len(), d_params.d_d.len(), d_params.d_dt_bias.len()];
    assert_eq!(lengths, [heads; 3], "lengths of d_a, d_d and d_dt_bias");
    len
}
