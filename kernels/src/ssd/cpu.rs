//! The chunked form in f32 (Dao & Gu 2024, §6), on small matrix products.
//!
//! Positions are taken in blocks on the fixed grid. With s_i the sum of Δ'A over the first i positions of a block in
//! the order of the walk, and S the state before the block,
//!
//! ```text
//! y_i    = exp(s_i) · C_i S  +  Σ_{j ≤ i} (C_i · B_j) exp(s_i - s_j) Δ'_j x_j  +  D x_i
//! S_end  = exp(s_end) · S    +  Σ_j exp(s_end - s_j) B_j ⊗ Δ'_j x_j
//! ```
//!
//! No exponent is positive, since A is negative. The sums are formed in f64 and kept as two f32, so that a difference
//! of two long sums is as good as a short one.
//!
//! Bᵀ and C · B are the same for all heads of a group: they are made first, for a strip of blocks at a time, and then
//! each head walks the strip alone. Reverse only walks rows with a negative step; nothing else knows of it.
//!
//! Buffers are padded to the widest vector. Weights above the diagonal are zeros that tiles multiply all the same: of
//! numbers that are not finite they make NaN in up to a tile's rows before them, besides what follows them.

use rayon::prelude::*;

use self::{
    grid::{Block, blocks, transpose},
    head::Head,
    products::Scores,
    tile::cover,
};
use super::{Inputs, Output, Params};
use crate::{
    Direction, Rows, Write,
    simd::{Level, MAX_LANES, Vector, simd_entry},
    tasks::SHARED,
};

pub use self::{
    backward::{backward, retreat},
    grid::BLOCK,
};

mod backward;
mod grid;
mod head;
mod products;
mod steps;
mod tile;

/// Blocks that are walked before the next products of B and C are made: they should stay in the second-level cache.
const STRIP: usize = 8;

/// See the [module](super).
///
/// # Panics
///
/// Panics if the shapes do not fit.
pub fn forward(
    level: Level,
    params: &Params<'_, f32>,
    direction: Direction,
    start: u64,
    inputs: &Inputs<'_, f32>,
    state: &mut [f32],
    mut output: Option<Output<'_, f32>>,
) {
    let len = super::check(params, inputs, state, output.as_ref());
    let y =
        output.as_mut().map(|Output { y, write }| Target { stride: y.stride(), from: y.as_mut_ptr(), write: *write });
    let blocks = blocks(direction, start, len);
    let side = BLOCK.min(len).next_multiple_of(MAX_LANES);
    let operands = Operands { params: *params, direction, inputs: *inputs, y, side };
    walk(level, operands, &blocks, state);
}

/// Walks all heads over some blocks.
fn walk(level: Level, operands: Operands<'_>, blocks: &[Block], state: &mut [f32]) {
    let Params { heads, head_dim, states, groups, .. } = operands.params;
    let serial = operands.is_small(blocks);
    let mut shared = vec![0.0; STRIP.min(blocks.len()) * groups * operands.slot()];
    for strip in blocks.chunks(STRIP) {
        let slots = shared.par_chunks_mut(operands.slot()).take(strip.len() * groups);
        let alone = if serial { slots.len() } else { 1 };
        slots.with_min_len(alone).enumerate().for_each(|(i, slot)| {
            operands.prepare(level, strip[i / groups], i % groups, slot);
        });
        let states = state.par_chunks_mut(states * head_dim);
        let alone = if serial { heads } else { 1 };
        states.with_min_len(alone).enumerate().for_each(|(head, state)| {
            // SAFETY: `check` has held all shapes against each other, the slots of the strip are ready, and no two
            // heads share a column of y.
            unsafe { walk_strip(level, operands, strip, &shared, head, state) };
        });
    }
}

/// What a call works on, as the tasks see it.
#[derive(Clone, Copy)]
struct Operands<'a> {
    params: Params<'a, f32>,
    direction: Direction,
    inputs: Inputs<'a, f32>,
    y: Option<Target>,
    /// Positions of the longest block, padded.
    side: usize,
}

/// Where y goes.
#[derive(Clone, Copy)]
struct Target {
    from: *mut f32,
    stride: usize,
    write: Write,
}

// SAFETY: each head writes its own columns.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Operands<'_> {
    /// Elements that a block and group share between heads: Bᵀ `[N, side]`, then the scores `[side, side]`.
    fn slot(&self) -> usize {
        (self.params.states + self.side) * self.side
    }

    /// Channels of a head, padded.
    fn padded(&self) -> usize {
        self.params.head_dim.next_multiple_of(MAX_LANES)
    }

    /// Whether there is too little to do for threads.
    fn is_small(&self, blocks: &[Block]) -> bool {
        let Params { heads, head_dim, states, .. } = self.params;
        blocks.iter().map(|block| block.len).sum::<usize>() * heads * head_dim * states < SHARED
    }

    /// A head's state or its gradient, `[N, P]`, as `[N, padded]` with zeros beyond the head's channels.
    fn pad(&self, state: &[f32]) -> Vec<f32> {
        let Params { head_dim, states, .. } = self.params;
        let padded = self.padded();
        let mut wide = vec![0.0; states * padded];
        for (to, from) in wide.chunks_exact_mut(padded).zip(state.chunks_exact(head_dim)) {
            to[..head_dim].copy_from_slice(from);
        }
        wide
    }

    /// The inverse of [`pad`](Self::pad).
    fn unpad(&self, wide: &[f32], state: &mut [f32]) {
        let head_dim = self.params.head_dim;
        for (to, from) in state.chunks_exact_mut(head_dim).zip(wide.chunks_exact(self.padded())) {
            to.copy_from_slice(&from[..head_dim]);
        }
    }

    /// Columns `[P]` of a head in rows `[L, H · P]`, each times its factor, as `[len, padded]`; what lies beyond the
    /// head's channels is left alone.
    #[inline(always)]
    fn scale_rows(&self, rows: Rows<'_, f32>, head: usize, block: Block, factors: &[f32], to: &mut [f32]) {
        let (head_dim, padded) = (self.params.head_dim, self.padded());
        for (i, factor) in factors.iter().enumerate().take(block.len) {
            let from = &rows.row(block.row(self.direction, i))[head * head_dim..][..head_dim];
            let to = &mut to[i * padded..][..head_dim];
            for (to, from) in to.iter_mut().zip(from) {
                *to = from * factor;
            }
        }
    }

    /// Fills the slot of a block and group.
    fn prepare(&self, level: Level, block: Block, group: usize, slot: &mut [f32]) {
        let (states, side) = (self.params.states, self.side);
        let (b, scores) = slot.split_at_mut(states * side);
        transpose(block, self.direction, self.inputs.b, (group * states, states), b, side);
        if self.y.is_some() {
            let c = block.walk(self.direction, self.inputs.c, group * states);
            let scores = Scores { c, b: b.as_ptr(), states, side, scores: scores.as_mut_ptr() };
            // SAFETY: C has `block.len` rows of `states` from here; the other two are as large as the product says.
            unsafe { compute_scores(level, &scores, block.len) };
        }
    }
}

simd_entry! {
    unsafe fn compute_scores(scores: &Scores, len: usize) = scores_body
}

#[inline(always)]
unsafe fn scores_body<V: Vector>(scores: &Scores, len: usize) {
    // SAFETY: forwarded from the caller; columns beyond `len` are padding.
    unsafe { cover::<V>(scores, len, len) };
}

simd_entry! {
    unsafe fn walk_strip(
        operands: Operands<'_>,
        strip: &[Block],
        shared: &[f32],
        head: usize,
        state: &mut [f32],
    ) = strip_body
}

#[inline(always)]
unsafe fn strip_body<V: Vector>(
    operands: Operands<'_>,
    strip: &[Block],
    shared: &[f32],
    head: usize,
    state: &mut [f32],
) {
    let Params { heads, groups, .. } = operands.params;
    let group = head / (heads / groups);
    let mut task = Head::new(operands, head, group, state);
    for (i, &block) in strip.iter().enumerate() {
        let slot = &shared[(i * groups + group) * operands.slot()..][..operands.slot()];
        let (b, scores) = slot.split_at(operands.params.states * operands.side);
        // SAFETY: forwarded from the caller.
        unsafe {
            task.sum_steps::<V>(block);
            task.scale_inputs(block);
            if let Some(y) = operands.y {
                task.weigh::<V>(block, scores);
                task.read_out::<V>(block, y);
            }
            task.advance::<V>(block, b);
        }
    }
    task.keep_state(state);
}
