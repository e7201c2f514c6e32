//! The steps of a block and the decays they make.

use std::f64::consts::LOG2_E;

use super::{Operands, grid::Block};
use crate::simd::{Vector, exp2, softplus};

/// 2 to this power is zero in f32. A step never counts for less: the sums beside it keep their precision, and a step
/// that is zero stays zero whatever the rate.
const FORGETS: f64 = -1000.0;

/// What a head's steps in one block come to, all `[side]`.
pub(super) struct Steps {
    /// Δ'
    pub(super) delta: Vec<f32>,
    /// s in powers of two, and what f32 loses of it
    sum: Vec<f32>,
    sum_rest: Vec<f32>,
    /// exp(s), from the start of the block
    pub(super) decay: Vec<f32>,
    /// exp(s_end - s), to the end of the block
    pub(super) fade: Vec<f32>,
}

impl Steps {
    pub(super) fn new(side: usize) -> Self {
        let row = || vec![0.0; side];
        Self { delta: row(), sum: row(), sum_rest: row(), decay: row(), fade: row() }
    }

    /// Δ', its sums, and the decay from the start of the block.
    #[inline(always)]
    pub(super) unsafe fn measure<V: Vector>(&mut self, operands: &Operands<'_>, head: usize, block: Block) {
        let &Operands { params, direction, inputs, .. } = operands;
        for i in 0..block.len {
            self.delta[i] = inputs.dt.row(block.row(direction, i))[head];
        }
        let (least, largest) = params.dt_limit;
        // SAFETY: the buffers are padded to whole vectors.
        unsafe {
            let bias = V::splat(params.dt_bias[head]);
            let (least, largest) = (V::splat(least as f32), V::splat(largest as f32));
            for i in (0..block.len).step_by(V::LANES) {
                let delta = self.delta.as_mut_ptr().add(i);
                largest.min(least.max(softplus(V::load(delta).add(bias)))).store(delta);
            }
        }
        let rate = (f64::from(params.a[head]) * LOG2_E).clamp(f64::MIN, f64::MAX);
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

    /// The decay from each of the first `len` positions to the last of them.
    #[inline(always)]
    pub(super) unsafe fn fade<V: Vector>(&mut self, len: usize) {
        // SAFETY: the buffers are padded to whole vectors.
        unsafe {
            for i in (0..len).step_by(V::LANES) {
                self.decay_to::<V>(len - 1, i).store(self.fade.as_mut_ptr().add(i));
            }
        }
    }

    /// `exp(s_i - s_j)` for a vector of positions from `j` on.
    ///
    /// # Safety
    ///
    /// `j` is the start of an aligned vector of the block; the machine has `V`.
    #[inline(always)]
    pub(super) unsafe fn decay_to<V: Vector>(&self, i: usize, j: usize) -> V {
        // SAFETY: the buffers are padded to whole vectors.
        unsafe {
            let long = V::splat(self.sum[i]).sub(V::load(self.sum.as_ptr().add(j)));
            let short = V::splat(self.sum_rest[i]).sub(V::load(self.sum_rest.as_ptr().add(j)));
            exp2(long.add(short))
        }
    }

    /// `exp(s_i - s_j)` for `lanes` positions from `i` on.
    ///
    /// # Safety
    ///
    /// `i + lanes` positions lie inside the block; the machine has `V`.
    #[inline(always)]
    pub(super) unsafe fn decay_from<V: Vector>(&self, j: usize, i: usize, lanes: usize) -> V {
        // SAFETY: forwarded from the caller.
        unsafe {
            let long = V::load_first(self.sum.as_ptr().add(i), lanes).sub(V::splat(self.sum[j]));
            let short = V::load_first(self.sum_rest.as_ptr().add(i), lanes).sub(V::splat(self.sum_rest[j]));
            exp2(long.add(short))
        }
    }
}
