//! Gating by SiLU, in place: `x[t, d] ← x[t, d] · z[t, d] / (1 + exp(-z[t, d]))`.
//!
//! | buffer | shape |
//! |---|---|
//! | `x` | `[L, D]`, argument and result |
//! | `z` | `[L, D]`, rows with a stride |
//!
//! On a GPU, inside the mixer, all buffers are time-contiguous: `[B, D, L]`, rows with a stride that is a multiple of 8
//! and aligned to 16 bytes.
//!
//! # Backward
//!
//! With s = 1 / (1 + e^-z), so that silu(z) = z · s and s' = s · (1 - s):
//!
//! ```text
//! d_x[t, d] = d_out[t, d] · z · s
//! d_z[t, d] = d_out[t, d] · x[t, d] · s · (1 + z · (1 - s))
//! ```
//!
//! Saved are the ungated `x`, which the forward call overwrites, and `z`. Both gradients are set; `d_z` is rows with a
//! stride.

use crate::{Rows, RowsMut};

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod reference;
#[cfg(test)]
mod tests;

/// Checks the lengths and returns D.
fn check<S>(x: &[S], z: &Rows<'_, S>) -> usize {
    assert_eq!(x.len(), z.len() * z.width(), "length of x");
    z.width()
}

/// Checks all lengths of the backward call and returns D.
fn check_backward<S>(x: &[S], z: &Rows<'_, S>, d_out: &[S], d_x: &[S], d_z: &RowsMut<'_, S>) -> usize {
    let width = check(x, z);
    assert_eq!(d_out.len(), x.len(), "length of the output's gradient");
    assert_eq!(d_x.len(), x.len(), "length of the gradient of x");
    assert_eq!((d_z.len(), d_z.width()), (z.len(), width), "shape of the gradient of z");
    width
}
