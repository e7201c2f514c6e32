//! The chunked form backwards, in f32.
//!
//! What a block passes on is one tensor each way: S before it, and G, the gradient of S after it. Between these all
//! blocks are alone. With i ≥ j positions of a block in the order of the walk and s as in the [forward form](super),
//!
//! ```text
//! flow[i, j]  = exp(s_i - s_j) · (d_y_i · Δ'_j x_j)                what goes from j to i, before B and C
//! d_C_i       = exp(s_i) · S d_y_i              +  Σ_{j ≤ i} flow[i, j] B_j
//! d_B_j       = exp(s_end - s_j) · G Δ'_j x_j   +  Σ_{i ≥ j} flow[i, j] C_i
//! d_(Δ'x)_j   = exp(s_end - s_j) · B_j G        +  Σ_{i ≥ j} (C_i · B_j) exp(s_i - s_j) d_y_i
//! G_before    = exp(s_end) · G                  +  Σ_i exp(s_i) C_i ⊗ d_y_i
//! r_k         = exp(s_end) · (S · G)  +  Σ_{i ≥ k} C_i · exp(s_i) S d_y_i  +  Σ_{j < k} B_j · exp(s_end - s_j) G Δ'_j x_j
//!               +  Σ_{j < k ≤ i} (C_i · B_j) flow[i, j]
//! ```
//!
//! where r_k, the derivative by the exponent of step k, adds up all ways that pass it. It could be had more cheaply from
//! sums of C · d_C - B · d_B, but what does not pass k cancels there only up to rounding, and under hard decay nothing
//! else is left.
//!
//! The sum over heads is drawn into `flow`, so that its products with B and C are made once a group.
//!
//! Strips of [`STRIP`] blocks are taken from the last to the first of the walk. In a strip each head first makes its S
//! and G at all borders; then every block and group is a task. Memory: S and G at the borders of a strip, `8 · STRIP · H ·
//! N · P` bytes or less, and S at the borders between strips; a second walk over all strips but the last makes these.
//! As in the forward form, zeros of a triangle are multiplied with what is not finite in up to a tile's rows.
//!
//! A block's heads are summed in order, and sums over blocks are kept in f64 and added from the last of the walk to the
//! first.

use rayon::prelude::*;

use self::{
    block::{Gradients, Place, Share, write_block_body},
    borders::Borders,
};
use super::{
    BLOCK, Operands, Target,
    grid::{Block, blocks},
    walk,
};
use crate::{
    Direction, GradRows, Rows,
    simd::{Level, MAX_LANES, simd_entry},
    ssd::{GradInputs, GradParams, Inputs, Params, check_backward, check_retreat},
};

mod block;
mod borders;
mod products;

/// Blocks whose borders are kept at a time.
const STRIP: usize = 64;

/// See the [module](crate::ssd#backward).
///
/// # Panics
///
/// Panics if the shapes do not fit.
#[allow(clippy::too_many_arguments, reason = "those of forward, and a gradient for each")]
pub fn backward(
    level: Level,
    params: &Params<'_, f32>,
    direction: Direction,
    start: u64,
    inputs: &Inputs<'_, f32>,
    state: &[f32],
    d_y: Option<Rows<'_, f32>>,
    d_state: &mut [f32],
    mut d_inputs: GradInputs<'_, f32>,
    d_params: &mut GradParams<'_, f32>,
) {
    let len = check_backward(params, inputs, state, d_y, d_state, &d_inputs, d_params);
    let GradInputs { d_x, d_dt, d_b, d_c } = &mut d_inputs;
    let [x, dt, b, c] = [d_x, d_dt, d_b, d_c].map(target);
    let side = BLOCK.min(len).next_multiple_of(MAX_LANES);
    let operands = Operands { params: *params, direction, inputs: *inputs, y: None, side };
    let gradients = Gradients { operands, d_y, x, dt, b, c };
    let blocks = blocks(direction, start, len);
    let starts = starts(level, operands, &blocks, state);
    let mut borders = Borders::new(operands, STRIP.min(blocks.len()));
    let mut sums = vec![Share::default(); params.heads];
    for (strip, state) in blocks.chunks(STRIP).zip(&starts).rev() {
        borders.make(level, &gradients, strip, state, d_state);
        add_blocks(&mut sums, &strip_shares(level, gradients, strip, &borders));
    }
    for (head, sum) in sums.iter().enumerate() {
        d_params.d_a[head] += sum.a as f32;
        d_params.d_d[head] += sum.d as f32;
        d_params.d_dt_bias[head] += sum.dt_bias as f32;
    }
}

/// See the [module](crate::ssd#backward). The bits are those of [`backward`].
///
/// # Panics
///
/// Panics if the shapes do not fit.
pub fn retreat(
    level: Level,
    params: &Params<'_, f32>,
    direction: Direction,
    start: u64,
    inputs: &Inputs<'_, f32>,
    d_y: Rows<'_, f32>,
    d_state: &mut [f32],
) {
    let len = check_retreat(params, inputs, d_y, d_state);
    let side = BLOCK.min(len).next_multiple_of(MAX_LANES);
    let operands = Operands { params: *params, direction, inputs: *inputs, y: None, side };
    let blocks = blocks(direction, start, len);
    let mut borders = Borders::new(operands, STRIP.min(blocks.len()));
    for strip in blocks.chunks(STRIP).rev() {
        borders.retreat(level, operands, strip, d_y, d_state);
    }
}

fn target(gradient: &mut GradRows<'_, f32>) -> Target {
    let GradRows { rows, write } = gradient;
    Target { stride: rows.stride(), from: rows.as_mut_ptr(), write: *write }
}

/// S before each strip.
fn starts(level: Level, operands: Operands<'_>, blocks: &[Block], state: &[f32]) -> Vec<Vec<f32>> {
    let mut starts = Vec::with_capacity(blocks.len().div_ceil(STRIP));
    let mut state = state.to_vec();
    for (i, strip) in blocks.chunks(STRIP).enumerate() {
        starts.push(state.clone());
        if (i + 1) * STRIP < blocks.len() {
            walk(level, operands, strip, &mut state);
        }
    }
    starts
}

/// Writes all gradients of a strip but that of the state; returns each block's share of those of the parameters,
/// `[blocks, H]`.
fn strip_shares(level: Level, gradients: Gradients<'_>, strip: &[Block], borders: &Borders) -> Vec<Share> {
    let Params { heads, groups, .. } = gradients.operands.params;
    let mut shares = vec![Share::default(); strip.len() * heads];
    let tasks = shares.par_chunks_mut(heads / groups);
    let alone = if gradients.operands.is_small(strip) { tasks.len() } else { 1 };
    tasks.with_min_len(alone).enumerate().for_each(|(i, shares)| {
        let (block, group) = (i / groups, i % groups);
        let place = Place { borders, index: block, block: strip[block], group };
        // SAFETY: `check_backward` has held all shapes against each other, the borders are those of the strip, and no
        // other task has these rows and the columns of this group.
        unsafe { write_block(level, gradients, place, shares) };
    });
    shares
}

simd_entry! {
    unsafe fn write_block(
        gradients: Gradients<'_>,
        place: Place<'_>,
        shares: &mut [Share],
    ) = write_block_body
}

/// Adds `[blocks, H]` to `[H]`, the last block of the walk first.
fn add_blocks(sums: &mut [Share], shares: &[Share]) {
    for shares in shares.chunks_exact(sums.len()).rev() {
        for (sum, share) in sums.iter_mut().zip(shares) {
            sum.a += share.a;
            sum.d += share.d;
            sum.dt_bias += share.dt_bias;
        }
    }
}
