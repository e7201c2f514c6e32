//! One position of many sequences of a causal model at once, and the choice of the next base.
//!
//! A model that reads what it writes goes from position to position, so that there is nothing to do side by side but sequences.
//! Each has its state: of every layer the last K-1 inputs of the convolution, and the state of the scan. With the rows
//! `[S, ·]` of S sequences, a layer of Mamba is
//!
//! ```text
//! x, z      = W_in · norm(r)                        [crate::norm], [crate::linear]
//! u         = silu(convolution of x)                [crate::causal_conv1d], at L = 1
//! Δ, B, C   = W_x · u
//! y         = scan(u, W_Δ · Δ, B, C) · silu(z)      [crate::selective_scan], at L = 1
//! r         ← r + W_out · y
//! ```
//!
//! and of Mamba-2, whose input projection gives z, x, B, C and Δ, of which x, B and C pass the convolution,
//!
//! ```text
//! y         = duality(x, Δ, B, C)                   [crate::ssd], at L = 1
//! r         ← r + W_out · gated norm(y, z)          [crate::gated_norm]
//! ```
//!
//! Then come the final norm and the rows of the head that stand for A, C, G and T, whose four logits [`Choice::choose`] takes
//! one of. It begins the next position.
//!
//! A CPU steps with the rooms themselves. On a GPU (`cuda`) a layer is four kernels, or three of Mamba-2, all of a
//! position are recorded once and started together, and neither the numbers that bases are drawn with nor the bases pass
//! between host and device more than once in a block of positions.

mod choice;
#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(test)]
mod tests;

pub use choice::{BASES, Choice};
