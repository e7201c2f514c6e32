//! The gradient of a weight: a product summed over positions in f32, on a register tile.
//!
//! Positions are taken in stretches of [`TILE`]. A task owns a part of the gradient; for each stretch it copies its
//! columns of `d_out` and of `x` into panels that are read in a straight line, and a tile of `Vector::TILE_ROWS`
//! outputs by two vectors of inputs stays in registers through the stretch, then is added to the gradient in memory.
//! So an element is made of the same operations in the same order whatever part it lies in, and its error grows with
//! the number of stretches, not of positions. The panels of a task are at most 304 KiB: they fit the second-level
//! cache. Operands that are rounded are rounded on their way into the panels, those of a lane being positions that
//! follow each other.

use std::ops::Range;

use rayon::prelude::*;

use super::operands::{Form, Operands, product_entry};
use crate::{
    Rows, TILE,
    backend::Precision,
    simd::{Level, MAX_LANES, Vector, add_row, simd_entry},
    sums::BlockSums,
    tasks::SHARED,
};

/// Outputs and inputs of a part of the gradient, at most.
const PART: (usize, usize) = (48, 256);

/// What parts are made of: no tile of any level lies across a border between two parts.
const UNIT: (usize, usize) = (12, 2 * MAX_LANES);

/// See the [module](crate::linear).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn weight_gradient(
    level: Level,
    precision: Precision,
    d_out: Rows<'_, f32>,
    x: Rows<'_, f32>,
    d_weight: &mut [f32],
    d_bias: Option<&mut [f32]>,
) {
    crate::linear::check_gradient(&d_out, &x, d_weight, d_bias.as_deref());
    let (outputs, inputs) = grid(d_out.len(), d_out.width(), x.width());
    let form = Form::of(level, precision);
    let gradient = Gradient { d_out, x, d_weight: d_weight.as_mut_ptr() };
    let task = |i: usize| {
        let part = Part {
            outputs: share(d_out.width(), UNIT.0, i / inputs, outputs),
            inputs: share(x.width(), UNIT.1, i % inputs, inputs),
        };
        // SAFETY: `check_gradient` holds every output and input of the part inside `d_out`, `x` and `d_weight`, and
        // two parts have no element of the gradient in common; the form is the level's.
        unsafe { add_products(level, form, gradient, part) };
    };
    match outputs * inputs {
        1 => task(0),
        parts => (0..parts).into_par_iter().for_each(task),
    }
    if let Some(d_bias) = d_bias {
        add_columns(level, d_out, d_bias);
    }
}

/// Into how many parts outputs and inputs are cut; the numbers change who computes an element, never its value.
fn grid(len: usize, n_out: usize, n_in: usize) -> (usize, usize) {
    let most = (n_out.div_ceil(UNIT.0), n_in.div_ceil(UNIT.1));
    let (mut outputs, mut inputs) = (n_out.div_ceil(PART.0), n_in.div_ceil(PART.1));
    let threads = rayon::current_num_threads();
    let wanted = if len * n_out * n_in < SHARED || threads == 1 { 1 } else { 4 * threads };
    while outputs * inputs < wanted && (outputs, inputs) != most {
        let tall = n_out * inputs >= n_in * outputs;
        if (tall && outputs < most.0) || inputs == most.1 {
            outputs += 1;
        } else {
            inputs += 1;
        }
    }
    (outputs, inputs)
}

/// Share `i` of `shares` of the numbers below `n`, in whole units but for the last.
fn share(n: usize, unit: usize, i: usize, shares: usize) -> Range<usize> {
    let units = n.div_ceil(unit);
    let border = |i: usize| (i * units / shares * unit).min(n);
    border(i)..border(i + 1)
}

/// The operands as the tasks see them.
#[derive(Clone, Copy)]
struct Gradient<'a> {
    d_out: Rows<'a, f32>,
    x: Rows<'a, f32>,
    d_weight: *mut f32,
}

// SAFETY: tasks read `d_out` and `x`, and write disjoint parts of `d_weight`.
unsafe impl Send for Gradient<'_> {}
// SAFETY: as above.
unsafe impl Sync for Gradient<'_> {}

/// The rows and columns of the gradient that one task computes.
struct Part {
    outputs: Range<usize>,
    inputs: Range<usize>,
}

product_entry! {
    unsafe fn add_products(gradient: Gradient<'_>, part: Part) = body
}

#[inline(always)]
unsafe fn body<O: Operands>(gradient: Gradient<'_>, part: Part) {
    let most = TILE.div_ceil(O::DEPTH);
    let mut d_out = vec![0.0; part.outputs.len() * most];
    let mut x = vec![0.0; part.inputs.len().next_multiple_of(UNIT.1) * most];
    for start in (0..gradient.x.len()).step_by(TILE) {
        let end = (start + TILE).min(gradient.x.len());
        let len = (end - start).div_ceil(O::DEPTH);
        for t in 0..len {
            let first = start + t * O::DEPTH;
            let second = (O::DEPTH == 2 && first + 1 < end).then_some(first + 1);
            // SAFETY: the columns lie inside the rows, and the panels hold as many columns of `TILE` positions, those
            // of `x` in whole units.
            unsafe {
                pack_d_out::<O>(columns(gradient.d_out, first, second, &part.outputs), len, t, d_out.as_mut_ptr());
                pack_x::<O>(columns(gradient.x, first, second, &part.inputs), len, t, x.as_mut_ptr());
            }
        }
        // SAFETY: the panels hold the part's columns of `len` lanes.
        unsafe { add_stretch::<O>(gradient, &part, len, d_out.as_ptr(), x.as_ptr()) };
    }
}

/// How many of `left` outputs the next panel has: the steps of [`add_stretch`].
#[inline(always)]
fn panel_height<V: Vector>(left: usize) -> usize {
    let mut height = 1;
    for possible in [2, 4, 6, 12] {
        if possible <= V::TILE_ROWS && possible <= left {
            height = possible;
        }
    }
    height
}

/// The columns of a position, and where those of the next are that share its lanes.
type Columns<'a> = (&'a [f32], Option<*const f32>);

fn columns<'a>(rows: Rows<'a, f32>, first: usize, second: Option<usize>, columns: &Range<usize>) -> Columns<'a> {
    (&rows.row(first)[columns.clone()], second.map(|t| rows.row(t)[columns.clone()].as_ptr()))
}

/// `n` lanes of columns from number `i` on.
#[inline(always)]
unsafe fn lanes_of<O: Operands>((row, next): Columns<'_>, i: usize, n: usize) -> O::Vector {
    // SAFETY: the caller promises `n` columns from `i` on; both rows have the same.
    unsafe {
        let first = O::Vector::load_first(row.as_ptr().add(i), n);
        let second = match next {
            Some(next) => O::Vector::load_first(next.add(i), n),
            None => O::Vector::splat(0.0),
        };
        O::join([first, second])
    }
}

/// Copies lanes `t` of `len` into panels `[len, height]`, one after the other.
#[inline(always)]
unsafe fn pack_d_out<O: Operands>(columns: Columns<'_>, len: usize, t: usize, panels: *mut f32) {
    let (mut j, n) = (0, columns.0.len());
    while j < n {
        let height = panel_height::<O::Vector>(n - j);
        // SAFETY: `height` columns follow `j`, which are no more than a vector, and panels before this one hold
        // `j` columns of `len` lanes.
        unsafe { lanes_of::<O>(columns, j, height).store_first(panels.add(j * len + t * height), height) };
        j += height;
    }
}

/// Copies lanes `t` of `len` into panels `[len, 2 vectors]`, one after the other, the last filled up with zeros.
#[inline(always)]
unsafe fn pack_x<O: Operands>(columns: Columns<'_>, len: usize, t: usize, panels: *mut f32) {
    let (width, n) = (2 * O::Vector::LANES, columns.0.len());
    for k in (0..n).step_by(O::Vector::LANES) {
        let lanes = (n - k).min(O::Vector::LANES);
        // SAFETY: `lanes` columns follow `k`, and a whole panel is there for each that has begun.
        unsafe {
            let to = panels.add(k / width * width * len + t * width + k % width);
            lanes_of::<O>(columns, k, lanes).store(to);
        }
    }
}

/// Adds the products of `len` lanes of positions to the part.
#[inline(always)]
unsafe fn add_stretch<O: Operands>(gradient: Gradient<'_>, part: &Part, len: usize, d_out: *const f32, x: *const f32) {
    let (mut j, n) = (0, part.outputs.len());
    macro_rules! panels_of {
        ($($rows:literal)*) => {$(
            while O::Vector::TILE_ROWS >= $rows && n - j >= $rows {
                // SAFETY: `$rows` outputs follow `j` inside the part, and their panel is at `j * len`.
                unsafe { panel::<O, $rows>(gradient, part, j, len, d_out.add(j * len), x) };
                j += $rows;
            }
        )*};
    }
    panels_of!(12 6 4 2 1);
}

/// `R` outputs, from number `j` of the part on, by all inputs of the part.
#[inline(always)]
unsafe fn panel<O: Operands, const R: usize>(
    gradient: Gradient<'_>,
    part: &Part,
    j: usize,
    len: usize,
    d_out: *const f32,
    x: *const f32,
) {
    let (n_in, lanes) = (gradient.x.width(), O::Vector::LANES);
    for k in (0..part.inputs.len()).step_by(2 * lanes) {
        let width = (part.inputs.len() - k).min(2 * lanes);
        // SAFETY: the outputs and `width` inputs lie inside the part, and the panel of the inputs is at `k * len`.
        unsafe {
            let to = gradient.d_weight.add((part.outputs.start + j) * n_in + part.inputs.start + k);
            if width > lanes {
                tile::<O, R, 2>(len, d_out, x.add(k * len), to, n_in, width);
            } else {
                tile::<O, R, 1>(len, d_out, x.add(k * len), to, n_in, width);
            }
        }
    }
}

/// `R` outputs by `C` vectors of inputs, kept in registers through `len` lanes of positions.
#[inline(always)]
unsafe fn tile<O: Operands, const R: usize, const C: usize>(
    len: usize,
    d_out: *const f32,
    x: *const f32,
    to: *mut f32,
    stride: usize,
    width: usize,
) {
    let lanes_of_vector = O::Vector::LANES;
    // SAFETY: the caller promises panels of `len` lanes, and `R` rows of `width` columns at `to`.
    unsafe {
        let mut sums = [[O::Vector::splat(0.0); C]; R];
        for t in 0..len {
            let x: [O::Vector; C] = std::array::from_fn(|c| O::Vector::load(x.add((2 * t + c) * lanes_of_vector)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let d_out = O::Vector::splat(*d_out.add(t * R + r));
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = O::multiply_add(d_out, x, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, &sum) in sums.iter().enumerate() {
                let lanes = (width - c * lanes_of_vector).min(lanes_of_vector);
                let to = to.add(r * stride + c * lanes_of_vector);
                O::Vector::load_first(to, lanes).add(sum).store_first(to, lanes);
            }
        }
    }
}

/// Adds the sum of every column.
fn add_columns(level: Level, x: Rows<'_, f32>, total: &mut [f32]) {
    let mut sums = BlockSums::new(x.len(), x.width());
    sums.par_blocks().enumerate().for_each(|(i, sums)| {
        // SAFETY: the sums of a block are as wide as `x`.
        unsafe { add_rows(level, x, i * TILE..x.len().min((i + 1) * TILE), sums) };
    });
    sums.add_to(0, total);
}

simd_entry! {
    unsafe fn add_rows(x: Rows<'_, f32>, rows: Range<usize>, sums: &mut [f32]) = add_rows_body
}

#[inline(always)]
unsafe fn add_rows_body<V: Vector>(x: Rows<'_, f32>, rows: Range<usize>, sums: &mut [f32]) {
    for t in rows {
        // SAFETY: the caller promises sums as wide as the rows.
        unsafe { add_row::<V>(x.row(t).as_ptr(), x.width(), sums.as_mut_ptr()) };
    }
}
