//! Small matrix products on register tiles.
//!
//! A [`Product`] computes tiles of `R` rows by `C` vectors of columns; [`cover`] cuts a matrix into the largest tiles
//! that the machine's registers hold and then into smaller ones. How rows are cut changes no sum: an element is one
//! chain of multiply-adds whatever tile it lies in.

use crate::simd::Vector;

/// A matrix with contiguous columns: row `i` begins at `from + i · step`.
#[derive(Clone, Copy)]
pub(super) struct Strided {
    pub(super) from: *const f32,
    /// Negative where rows are walked from the last to the first.
    pub(super) step: isize,
}

impl Strided {
    /// The same matrix without its first `row` rows.
    #[inline(always)]
    pub(super) fn skip_rows(self, row: usize) -> Self {
        Self { from: self.from.wrapping_offset(row.cast_signed() * self.step), step: self.step }
    }
}

/// A matrix that can be computed tile by tile.
pub(super) trait Product {
    /// Computes `R` rows from `row` on by `C` vectors of columns from `column` on.
    ///
    /// # Safety
    ///
    /// The tile lies inside the matrix, its columns padded to whole vectors; the machine has `V`.
    unsafe fn tile<V: Vector, const R: usize, const C: usize>(&self, row: usize, column: usize);
}

/// Computes all tiles of `rows` by `columns`, rounded up to whole vectors.
///
/// # Safety
///
/// As for [`Product::tile`].
#[inline(always)]
pub(super) unsafe fn cover<V: Vector>(product: &impl Product, rows: usize, columns: usize) {
    let mut column = 0;
    while column < columns {
        // SAFETY: forwarded from the caller.
        unsafe {
            if columns - column > V::LANES {
                cover_rows::<V, 2>(product, rows, column);
                column += 2 * V::LANES;
            } else {
                cover_rows::<V, 1>(product, rows, column);
                column += V::LANES;
            }
        }
    }
}

#[inline(always)]
unsafe fn cover_rows<V: Vector, const C: usize>(product: &impl Product, rows: usize, column: usize) {
    let mut row = 0;
    macro_rules! tiles_of {
        ($($height:literal)*) => {$(
            while V::TILE_ROWS >= $height && rows - row >= $height {
                // SAFETY: `$height` rows follow `row`; the rest is forwarded from the caller.
                unsafe { product.tile::<V, $height, C>(row, column) };
                row += $height;
            }
        )*};
    }
    tiles_of!(12 6 4 2 1);
}

/// `sums[r][c] + Σ_{k < depth} left[r, k] · right[k, c]`, in the order of k.
///
/// # Safety
///
/// `left` has `R` rows of `depth`, `right` has `depth` rows of `C` vectors; the machine has `V`.
#[inline(always)]
pub(super) unsafe fn multiply_add<V: Vector, const R: usize, const C: usize>(
    mut sums: [[V; C]; R],
    left: Strided,
    right: Strided,
    depth: usize,
) -> [[V; C]; R] {
    // SAFETY: all offsets lie inside the shapes that the caller promises.
    unsafe {
        let mut row = right.from;
        for k in 0..depth {
            let mut vectors = [V::splat(0.0); C];
            for (c, vector) in vectors.iter_mut().enumerate() {
                *vector = V::load(row.add(c * V::LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = V::splat(*left.skip_rows(r).from.add(k));
                for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                    *sum = x.mul_add(vector, *sum);
                }
            }
            // The last step may leave the buffer that `right` walks.
            row = row.wrapping_offset(right.step);
        }
        sums
    }
}
