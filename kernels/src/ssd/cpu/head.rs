//! One head's walk over the blocks of a strip.

use std::f64::consts::LOG2_E;

use super::{
    Operands, Target,
    grid::{Block, step},
    products::{Readout, Update},
    tile::{Strided, cover},
};
use crate::{
    simd::{Vector, exp2, softplus},
    ssd::Params,
};

/// 2 to this power is zero in f32. A step never counts for less: the sums beside it keep their precision, and a step
/// that is zero stays zero whatever the rate.
const FORGETS: f64 = -1000.0;

/// One head on its way, with the buffers of its current block.
pub(super) struct Head<'a> {
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
    pub(super) fn new(operands: Operands<'a>, head: usize, group: usize, state: &[f32]) -> Self {
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

    pub(super) fn keep_state(&self, state: &mut [f32]) {
        let head_dim = self.operands.params.head_dim;
        for (to, from) in state.chunks_exact_mut(head_dim).zip(self.state.chunks_exact(self.padded)) {
            to.copy_from_slice(&from[..head_dim]);
        }
    }

    /// Δ', its sums, and the decay from the start of the block.
    #[inline(always)]
    pub(super) unsafe fn sum_steps<V: Vector>(&mut self, block: Block) {
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
                largest.min(least.max(softplus(V::load(delta).add(bias)))).store(delta);
            }
        }
        let rate = (f64::from(params.a[self.head]) * LOG2_E).clamp(f64::MIN, f64::MAX);
        let mut sum = 0.0;
        for i in 0..block.len {
            sum += (f64::from(self.delta[i]) * rate).clamp(FORGETS, f64::INFINITY);
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
    pub(super) fn scale_inputs(&mut self, block: Block) {
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
    pub(super) unsafe fn weigh<V: Vector>(&mut self, block: Block, scores: &[f32]) {
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
    pub(super) unsafe fn read_out<V: Vector>(&self, block: Block, y: Target) {
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
    pub(super) unsafe fn advance<V: Vector>(&mut self, block: Block, b: &[f32]) {
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
