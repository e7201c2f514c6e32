//! The gated norm of Mamba-2, in place.
//!
//! With g = x · silu(z) (Dao & Gu 2024, §6 and Fig. 6; the reference code's `norm_before_gate = False`):
//!
//! ```text
//! x[t, d] ← g[t, d] / √(mean over d's group of g[t]² + ε) · w[d]
//! ```
//!
//! | buffer | shape |
//! |---|---|
//! | `weight` | `[D]` |
//! | `x` | `[L, D]`, argument and result |
//! | `z` | `[L, D]`, rows with a stride |
//!
//! The groups are runs of `group` channels; a group as wide as the row is the usual case. Rows are independent.
//!
//! # Backward
//!
//! With r = 1 / √(mean g² + ε) of a group at a position, ĝ = g · r and h = ∂loss/∂ĝ = d_out · w, the norm is that of
//! [`crate::norm`] and the gate a product, whose factor has the slope silu'(z) = s · (1 + z · (1 - s)) with
//! s = 1 / (1 + e^-z):
//!
//! ```text
//! d_g[t, d]   = r · (h[d] - ĝ[d] · mean over the group of h · ĝ)
//! d_x[t, d]   = d_g[t, d] · silu(z[t, d])
//! d_z[t, d]   = d_g[t, d] · x[t, d] · silu'(z[t, d])
//! d_weight[d] += Σ_t d_out[t, d] · ĝ[t, d]
//! ```
//!
//! Saved are the ungated `x`, which the forward call overwrites, and `z`; the rest is computed again. `d_x` and `d_z`
//! are set, `d_weight` is added to.
//!
//! On a GPU, inside the mixer, the buffers besides the weight are time-contiguous: `[B, D, L]`, rows with a stride that is a
//! multiple of 8 and aligned to 16 bytes. There the result may go elsewhere, and `d_x` and `d_z` may be added to.

use crate::{Rows, RowsMut};

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod reference;
#[cfg(test)]
mod tests;

/// What does not depend on the position.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a, S> {
    /// w, `[D]`.
    pub weight: &'a [S],
    /// ε, added to the mean square.
    pub epsilon: f64,
    /// Channels that are normalised together; D is a multiple of it.
    pub group: usize,
}

/// Gradients of the inputs, which are set.
#[derive(Debug)]
pub struct GradInputs<'a, S> {
    /// `[L, D]`
    pub d_x: &'a mut [S],
    /// `[L, D]`, rows with a stride.
    pub d_z: RowsMut<'a, S>,
}

/// Checks all lengths and returns D.
fn check<S>(params: &Params<'_, S>, x: &[S], z: &Rows<'_, S>) -> usize {
    let width = params.weight.len();
    assert_eq!(z.width(), width, "columns of z");
    assert_eq!(x.len(), z.len() * width, "length of x");
    assert!(
        params.group > 0 && width.is_multiple_of(params.group),
        "{width} channels are not a whole number of groups of {}",
        params.group
    );
    width
}

/// Checks all lengths of the backward call and returns D.
fn check_backward<S>(
    params: &Params<'_, S>,
    x: &[S],
    z: &Rows<'_, S>,
    d_out: &[S],
    d_inputs: &GradInputs<'_, S>,
    d_weight: &[S],
) -> usize {
    let width = check(params, x, z);
    assert_eq!(d_out.len(), x.len(), "length of the output's gradient");
    assert_eq!(d_inputs.d_x.len(), x.len(), "length of the gradient of x");
    assert_eq!((d_inputs.d_z.len(), d_inputs.d_z.width()), (z.len(), width), "shape of the gradient of z");
    assert_eq!(d_weight.len(), width, "length of the weight's gradient");
    width
}
