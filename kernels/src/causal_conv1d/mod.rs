//! Depthwise causal convolution with SiLU.
//!
//! With `K` taps, bias β and the K-1 positions before the sequence in the state (Gu & Dao 2023, §3.4; the last tap
//! meets the position itself):
//!
//! ```text
//! Forward:  out[t, d] = silu(β[d] + Σ_{k<K} w[k, d] · x[t - (K-1) + k, d])
//! Reverse:  out[t, d] = silu(β[d] + Σ_{k<K} w[k, d] · x[t + (K-1) - k, d])
//! ```
//!
//! | buffer | shape |
//! |---|---|
//! | `weight` | `[K, D]`, tap-major (the transpose of what checkpoints hold), K at most [`MAX_KERNEL`] |
//! | `bias` | `[D]`, optional |
//! | `x` | `[L, D]`, rows with a stride |
//! | `state` | `[K-1, D]`: in the order of positions, those before the first row (Forward) or after the last (Reverse); on return those that the next stretch in the same direction needs |
//! | `out` | `[L, D]` |
//!
//! A zero state is the start of a sequence. Cost: `2 · K · L · D` operations, each element of `x` is read `K` times from
//! cache.

use crate::Rows;

pub mod cpu;
pub mod reference;
#[cfg(test)]
mod tests;

/// The most taps that are supported; the published models have four.
pub const MAX_KERNEL: usize = 16;

/// Taps and bias.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a, S> {
    /// Taps, `[K, D]`.
    pub weight: &'a [S],
    /// Bias, `[D]`.
    pub bias: Option<&'a [S]>,
}

/// Checks all lengths and returns `(L, D, K)`.
fn check<S>(params: &Params<'_, S>, x: &Rows<'_, S>, state: &[S], out: &[S]) -> (usize, usize, usize) {
    let (len, channels) = (x.len(), x.width());
    assert!(
        !params.weight.is_empty() && params.weight.len().is_multiple_of(channels),
        "taps are not a whole number of rows of {channels}"
    );
    let kernel = params.weight.len() / channels;
    assert!(kernel <= MAX_KERNEL, "{kernel} taps, at most {MAX_KERNEL} are supported");
    assert_eq!(state.len(), (kernel - 1) * channels, "length of the state");
    assert_eq!(out.len(), len * channels, "length of the output");
    if let Some(bias) = params.bias {
        assert_eq!(bias.len(), channels, "length of the bias");
    }
    (len, channels, kernel)
}
