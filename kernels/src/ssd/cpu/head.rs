//! One head's walk over the blocks of a strip.

use super::{
    Operands, Target,
    grid::{Block, step},
    products::{Readout, Update},
    steps::Steps,
    tile::{Strided, cover},
};
use crate::{simd::Vector, ssd::Params};

/// One head on its way, with the buffers of its current block.
pub(super) struct Head<'a> {
    operands: Operands<'a>,
    head: usize,
    group: usize,
    padded: usize,
    /// S, `[N, padded]`
    pub(super) state: Vec<f32>,
    steps: Steps,
    /// Δ'x, `[side, padded]`
    x: Vec<f32>,
    /// `[side, side]`, never written above the diagonal
    weights: Vec<f32>,
}

impl<'a> Head<'a> {
    pub(super) fn new(operands: Operands<'a>, head: usize, group: usize, state: &[f32]) -> Self {
        let (side, padded) = (operands.side, operands.padded());
        Self {
            operands,
            head,
            group,
            padded,
            state: operands.pad(state),
            steps: Steps::new(side),
            x: vec![0.0; side * padded],
            weights: vec![0.0; side * side],
        }
    }

    pub(super) fn keep_state(&self, state: &mut [f32]) {
        self.operands.unpad(&self.state, state);
    }

    /// Δ', its sums, and the decay from the start of the block.
    #[inline(always)]
    pub(super) unsafe fn sum_steps<V: Vector>(&mut self, block: Block) {
        // SAFETY: forwarded from the caller.
        unsafe { self.steps.measure::<V>(&self.operands, self.head, block) };
    }

    /// Δ'x, with zeros beyond the head's channels.
    #[inline(always)]
    pub(super) fn scale_inputs(&mut self, block: Block) {
        let Self { operands, head, steps, x, .. } = self;
        operands.scale_rows(operands.inputs.x, *head, block, &steps.delta, x);
    }

    /// `weights[i, j] = scores[i, j] · exp(s_i - s_j)` for j ≤ i.
    #[inline(always)]
    pub(super) unsafe fn weigh<V: Vector>(&mut self, block: Block, scores: &[f32]) {
        let side = self.operands.side;
        for i in 0..block.len {
            // SAFETY: rows and sums are padded to whole vectors.
            unsafe {
                for j in (0..=i).step_by(V::LANES) {
                    let decay = self.steps.decay_to::<V>(i, j);
                    let weight = decay.mul(V::load(scores.as_ptr().add(i * side + j)));
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
                decay: self.steps.decay.as_ptr(),
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
            self.steps.fade::<V>(block.len);
            for i in 0..block.len {
                let decay = V::splat(self.steps.fade[i]);
                for p in (0..self.padded).step_by(V::LANES) {
                    let x = self.x.as_mut_ptr().add(i * self.padded + p);
                    V::load(x).mul(decay).store(x);
                }
            }
            let update = Update {
                b: Strided { from: b.as_ptr(), step: side.cast_signed() },
                faded: self.x.as_ptr(),
                len: block.len,
                decay: self.steps.decay[last],
                state: self.state.as_mut_ptr(),
                padded: self.padded,
            };
            cover::<V>(&update, self.operands.params.states, self.padded);
        }
    }
}
