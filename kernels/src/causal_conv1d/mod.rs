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
//!
//! On a GPU, inside the mixer, `x`, `out` and their gradients are time-contiguous: `[B, D, L]`, rows with a stride that
//! is a multiple of 8 and aligned to 16 bytes. The state is `[B, D, K-1]`, in the order of positions too.
//!
//! # Gradients
//!
//! With `s[t]` the sum inside the SiLU and positions counted in the direction of the walk, from -(K-1), the first of the
//! initial state, to L-1 (Forward; Reverse is its mirror image):
//!
//! ```text
//! ds[t, d]  = dout[t, d] · silu'(s[t, d])              silu'(s) = σ(s) · (1 + s · (1 - σ(s)))
//! dw[k, d]  = Σ_t ds[t, d] · x[t - (K-1) + k, d]       dβ[d]    = Σ_t ds[t, d]
//! dx[i, d]  = Σ_k w[k, d] · ds[i + (K-1) - k, d]       over those positions that lie in [0, L)
//! ```
//!
//! and the last K-1 positions, the final state, add what the next stretch found for them. `backward` takes the
//! arguments of `forward` in the same order, then the gradients. `d_state` is the gradient of the final state in, that
//! of the initial state out; of a stretch shorter than K-1 a part of it only moves along. `d_x` is set or added to,
//! gradients of parameters are always added to.
//!
//! Saved: x and the *initial* state; s is computed again. The f32 form holds `4 · (K + 1) · D` bytes of sums for each
//! tile of 256 rows. Cost: `6 · K · L · D` operations.

use crate::{GradRows, Rows};

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
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

/// Gradients of taps and bias: always added to.
#[derive(Debug)]
pub struct GradParams<'a, S> {
    /// Of the taps, `[K, D]`.
    pub d_weight: &'a mut [S],
    /// Of the bias, `[D]`: there if there is a bias.
    pub d_bias: Option<&'a mut [S]>,
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

/// Checks all lengths of a backward call and returns `(L, D, K)`.
fn check_backward<S>(
    params: &Params<'_, S>,
    x: &Rows<'_, S>,
    state: &[S],
    d_out: &[S],
    d_state: &[S],
    d_x: &GradRows<'_, S>,
    d_params: &GradParams<'_, S>,
) -> (usize, usize, usize) {
    let (len, channels, kernel) = check(params, x, state, d_out);
    assert_eq!(d_state.len(), state.len(), "length of the gradient of the state");
    assert_eq!(d_x.shape(), (len, channels), "shape of the gradient of x");
    assert_eq!(d_params.d_weight.len(), params.weight.len(), "length of the gradient of the taps");
    let d_bias = d_params.d_bias.as_ref().map(|d_bias| d_bias.len());
    assert_eq!(d_bias, params.bias.map(<[S]>::len), "length of the gradient of the bias");
    (len, channels, kernel)
}
