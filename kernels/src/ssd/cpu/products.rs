//! The three matrix products of a block.

use super::tile::{Product, Strided, multiply_add};
use crate::{Write, simd::Vector};

/// `scores[i, j] = Σ_n C[i, n] · B[j, n]` for j ≤ i; tiles above the diagonal are left out.
pub(super) struct Scores {
    /// C, `[len, N]`
    pub(super) c: Strided,
    /// Bᵀ, `[N, side]`
    pub(super) b: *const f32,
    pub(super) states: usize,
    pub(super) side: usize,
    /// `[side, side]`
    pub(super) scores: *mut f32,
}

impl Product for Scores {
    #[inline(always)]
    unsafe fn tile<V: Vector, const R: usize, const C: usize>(&self, row: usize, column: usize) {
        if column >= row + R {
            return;
        }
        let side = self.side;
        // SAFETY: the tile lies inside the block, and the block inside the buffers.
        unsafe {
            let left = self.c.skip_rows(row);
            let right = Strided { from: self.b.add(column), step: side.cast_signed() };
            let sums = multiply_add([[V::splat(0.0); C]; R], left, right, self.states);
            for (r, sums) in sums.iter().enumerate() {
                for (c, sum) in sums.iter().enumerate() {
                    sum.store(self.scores.add((row + r) * side + column + c * V::LANES));
                }
            }
        }
    }
}

/// `y[i, p] = decay[i] · Σ_n C[i, n] · S[n, p] + Σ_{j ≤ i} weights[i, j] · Δ'x[j, p] + D · x[i, p]`.
pub(super) struct Readout {
    /// C, `[len, N]`
    pub(super) c: Strided,
    /// S before the block, `[N, padded]`
    pub(super) state: *const f32,
    /// From the start of the block to each position, `[len]`
    pub(super) decay: *const f32,
    /// `[side, side]`, zero above the diagonal
    pub(super) weights: *const f32,
    pub(super) side: usize,
    /// Δ'x, `[len, padded]`
    pub(super) scaled: *const f32,
    /// x, `[len, P]`
    pub(super) x: Strided,
    pub(super) d: f32,
    /// `[len, P]`, rows `y_step` apart
    pub(super) y: *mut f32,
    pub(super) y_step: isize,
    pub(super) write: Write,
    pub(super) states: usize,
    pub(super) head_dim: usize,
    pub(super) padded: usize,
}

impl Product for Readout {
    #[inline(always)]
    unsafe fn tile<V: Vector, const R: usize, const C: usize>(&self, row: usize, column: usize) {
        let step = self.padded.cast_signed();
        // SAFETY: the tile lies inside the block, and the block inside the buffers. Row `row + R - 1` has no weight
        // beyond itself.
        unsafe {
            let state = Strided { from: self.state.add(column), step };
            let mut sums = multiply_add([[V::splat(0.0); C]; R], self.c.skip_rows(row), state, self.states);
            for (r, sums) in sums.iter_mut().enumerate() {
                let decay = V::splat(*self.decay.add(row + r));
                for sum in sums {
                    *sum = sum.mul(decay);
                }
            }
            let weights = Strided { from: self.weights.add(row * self.side), step: self.side.cast_signed() };
            let scaled = Strided { from: self.scaled.add(column), step };
            let sums = multiply_add(sums, weights, scaled, row + R);
            for (r, sums) in sums.iter().enumerate() {
                for (c, &sum) in sums.iter().enumerate() {
                    self.write_vector(sum, row + r, column + c * V::LANES);
                }
            }
        }
    }
}

impl Readout {
    /// Adds the direct path and writes what lies inside the head.
    #[inline(always)]
    unsafe fn write_vector<V: Vector>(&self, sum: V, row: usize, column: usize) {
        if column >= self.head_dim {
            return;
        }
        let lanes = (self.head_dim - column).min(V::LANES);
        // SAFETY: `lanes` channels follow `column` in the rows of x and y.
        unsafe {
            let x = V::load_first(self.x.skip_rows(row).from.add(column), lanes);
            let y = self.y.offset(row.cast_signed() * self.y_step).add(column);
            let mut sum = x.mul_add(V::splat(self.d), sum);
            if self.write == Write::Add {
                sum = sum.add(V::load_first(y, lanes));
            }
            sum.store_first(y, lanes);
        }
    }
}

/// `S[n, p] ← decay · S[n, p] + Σ_j B[j, n] · faded[j, p]`.
pub(super) struct Update {
    /// Bᵀ, `[N, side]`
    pub(super) b: Strided,
    /// Δ'x with the decay from each position to the end of the block, `[len, padded]`
    pub(super) faded: *const f32,
    pub(super) len: usize,
    /// Over the whole block
    pub(super) decay: f32,
    /// `[N, padded]`
    pub(super) state: *mut f32,
    pub(super) padded: usize,
}

impl Product for Update {
    #[inline(always)]
    unsafe fn tile<V: Vector, const R: usize, const C: usize>(&self, row: usize, column: usize) {
        // SAFETY: the tile lies inside the state, and `len` positions inside Bᵀ and x.
        unsafe {
            let right = Strided { from: self.faded.add(column), step: self.padded.cast_signed() };
            let left = self.b.skip_rows(row);
            let sums = multiply_add([[V::splat(0.0); C]; R], left, right, self.len);
            for (r, sums) in sums.iter().enumerate() {
                for (c, &sum) in sums.iter().enumerate() {
                    let state = self.state.add((row + r) * self.padded + column + c * V::LANES);
                    V::load(state).mul_add(V::splat(self.decay), sum).store(state);
                }
            }
        }
    }
}
