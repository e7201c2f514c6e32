//! The product in f32 on a register tile.
//!
//! The weight is packed once into panels of 16 outputs, `[n_out / 16, n_in, 16]`, padded with zeros, so that the
//! inner loop reads it in a straight line. A tile of `Vector::TILE_ROWS` rows by two vectors of outputs stays in
//! registers through the whole of `n_in`; nothing is summed in parts, which is what makes an output independent of
//! the rows beside it. Within a block of rows the loop over outputs is the outer one: a panel (at most a few tens of
//! kilobytes) stays in the first-level cache while the rows, which fit the second, pass under it.

mod weight_gradient;

use rayon::prelude::*;

use crate::{
    Rows, RowsMut, Write,
    simd::{Level, MAX_LANES, Vector, simd_entry},
    tasks::SHARED,
};

pub use weight_gradient::weight_gradient;

/// Rows that are multiplied by one panel before the next panel is fetched.
pub const ROW_BLOCK: usize = 192;

/// Outputs of a packed panel.
const PANEL: usize = 16;

const _: () = assert!(PANEL.is_multiple_of(MAX_LANES), "a panel is not a whole number of vectors");

/// A weight in panels, with its bias.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    /// `[n_out.div_ceil(16), n_in, 16]`
    panels: Vec<f32>,
    /// `[n_out.next_multiple_of(16)]`, zero where there is no bias
    bias: Vec<f32>,
    n_in: usize,
    n_out: usize,
}

impl PackedMatrix {
    /// Packs a row-major weight `[n_out, n_in]` and its bias `[n_out]`.
    ///
    /// # Panics
    ///
    /// Panics if the weight is not a whole number of rows or the bias has another length.
    pub fn new(weight: &[f32], n_in: usize, bias: Option<&[f32]>) -> Self {
        super::check_weight(weight, n_in, bias);
        let n_out = weight.len() / n_in;
        let padded = n_out.next_multiple_of(PANEL);
        let mut panels = vec![0.0; padded * n_in];
        for (j, row) in weight.chunks_exact(n_in).enumerate() {
            let panel = &mut panels[j / PANEL * PANEL * n_in..][..PANEL * n_in];
            for (k, &w) in row.iter().enumerate() {
                panel[k * PANEL + j % PANEL] = w;
            }
        }
        let mut padded_bias = vec![0.0; padded];
        if let Some(bias) = bias {
            padded_bias[..n_out].copy_from_slice(bias);
        }
        Self { panels, bias: padded_bias, n_in, n_out }
    }

    /// Packs the transpose, `[n_in, n_out]`, of a row-major weight `[n_out, n_in]`.
    ///
    /// # Panics
    ///
    /// Panics if the weight is not a whole number of rows.
    pub fn transposed(weight: &[f32], n_in: usize) -> Self {
        super::check_weight(weight, n_in, None);
        let n_out = weight.len() / n_in;
        let padded = n_in.next_multiple_of(PANEL);
        let mut panels = vec![0.0; padded * n_out];
        for (j, row) in weight.chunks_exact(n_in).enumerate() {
            for (i, part) in row.chunks(PANEL).enumerate() {
                panels[(i * n_out + j) * PANEL..][..part.len()].copy_from_slice(part);
            }
        }
        Self { panels, bias: vec![0.0; padded], n_in: n_out, n_out: n_in }
    }
}

/// See the [module](super).
pub fn forward(level: Level, matrix: &PackedMatrix, x: Rows<'_, f32>, mut out: RowsMut<'_, f32>, write: Write) {
    super::check(matrix.n_in, matrix.n_out, &x, &out);
    let product = Product {
        matrix,
        x: x.as_ptr(),
        x_stride: x.stride(),
        out: out.as_mut_ptr(),
        out_stride: out.stride(),
        n: out.width(),
        write,
    };
    let rows = out.len();
    let pairs = product.n.div_ceil(2 * PANEL);
    let (row_blocks, column_blocks) = grid(rows, pairs, rows * product.n * matrix.n_in);
    let task = |i: usize| {
        let (r, c) = (i / column_blocks, i % column_blocks);
        let block = Block {
            rows: (r * rows / row_blocks, (r + 1) * rows / row_blocks),
            columns: (
                2 * PANEL * (c * pairs / column_blocks),
                (2 * PANEL * ((c + 1) * pairs / column_blocks)).min(product.n),
            ),
        };
        // SAFETY: `check` holds every row and column of the block inside `x`, `out` and the panels, and the blocks
        // of two tasks have no output in common.
        unsafe { multiply_block(level, product, block) };
    };
    match row_blocks * column_blocks {
        1 => task(0),
        tasks => (0..tasks).into_par_iter().for_each(task),
    }
}

/// How many blocks of rows and of columns to share out; the numbers change who computes an output, never its value.
fn grid(rows: usize, pairs: usize, work: usize) -> (usize, usize) {
    let row_blocks = rows.div_ceil(ROW_BLOCK).max(1);
    let threads = rayon::current_num_threads();
    if work < SHARED || threads == 1 || row_blocks >= 2 * threads {
        return (row_blocks, 1);
    }
    (row_blocks, (2 * threads).div_ceil(row_blocks).min(pairs).max(1))
}

/// A product's operands as the tasks see them.
#[derive(Clone, Copy)]
struct Product<'a> {
    matrix: &'a PackedMatrix,
    x: *const f32,
    x_stride: usize,
    out: *mut f32,
    out_stride: usize,
    n: usize,
    write: Write,
}

// SAFETY: tasks read `x` and the matrix, and write disjoint blocks of `out`.
unsafe impl Send for Product<'_> {}
// SAFETY: as above.
unsafe impl Sync for Product<'_> {}

/// The half-open ranges of rows and columns that one task computes.
#[derive(Clone, Copy)]
struct Block {
    rows: (usize, usize),
    columns: (usize, usize),
}

simd_entry! {
    unsafe fn multiply_block(product: Product<'_>, block: Block) = block_body
}

#[inline(always)]
unsafe fn block_body<V: Vector>(product: Product<'_>, block: Block) {
    let mut column = block.columns.0;
    while column < block.columns.1 {
        let width = (block.columns.1 - column).min(2 * V::LANES);
        // SAFETY: the columns lie inside the block, hence inside the product.
        unsafe {
            if width > V::LANES {
                panel_body::<V, 2>(product, block.rows, column, width);
            } else {
                panel_body::<V, 1>(product, block.rows, column, width);
            }
        }
        column += width;
    }
}

/// All rows of a block under `C` vectors of columns.
#[inline(always)]
unsafe fn panel_body<V: Vector, const C: usize>(
    product: Product<'_>,
    (mut row, end): (usize, usize),
    column: usize,
    width: usize,
) {
    macro_rules! tiles_of {
        ($($rows:literal)*) => {$(
            while V::TILE_ROWS >= $rows && end - row >= $rows {
                // SAFETY: `$rows` rows follow `row` inside the block.
                unsafe { tile::<V, $rows, C>(product, row, column, width) };
                row += $rows;
            }
        )*};
    }
    tiles_of!(12 6 4 2 1);
}

/// `R` rows by `C` vectors of columns, kept in registers through all of `n_in`.
#[inline(always)]
unsafe fn tile<V: Vector, const R: usize, const C: usize>(
    product: Product<'_>,
    row: usize,
    column: usize,
    width: usize,
) {
    let Product { matrix, x_stride, out_stride, .. } = product;
    // SAFETY: the caller keeps `R` rows and `width` columns inside the product; panels are padded to whole vectors.
    unsafe {
        let x = product.x.add(row * x_stride);
        let weights: [*const f32; C] = std::array::from_fn(|c| {
            let first = column + c * V::LANES;
            matrix.panels.as_ptr().add(first / PANEL * PANEL * matrix.n_in + first % PANEL)
        });
        let mut sums = [[V::splat(0.0); C]; R];
        for k in 0..matrix.n_in {
            let w: [V; C] = std::array::from_fn(|c| V::load(weights[c].add(k * PANEL)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = V::splat(*x.add(r * x_stride + k));
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = x.mul_add(w, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, &sum) in sums.iter().enumerate() {
                let first = column + c * V::LANES;
                let lanes = (width - c * V::LANES).min(V::LANES);
                let out = product.out.add((row + r) * out_stride + first);
                let mut sum = sum.add(V::load(matrix.bias.as_ptr().add(first)));
                if product.write == Write::Add {
                    sum = sum.add(V::load_first(out, lanes));
                }
                sum.store_first(out, lanes);
            }
        }
    }
}
