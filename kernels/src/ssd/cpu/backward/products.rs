//! The matrix products of a block, backwards.
//!
//! Matrices `[len, len]` are triangles: row j, the earlier position, holds columns i ≥ j and zeros before them.

use crate::{
    simd::Vector,
    ssd::cpu::tile::{Product, Strided, multiply_add},
};

/// `out[j, i] = Σ_k left[j, k] · right[k, i]` for i ≥ j; tiles below the diagonal are left out.
pub(super) struct Triangle {
    /// `[len, depth]`
    pub(super) left: Strided,
    /// `[depth, side]`
    pub(super) right: *const f32,
    pub(super) depth: usize,
    pub(super) side: usize,
    /// `[side, side]`
    pub(super) out: *mut f32,
}

impl Product for Triangle {
    #[inline(always)]
    unsafe fn tile<V: Vector, const R: usize, const C: usize>(&self, row: usize, column: usize) {
        if column + C * V::LANES <= row {
            return;
        }
        let side = self.side;
        // SAFETY: the tile lies inside the block, and the block inside the buffers.
        unsafe {
            let right = Strided { from: self.right.add(column), step: side.cast_signed() };
            let sums = multiply_add([[V::splat(0.0); C]; R], self.left.skip_rows(row), right, self.depth);
            for (r, sums) in sums.iter().enumerate() {
                for (c, sum) in sums.iter().enumerate() {
                    sum.store(self.out.add((row + r) * side + column + c * V::LANES));
                }
            }
        }
    }
}

/// What passes a border, on its way to or from each position:
///
/// ```text
/// way[n, i]  = scale[i] · Σ_p border[n, p] · rows[p, i]
/// sum[n, i] += way[n, i]
/// dots[i]   += Σ_n way[n, i] · columns[n, i]
/// ```
pub(super) struct Crossing {
    /// S or G, `[N, padded]`
    pub(super) border: Strided,
    /// `[P, side]`
    pub(super) rows: *const f32,
    pub(super) head_dim: usize,
    /// `[side]`
    pub(super) scale: *const f32,
    /// Cᵀ or Bᵀ, `[N, side]`
    pub(super) columns: *const f32,
    pub(super) side: usize,
    /// `[N, side]`
    pub(super) sum: *mut f32,
    /// `[side]`
    pub(super) dots: *mut f32,
}

impl Product for Crossing {
    #[inline(always)]
    unsafe fn tile<V: Vector, const R: usize, const C: usize>(&self, row: usize, column: usize) {
        let side = self.side;
        // SAFETY: the tile lies inside `[N, side]`.
        unsafe {
            let right = Strided { from: self.rows.add(column), step: side.cast_signed() };
            let ways = multiply_add([[V::splat(0.0); C]; R], self.border.skip_rows(row), right, self.head_dim);
            for c in 0..C {
                let i = column + c * V::LANES;
                let scale = V::load(self.scale.add(i));
                let mut dots = V::load(self.dots.add(i));
                for (r, ways) in ways.iter().enumerate() {
                    let way = ways[c].mul(scale);
                    let at = (row + r) * side + i;
                    let sum = self.sum.add(at);
                    V::load(sum).add(way).store(sum);
                    dots = way.mul_add(V::load(self.columns.add(at)), dots);
                }
                dots.store(self.dots.add(i));
            }
        }
    }
}

/// `out[j, p] = fade[j] · Σ_n B[j, n] · G[n, p] + Σ_{i ≥ j} weights[j, i] · d_y[i, p]`.
pub(super) struct InputGradient {
    /// B, `[len, N]`
    pub(super) b: Strided,
    /// G, `[N, padded]`
    pub(super) gradient: *const f32,
    pub(super) states: usize,
    /// `[len]`
    pub(super) fade: *const f32,
    /// `[side, side]`
    pub(super) weights: *const f32,
    pub(super) side: usize,
    /// `[side, padded]`
    pub(super) d_y: *const f32,
    /// Positions that d_y has: those of the block, or none.
    pub(super) len: usize,
    /// `[side, padded]`
    pub(super) out: *mut f32,
    pub(super) padded: usize,
}

impl Product for InputGradient {
    #[inline(always)]
    unsafe fn tile<V: Vector, const R: usize, const C: usize>(&self, row: usize, column: usize) {
        let (side, padded) = (self.side, self.padded);
        let step = padded.cast_signed();
        // SAFETY: the tile lies inside the block, and the block inside the buffers. Row `row` has no weight before
        // itself.
        unsafe {
            let gradient = Strided { from: self.gradient.add(column), step };
            let mut sums = multiply_add([[V::splat(0.0); C]; R], self.b.skip_rows(row), gradient, self.states);
            for (r, sums) in sums.iter_mut().enumerate() {
                let fade = V::splat(*self.fade.add(row + r));
                for sum in sums {
                    *sum = sum.mul(fade);
                }
            }
            let weights = Strided { from: self.weights.add(row * side).wrapping_add(row), step: side.cast_signed() };
            let d_y = Strided { from: self.d_y.wrapping_add(row * padded + column), step };
            let sums = multiply_add(sums, weights, d_y, self.len.saturating_sub(row));
            for (r, sums) in sums.iter().enumerate() {
                for (c, sum) in sums.iter().enumerate() {
                    sum.store(self.out.add((row + r) * padded + column + c * V::LANES));
                }
            }
        }
    }
}

/// `sum[n, i] += Σ_{j ≤ i} Bᵀ[n, j] · flow[j, i]`.
pub(super) struct FlowToC {
    /// Bᵀ, `[N, side]`
    pub(super) b: Strided,
    /// `[side, side]`
    pub(super) flow: *const f32,
    pub(super) len: usize,
    pub(super) side: usize,
    /// `[N, side]`
    pub(super) sum: *mut f32,
}

impl Product for FlowToC {
    #[inline(always)]
    unsafe fn tile<V: Vector, const R: usize, const C: usize>(&self, row: usize, column: usize) {
        let side = self.side;
        // SAFETY: the tile lies inside `[N, side]`. No column of it has flow from beyond itself.
        unsafe {
            let flow = Strided { from: self.flow.add(column), step: side.cast_signed() };
            let depth = self.len.min(column + C * V::LANES);
            let sums = multiply_add([[V::splat(0.0); C]; R], self.b.skip_rows(row), flow, depth);
            for (r, sums) in sums.iter().enumerate() {
                for (c, &sum) in sums.iter().enumerate() {
                    let to = self.sum.add((row + r) * side + column + c * V::LANES);
                    V::load(to).add(sum).store(to);
                }
            }
        }
    }
}

/// `out[j, n] = Σ_{i ≥ j} flow[j, i] · C[i, n]`.
pub(super) struct FlowToB {
    /// `[side, side]`
    pub(super) flow: *const f32,
    pub(super) side: usize,
    /// C, `[side, wide]`
    pub(super) c: *const f32,
    /// States, padded.
    pub(super) wide: usize,
    pub(super) len: usize,
    /// `[side, wide]`
    pub(super) out: *mut f32,
}

impl Product for FlowToB {
    #[inline(always)]
    unsafe fn tile<V: Vector, const R: usize, const C: usize>(&self, row: usize, column: usize) {
        let (side, wide) = (self.side, self.wide);
        // SAFETY: the tile lies inside the block, and the block inside the buffers. Row `row` has no flow before
        // itself.
        unsafe {
            let flow = Strided { from: self.flow.add(row * side + row), step: side.cast_signed() };
            let c = Strided { from: self.c.add(row * wide + column), step: wide.cast_signed() };
            let sums = multiply_add([[V::splat(0.0); C]; R], flow, c, self.len - row);
            for (r, sums) in sums.iter().enumerate() {
                for (c, sum) in sums.iter().enumerate() {
                    sum.store(self.out.add((row + r) * wide + column + c * V::LANES));
                }
            }
        }
    }
}
