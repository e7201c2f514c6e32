//! Kernels of selective state-space models for DNA.
//!
//! One folder, a *room*, is one operation: `mod.rs` states the contract (equations, shapes, dimensions, state),
//! `reference.rs` is the equations in plain f64 loops, `cpu.rs` the vectorised f32 form with the same arguments in
//! the same order, `cuda.rs` the same on a GPU, `tests.rs` the laws that tie them together. An operation that is only made of others is a file.
//!
//! **State is a value.** The convolution and the scans take an initial state and leave the final one in its place,
//! and run in either [`Direction`] without a flip in memory, so a sequence may be cut anywhere and go on later.
//!
//! **Order of sums.** Every output element is computed by the same operations in the same order whatever the number
//! of threads, rows or chunks; only the matrix form of Mamba-2 ([`ssd`]) sums over time in blocks, and those lie on a
//! fixed grid of absolute positions ([`TILE`]). So answers at one [`simd::Level`] do not depend on how a sequence is
//! cut at multiples of [`TILE`], nor on batches or threads.
//!
//! **Gradients.** A room's `backward` stands beside its `forward` and takes the same arguments, then the gradient of the
//! output, then where the gradients go. Gradients of parameters are sums over positions and batches and are always added
//! to; those of activations are set or, where there is a [`Write`], added to.
//!
//! # Glossary
//!
//! | name | symbol | meaning |
//! |---|---|---|
//! | `len` | L | positions of a sequence |
//! | `width`, `channels` | D | channels of a buffer |
//! | `states` | N | states of a channel |
//! | `kernel` | K | taps of the convolution |
//! | `heads`, `head_dim`, `groups` | H, P, G | heads of Mamba-2, channels of a head, groups that share B and C |
//! | `delta` | Δ | step size before softplus and bias |
//! | `a`, `b`, `c`, `d` | A, B, C, D | parameters of the state-space model |
//! | `u` | u or x | input of the scan |
//! | `z` | z | gate |
//! | `d_x` | ∂loss/∂x | gradient of anything called `x` |
//!
//! Buffers are row-major with time first, `[L, D]`; [`Rows`] views one with a stride, so that a part of the columns of
//! a wider buffer can be an argument. On a GPU that is so outside the mixers, `[B, L, D]`; inside them buffers are
//! time-contiguous, `[B, D, L]`.

pub mod backend;
pub mod bf16;
pub mod causal_conv1d;
pub mod closeness;
pub mod cross_entropy;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod elapsed;
pub mod embedding;
pub mod gated_norm;
pub mod linear;
pub mod lm_head;
pub mod log_softmax;
pub mod norm;
pub mod pointwise;
pub mod pool;
mod rows;
pub mod selective_scan;
pub mod silu_gate;
pub mod simd;
pub mod ssd;
pub mod step;
mod sums;
mod tasks;

pub use backend::{Backend, Cpu, Reference, RoundedReference};
pub use rows::{GradRows, Rows, RowsMut};

/// Positions of a tile of the fixed grid on which sums over time are grouped.
pub const TILE: usize = 256;

/// Which way a sequence is walked.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// From the first position to the last.
    Forward,
    /// From the last position to the first.
    Reverse,
}

impl Direction {
    /// The other direction.
    pub fn opposite(self) -> Self {
        match self {
            Self::Forward => Self::Reverse,
            Self::Reverse => Self::Forward,
        }
    }

    /// Which of `count` things in the order of positions comes after `i` others in this direction.
    #[inline(always)]
    pub(crate) fn nth(self, i: usize, count: usize) -> usize {
        match self {
            Self::Forward => i,
            Self::Reverse => count - 1 - i,
        }
    }
}

/// What becomes of an output buffer's former values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Write {
    /// They are replaced.
    Set,
    /// The result is added to them.
    Add,
}

#[cfg(test)]
pub(crate) mod testing;
