//! The scan in f32, vectorised over channels.
//!
//! A lane is a channel and a register holds one state of as many channels as it has lanes, so nothing is ever summed
//! across lanes and the recurrence needs no scan over time: up to `Vector::SCAN_STATES` states of a vector of
//! channels stay in registers while time passes. Departures from the equations, and why:
//!
//! 1. exp(Δ'·A) is computed as 2^(Δ'·A·log₂e), with the last product made once for all positions.
//! 2. Time goes in blocks of 32 rows. Within one, Δ' and Δ'·u are computed for all rows first, then the
//!    recurrence, then D·u and the gate: three short loops without dependences in the first and the last.
//! 3. States beyond what the registers hold take another turn over the block; their contributions to y are added in
//!    the order of the states.
//!
//! Threads share out the channels. No channel's value depends on how that is done.
//!
//! The gradients take the same blocks from the other end. A first walk keeps the state at every border; then each
//! block's states and decays are computed once more, a few states at a time, into first-level cache, and the adjoint
//! recurrence runs back over them in registers. Their sums are made so:
//!
//! 1. Over channels (B and C): across the lanes of a vector, then over the vectors of a *group* of channels in
//!    ascending order, then over the groups in ascending order. A group is as wide as the level has it.
//! 2. Over time (A, D, the bias): over the rows of a block in registers, over the blocks of a *panel* of 512 rows, and
//!    over the panels, each against the direction of the scan.
//!
//! Threads share out the groups of a panel, then its rows. No sum depends on how that is done.

use super::Params;
use crate::{Direction, simd::Vector};

mod adjoint;
mod backward;
mod forward;
mod retreat;

pub use backward::backward;
pub use forward::forward;
pub use retreat::retreat;

/// Rows of a time block: at 16 lanes the buffers of the walk back take 28 KiB, which first-level caches have.
const BLOCK: usize = 32;

/// Rows `[start, end)`, at most [`BLOCK`].
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    fn of_block(block: usize, len: usize) -> Self {
        Self { start: block * BLOCK, end: ((block + 1) * BLOCK).min(len) }
    }

    fn rows(self) -> usize {
        self.end - self.start
    }

    /// The first row of the block that follows in a direction.
    fn row_after(self, direction: Direction) -> usize {
        match direction {
            Direction::Forward => self.end,
            Direction::Reverse => self.start.wrapping_sub(BLOCK),
        }
    }
}

/// Channels `[first, first + lanes)`, at most a vector.
#[derive(Clone, Copy)]
struct Lanes {
    first: usize,
    lanes: usize,
}

/// The block that is worked on next: its first row and channel, which lie outside the buffers after the last one.
#[derive(Clone, Copy)]
struct Ahead {
    row: usize,
    channel: usize,
}

/// A·log₂e of `S` states from state `n` on.
#[inline(always)]
unsafe fn rates<V: Vector, const S: usize>(params: &Params<'_, f32>, channels: usize, n: usize, at: Lanes) -> [V; S] {
    // SAFETY: `S` states follow `n`, and the lanes lie inside the channels.
    unsafe {
        let log2_e = V::splat(std::f32::consts::LOG2_E);
        std::array::from_fn(|s| {
            let a = V::load_first(params.a.as_ptr().add((n + s) * channels + at.first), at.lanes);
            // An infinite rate by a step of zero would be NaN.
            V::splat(f32::MIN).max(a.mul(log2_e))
        })
    }
}
