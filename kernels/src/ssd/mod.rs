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

use crate::{Rows, RowsMut, Write};

pub mod cpu;
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
