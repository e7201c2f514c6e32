//! Sums and maxima of hidden states over positions.
//!
//! | buffer | shape |
//! |---|---|
//! | `rows` | `[n, D]` |
//! | `sum`, `max` | `[D]`, f64, carried from call to call |
//!
//! Each channel is accumulated in f64, position after position, so the result does not depend on how the positions
//! are cut into calls. Start `sum` from zeros and `max` from negative infinity; the mean over positions is the final
//! sum divided by their number. These are bound by the memory that `rows` are read from.
//!
//! On a GPU the sums of pieces of 64 positions are added in the order of positions, and only vectors of whole spans are written.
//!
//! # Backward
//!
//! A sum passes its gradient to every row, a mean over n positions `d_mean / n`, a maximum to the first position that
//! has it. The rows may come in the same calls as forward or in others; their gradients are added to. A GPU does the same, with
//! the same bits: each number is one sum.

use crate::backend::Scalar;

#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(test)]
mod tests;

/// What becomes of the positions of a span.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// Of each channel the largest, or NaN if there is one.
    Max,
}

/// Adds each row to `sum`.
///
/// # Panics
///
/// Panics if `rows` is not a whole number of rows as wide as `sum`.
pub fn add_rows<S: Scalar>(rows: &[S], sum: &mut [f64]) {
    accumulate(rows, sum, |sum, x| sum + x);
}

/// Raises `max` to each row where the row is larger. A channel with a NaN is NaN from there on.
///
/// # Panics
///
/// Panics if `rows` is not a whole number of rows as wide as `max`.
pub fn max_rows<S: Scalar>(rows: &[S], max: &mut [f64]) {
    accumulate(rows, max, |max, x| if x > max || x.is_nan() { x } else { max });
}

/// Adds to each row of `d_rows` its share of the gradient of the mean over `n` positions.
///
/// # Panics
///
/// Panics if `d_rows` is not a whole number of rows as wide as `d_mean`.
pub fn mean_rows_backward<S: Scalar>(d_mean: &[f64], n: usize, d_rows: &mut [S]) {
    let width = check(d_rows, d_mean);
    for row in d_rows.chunks_exact_mut(width) {
        for (x, &d_mean) in row.iter_mut().zip(d_mean) {
            *x = S::from_f64(x.to_f64() + d_mean / n as f64);
        }
    }
}

/// Adds the gradient of each channel's maximum to the first row that has it, and leaves zero in its place, so that
/// rows after it get none; the calls are in the order of the positions.
///
/// # Panics
///
/// Panics if `rows` and `d_rows` are not the same whole number of rows as wide as `max` and `d_max`.
pub fn max_rows_backward<S: Scalar>(rows: &[S], max: &[f64], d_max: &mut [f64], d_rows: &mut [S]) {
    let width = check(rows, max);
    assert_eq!((d_max.len(), d_rows.len()), (width, rows.len()), "lengths of the gradients");
    for (row, d_row) in rows.chunks_exact(width).zip(d_rows.chunks_exact_mut(width)) {
        for d in 0..width {
            let x = row[d].to_f64();
            if x == max[d] || x.is_nan() {
                d_row[d] = S::from_f64(d_row[d].to_f64() + std::mem::take(&mut d_max[d]));
            }
        }
    }
}

/// Checks that the rows are whole ones and returns their width.
fn check<S>(rows: &[S], into: &[f64]) -> usize {
    let width = into.len();
    assert!(
        width > 0 && rows.len().is_multiple_of(width),
        "{} elements are not a whole number of rows of {width}",
        rows.len()
    );
    width
}

#[inline(always)]
fn accumulate<S: Scalar>(rows: &[S], into: &mut [f64], combine: impl Fn(f64, f64) -> f64) {
    let width = check(rows, into);
    for row in rows.chunks_exact(width) {
        for (into, &x) in into.iter_mut().zip(row) {
            *into = combine(*into, x.to_f64());
        }
    }
}
