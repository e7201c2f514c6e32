//! The time that a stretch takes: the sum of its step sizes.
//!
//! ```text
//! Δ'[t, d] = clamp(softplus(Δ[t, d] + bias[d]), limit)
//! sum[d]   = Σ_t Δ'[t, d]
//! ```
//!
//! The state of a scan fades by the product of its decays, and a product of exponentials is one of the sum: over a whole
//! stretch by exp(A · sum) (Gu & Dao 2023, Eq. 4; Dao & Gu 2024, Eq. 16). So a stretch that was walked from a zero state,
//! or back from a zero gradient, is told afterwards what came in:
//!
//! ```text
//! final(h) = exp(A · sum) · h + final(0)                    the scan
//! d_initial(g) = exp(A · sum) · g + d_initial(0)            its way back
//! ```
//!
//! | buffer | shape |
//! |---|---|
//! | `bias` | `[D]`, or `[H]` of Mamba-2 |
//! | `delta` | `[L, D]`, rows with a stride, before bias and softplus |
//! | `sums` | `[D]`, f64, added to |
//!
//! The f32 form sums over blocks of 32 rows in f32 and over the blocks in f64. Cost: a softplus an element.

use crate::Rows;

pub mod cpu;
pub mod reference;
#[cfg(test)]
mod tests;

/// Which steps are summed.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a, S> {
    /// Bias of Δ, `[D]`.
    pub bias: &'a [S],
    /// The least and the largest Δ after softplus; the largest may be infinite.
    pub limit: (f64, f64),
    /// Δ before bias and softplus, `[L, D]`.
    pub delta: Rows<'a, S>,
}

/// What is not limited.
pub const UNLIMITED: (f64, f64) = (0.0, f64::INFINITY);

/// Checks all lengths.
fn check<S>(steps: &Steps<'_, S>, sums: &[f64]) {
    assert_eq!(steps.bias.len(), steps.delta.width(), "length of the bias of delta");
    assert_eq!(sums.len(), steps.delta.width(), "length of the sums");
}
