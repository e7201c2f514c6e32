//! Gating by SiLU, in place: `x[t, d] ← x[t, d] · z[t, d] / (1 + exp(-z[t, d]))`.
//!
//! | buffer | shape |
//! |---|---|
//! | `x` | `[L, D]`, argument and result |
//! | `z` | `[L, D]`, rows with a stride |

use crate::Rows;

pub mod cpu;
pub mod reference;
#[cfg(test)]
mod tests;

/// Checks the lengths and returns D.
fn check<S>(x: &[S], z: &Rows<'_, S>) -> usize {
    assert_eq!(x.len(), z.len() * z.width(), "length of x");
    z.width()
}
