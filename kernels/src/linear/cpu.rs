//! The product on a register tile, summed in f32.
//!
//! The weight is packed once into panels of 16 outputs, `[n_out / 16, n_in, 16]`, padded with zeros, so that the
//! inner loop reads it in a straight line. A tile of `Vector::TILE_ROWS` rows by two vectors of outputs stays in
//! registers through the whole of `n_in`; nothing is summed in parts, which is what makes an output independent of
//! the rows beside it. Within a block of rows the loop over outputs is the outer one: a panel (at most a few tens of
//! kilobytes) stays in the first-level cache while the rows, which fit the second, pass under it.
//!
//! One tile serves all operands (`operands`). Where they are rounded the weight is rounded when it is packed, and a
//! task copies its block of rows, rounded, before it begins.

mod operands;
mod weight_gradient;

use rayon::prelude::*;

use crate::{
    Rows, RowsMut, Write,
    backend::Precision,
    simd::{Level, MAX_LANES, Vector},
    tasks::SHARED,
};
use operands::{Form, Operands, product_entry};

pub use weight_gradient::weight_gradient;

/// Rows that are multiplied by one panel before the next panel is fetched.
pub const ROW_BLOCK: usize = 192;

/// Outputs of a packed panel.
const PANEL: usize = 16;

const _: () = assert!(PANEL.is_multiple_of(MAX_LANES), "a panel is not a whole number of vectors");

/// A weight in panels, with its bias.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    /// `[n_out.div_ceil(16), lanes, 16]`
    panels: Vec<f32>,
    /// `[n_out.next_multiple_of(16)]`, zero where there is no bias
    bias: Vec<f32>,
    n_in: usize,
    n_out: usize,
    /// Lanes of `n_in` numbers.
    lanes: usize,
    form: Form,
}

impl PackedMatrix {
    /// Packs a row-major weight `[n_out, n_in]` and its bias `[n_out]`, for products at one level and precision.
    ///
    /// # Panics
    ///
    /// Panics if the weight is not a whole number of rows or the bias has another length.
    pub fn new(level: Level, precision: Precision, weight: &[f32], n_in: usize, bias: Option<&[f32]>) -> Self {
        super::check_weight(weight, n_in, bias);
        let mut packed = Self::zeros(Form::of(level, precision), n_in, weight.len() / n_in);
        for (j, row) in weight.chunks_exact(n_in).enumerate() {
            for (k, &w) in row.iter().enumerate() {
                packed.put(j, k, w);
            }
        }
        if let Some(bias) = bias {
            packed.bias[..bias.len()].copy_from_slice(bias);
        }
        packed
    }

    /// Packs the transpose, `[n_in, n_out]`, of a row-major weight `[n_out, n_in]`, as [`Self::new`] does.
    ///
    /// # Panics
    ///
    /// Panics if the weight is not a whole number of rows.
    pub fn transposed(level: Level, precision: Precision, weight: &[f32], n_in: usize) -> Self {
        super::check_weight(weight, n_in, None);
        let mut packed = Self::zeros(Form::of(level, precision), weight.len() / n_in, n_in);
        for (k, row) in weight.chunks_exact(n_in).enumerate() {
            for (j, &w) in row.iter().enumerate() {
                packed.put(j, k, w);
            }
        }
        packed
    }

    fn zeros(form: Form, n_in: usize, n_out: usize) -> Self {
        let (padded, lanes) = (n_out.next_multiple_of(PANEL), form.lanes(n_in));
        Self { panels: vec![0.0; padded * lanes], bias: vec![0.0; padded], n_in, n_out, lanes, form }
    }

    /// Sets element `[j, k]`, once.
    #[inline(always)]
    fn put(&mut self, j: usize, k: usize, w: f32) {
        let lane = (j / PANEL * self.lanes + self.form.lane(k)) * PANEL + j % PANEL;
        self.form.put(&mut self.panels[lane], k, w);
    }
}

/// See the [module](super).
///
/// # Panics
///
/// Panics if the shapes do not fit, or the matrix was packed for another level and precision.
pub fn forward(
    level: Level,
    precision: Precision,
    matrix: &PackedMatrix,
    x: Rows<'_, f32>,
    mut out: RowsMut<'_, f32>,
    write: Write,
) {
    super::check(matrix.n_in, matrix.n_out, &x, &out);
    assert_eq!(matrix.form, Form::of(level, precision), "a matrix packed for another level or precision");
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
        // of two tasks have no output in common; the form is the level's.
        unsafe { multiply_block(level, matrix.form, product, block) };
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

impl Product<'_> {
    /// The product of the rows from `row` on.
    #[inline(always)]
    unsafe fn starting_at(self, row: usize) -> Self {
        // SAFETY: the caller promises that the row exists.
        unsafe { Self { x: self.x.add(row * self.x_stride), out: self.out.add(row * self.out_stride), ..self } }
    }

    /// The same product of the first `rows` rows in lanes, which are copied to `copy`.
    #[inline(always)]
    unsafe fn of_lanes<O: Operands>(self, rows: usize, copy: &mut Vec<f32>) -> Self {
        let PackedMatrix { n_in, lanes, .. } = *self.matrix;
        copy.resize(rows * lanes, 0.0);
        for t in 0..rows {
            // SAFETY: the caller promises the rows, and there are lanes for each.
            unsafe { O::copy_row(self.x.add(t * self.x_stride), n_in, copy.as_mut_ptr().add(t * lanes)) };
        }
        Self { x: copy.as_ptr(), x_stride: lanes, ..self }
    }
}

product_entry! {
    unsafe fn multiply_block(product: Product<'_>, block: Block) = block_body
}

#[inline(always)]
unsafe fn block_body<O: Operands>(product: Product<'_>, block: Block) {
    let (lanes, rows) = (O::Vector::LANES, block.rows.1 - block.rows.0);
    if rows == 0 {
        return;
    }
    let mut copy = Vec::new();
    // SAFETY: the rows lie inside the product.
    let product = unsafe {
        let product = product.starting_at(block.rows.0);
        if O::ROUNDED { product.of_lanes::<O>(rows, &mut copy) } else { product }
    };
    let mut column = block.columns.0;
    while column < block.columns.1 {
        let width = (block.columns.1 - column).min(2 * lanes);
        // SAFETY: the columns lie inside the block, hence inside the product.
        unsafe {
            if width > lanes {
                panel_body::<O, 2>(product, rows, column, width);
            } else {
                panel_body::<O, 1>(product, rows, column, width);
            }
        }
        column += width;
    }
}

/// All rows of a block under `C` vectors of columns.
#[inline(always)]
unsafe fn panel_body<O: Operands, const C: usize>(product: Product<'_>, rows: usize, column: usize, width: usize) {
    let mut row = 0;
    macro_rules! tiles_of {
        ($($rows:literal)*) => {$(
            while O::Vector::TILE_ROWS >= $rows && rows - row >= $rows {
                // SAFETY: `$rows` rows follow `row` inside the block.
                unsafe { tile::<O, $rows, C>(product, row, column, width) };
                row += $rows;
            }
        )*};
    }
    tiles_of!(12 6 4 2 1);
}

/// `R` rows by `C` vectors of columns, kept in registers through all of `n_in`.
#[inline(always)]
unsafe fn tile<O: Operands, const R: usize, const C: usize>(
    product: Product<'_>,
    row: usize,
    column: usize,
    width: usize,
) {
    let Product { matrix, x_stride, out_stride, .. } = product;
    let lanes_of_vector = O::Vector::LANES;
    // SAFETY: the caller keeps `R` rows and `width` columns inside the product; panels are padded to whole vectors.
    unsafe {
        let x = product.x.add(row * x_stride);
        let weights: [*const f32; C] = std::array::from_fn(|c| {
            let first = column + c * lanes_of_vector;
            matrix.panels.as_ptr().add(first / PANEL * PANEL * matrix.lanes + first % PANEL)
        });
        let mut sums = [[O::Vector::splat(0.0); C]; R];
        for k in 0..matrix.lanes {
            let w: [O::Vector; C] = std::array::from_fn(|c| O::Vector::load(weights[c].add(k * PANEL)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = O::Vector::splat(*x.add(r * x_stride + k));
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = O::multiply_add(x, w, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, &sum) in sums.iter().enumerate() {
                let first = column + c * lanes_of_vector;
                let lanes = (width - c * lanes_of_vector).min(lanes_of_vector);
                let out = product.out.add((row + r) * out_stride + first);
                let mut sum = sum.add(O::Vector::load(matrix.bias.as_ptr().add(first)));
                if product.write == Write::Add {
                    sum = sum.add(O::Vector::load_first(out, lanes));
                }
                sum.store_first(out, lanes);
            }
        }
    }
}
