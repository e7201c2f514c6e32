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

use crate::{Rows, RowsMut, Write};

pub mod cpu;
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

/// Sizes of a scan.
#[derive(Clone, Copy, Debug)]
struct Dims {
    len: usize,
    channels: usize,
    states: usize,
}

/// Checks all lengths against each other.
fn check<S>(params: &Params<'_, S>, inputs: &Inputs<'_, S>, state: &[S], output: Option<&Output<'_, S>>) -> Dims {
    let (len, channels, states) = (inputs.u.len(), inputs.u.width(), inputs.b.width());
    assert_eq!((inputs.delta.len(), inputs.delta.width()), (len, channels), "shape of delta");
    assert_eq!(inputs.b.len(), len, "length of b");
    assert_eq!(params.a.len(), states * channels, "length of a");
    assert_eq!(params.d.len(), channels, "length of d");
    assert_eq!(params.delta_bias.len(), channels, "length of the bias of delta");
    assert_eq!(state.len(), states * channels, "length of the state");
    if let Some(output) = output {
        assert_eq!((output.c.len(), output.c.width()), (len, states), "shape of c");
        assert_eq!((output.y.len(), output.y.width()), (len, channels), "shape of y");
        if let Some(z) = output.z {
            assert_eq!((z.len(), z.width()), (len, channels), "shape of z");
        }
    }
    Dims { len, channels, states }
}
