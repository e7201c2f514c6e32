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

use std::f64::consts::LOG2_E;

use rayon::prelude::*;

use self::{
    grid::{Block, blocks, step},
    products::{Readout, Scores, Update},
    tile::{Strided, cover},
};
use super::{Inputs, Output, Params};
use crate::{
    Direction, Write,
    simd::{Level, Vector, exp2, simd_entry, softplus},
};

pub use self::grid::BLOCK;

mod grid;
mod products;
mod tile;

/// Blocks that are walked before the next products of B and C are made: they should stay in the second-level cache.
const STRIP: usize = 16;

/// Below this many multiply-adds a call is not worth sharing between threads.
const SHARED: usize = 1 << 20;

/// Buffers are padded to the widest vector.
const LANES: usize = 16;

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
    let y = output.as_mut().map(|Output { y, write }| Target {
        stride: y.stride(),
        from: y.as_mut_ptr(),
        write: *write,
    });
    let blocks = blocks(direction, start, len);
    let side = BLOCK.min(len).next_multiple_of(LANES);
    let operands = Operands { params: *params, direction, inputs: *inputs, y, side };
    let serial = len * state.len() < SHARED;
    let mut shared = vec![0.0; STRIP.min(blocks.len()) * params.groups * operands.slot()];
    for strip in blocks.chunks(STRIP) {
        let slots = shared.par_chunks_mut(operands.slot()).take(strip.len() * params.groups);
        let alone = if serial { slots.len() } else { 1 };
        slots.with_min_len(alone).enumerate().for_each(|(i, slot)| {
            operands.prepare(level, strip[i / params.groups], i % params.groups, slot);
        });
        let states = state.par_chunks_mut(params.states * params.head_dim);
        let alone = if serial { params.heads } else { 1 };
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
        self.params.head_dim.next_multiple_of(LANES)
    }

    /// Fills the slot of a block and group.
    fn prepare(&self, level: Level, block: Block, group: usize, slot: &mut [f32]) {
        let (states, side) = (self.params.states, self.side);
        let (b, scores) = slot.split_at_mut(states * side);
        for i in 0..block.len {
            let row = &self.inputs.b.row(block.row(self.direction, i))[group * states..][..states];
            for (n, &x) in row.iter().enumerate() {
                b[n * side + i] = x;
            }
        }
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

/// One head on its way, with the buffers of its current block.
struct Head<'a> {
    operands: Operands<'a>,
    head: usize,
    group: usize,
    padded: usize,
    /// S, `[N, padded]`
    state: Vec<f32>,
    /// Δ', `[side]`
    delta: Vec<f32>,
    /// s in powers of two, `[side]`, and what f32 loses of it
    sum: Vec<f32>,
    sum_rest: Vec<f32>,
    /// exp(s), `[side]`
    decay: Vec<f32>,
    /// Δ'x, `[side, padded]`
    x: Vec<f32>,
    /// `[side, side]`, never written above the diagonal
    weights: Vec<f32>,
}

impl<'a> Head<'a> {
    fn new(operands: Operands<'a>, head: usize, group: usize, state: &[f32]) -> Self {
        let (side, padded) = (operands.side, operands.padded());
        let Params { head_dim, states, .. } = operands.params;
        let mut padded_state = vec![0.0; states * padded];
        for (to, from) in padded_state.chunks_exact_mut(padded).zip(state.chunks_exact(head_dim)) {
            to[..head_dim].copy_from_slice(from);
        }
        let row = || vec![0.0; side];
        Self {
            operands,
            head,
            group,
            padded,
            state: padded_state,
            delta: row(),
            sum: row(),
            sum_rest: row(),
            decay: row(),
            x: vec![0.0; side * padded],
            weights: vec![0.0; side * side],
        }
    }

    fn keep_state(&self, state: &mut [f32]) {
        let head_dim = self.operands.params.head_dim;
        for (to, from) in state.chunks_exact_mut(head_dim).zip(self.state.chunks_exact(self.padded)) {
            to.copy_from_slice(&from[..head_dim]);
        }
    }

    /// Δ', its sums, and the decay from the start of the block.
    #[inline(always)]
    unsafe fn sum_steps<V: Vector>(&mut self, block: Block) {
        let Operands { params, direction, inputs, .. } = self.operands;
        for i in 0..block.len {
            self.delta[i] = inputs.dt.row(block.row(direction, i))[self.head];
        }
        let (least, largest) = params.dt_limit;
        // SAFETY: the buffers are padded to whole vectors.
        unsafe {
            let bias = V::splat(params.dt_bias[self.head]);
            let (least, largest) = (V::splat(least as f32), V::splat(largest as f32));
            for i in (0..block.len).step_by(V::LANES) {
                let delta = self.delta.as_mut_ptr().add(i);
                softplus(V::load(delta).add(bias)).max(least).min(largest).store(delta);
            }
        }
        let rate = f64::from(params.a[self.head]) * LOG2_E;
        let mut sum = 0.0;
        for i in 0..block.len {
            sum += f64::from(self.delta[i]) * rate;
            self.sum[i] = sum as f32;
            self.sum_rest[i] = (sum - f64::from(self.sum[i])) as f32;
        }
        // SAFETY: as above.
        unsafe {
            for i in (0..block.len).step_by(V::LANES) {
                exp2(V::load(self.sum.as_ptr().add(i))).store(self.decay.as_mut_ptr().add(i));
            }
        }
    }

    /// Δ'x, with zeros beyond the head's channels.
    #[inline(always)]
    fn scale_inputs(&mut self, block: Block) {
        let Operands { params: Params { head_dim, .. }, direction, inputs, .. } = self.operands;
        for i in 0..block.len {
            let from = &inputs.x.row(block.row(direction, i))[self.head * head_dim..][..head_dim];
            let to = &mut self.x[i * self.padded..][..head_dim];
            for (to, from) in to.iter_mut().zip(from) {
                *to = from * self.delta[i];
            }
        }
    }

    /// `weights[i, j] = scores[i, j] · exp(s_i - s_j)` for j ≤ i.
    #[inline(always)]
    unsafe fn weigh<V: Vector>(&mut self, block: Block, scores: &[f32]) {
        let side = self.operands.side;
        for i in 0..block.len {
            // SAFETY: rows and sums are padded to whole vectors.
            unsafe {
                let (sum, rest) = (V::splat(self.sum[i]), V::splat(self.sum_rest[i]));
                for j in (0..=i).step_by(V::LANES) {
                    let long = sum.sub(V::load(self.sum.as_ptr().add(j)));
                    let short = rest.sub(V::load(self.sum_rest.as_ptr().add(j)));
                    let weight = exp2(long.add(short)).mul(V::load(scores.as_ptr().add(i * side + j)));
                    let lanes = (i + 1 - j).min(V::LANES);
                    weight.store_first(self.weights.as_mut_ptr().add(i * side + j), lanes);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn read_out<V: Vector>(&self, block: Block, y: Target) {
        let Operands { params, direction, inputs, side, .. } = self.operands;
        let Params { states, head_dim, .. } = params;
        let column = self.head * head_dim;
        // SAFETY: the caller promises that y has these columns and that no one else writes them now.
        unsafe {
            let readout = Readout {
                c: block.walk(direction, inputs.c, self.group * states),
                state: self.state.as_ptr(),
                decay: self.decay.as_ptr(),
                weights: self.weights.as_ptr(),
                side,
                scaled: self.x.as_ptr(),
                x: block.walk(direction, inputs.x, column),
                d: params.d[self.head],
                y: y.from.add(block.row(direction, 0) * y.stride + column),
                y_step: step(direction, y.stride),
                write: y.write,
                states,
                head_dim,
                padded: self.padded,
            };
            cover::<V>(&readout, block.len, self.padded);
        }
    }

    /// The state after the block.
    #[inline(always)]
    unsafe fn advance<V: Vector>(&mut self, block: Block, b: &[f32]) {
        let last = block.len - 1;
        let side = self.operands.side;
        // SAFETY: sums are padded to whole vectors, and rows of x too.
        unsafe {
            let (sum, rest) = (V::splat(self.sum[last]), V::splat(self.sum_rest[last]));
            for i in (0..block.len).step_by(V::LANES) {
                let long = sum.sub(V::load(self.sum.as_ptr().add(i)));
                let short = rest.sub(V::load(self.sum_rest.as_ptr().add(i)));
                // Δ' is not needed any more.
                exp2(long.add(short)).store(self.delta.as_mut_ptr().add(i));
            }
            for i in 0..block.len {
                let decay = V::splat(self.delta[i]);
                for p in (0..self.padded).step_by(V::LANES) {
                    let x = self.x.as_mut_ptr().add(i * self.padded + p);
                    V::load(x).mul(decay).store(x);
                }
            }
            let update = Update {
                b: Strided { from: b.as_ptr(), step: side.cast_signed() },
                faded: self.x.as_ptr(),
                len: block.len,
                decay: self.decay[last],
                state: self.state.as_mut_ptr(),
                padded: self.padded,
            };
            cover::<V>(&update, self.operands.params.states, self.padded);
        }
    }
}
