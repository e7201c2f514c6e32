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

use crate::Rows;

pub mod cpu;
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
