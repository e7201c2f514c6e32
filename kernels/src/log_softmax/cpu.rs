//! Log-probabilities in f32: three passes over a row while it is in cache.
//!
//! A row is rarely wider than a vector or two, so the portable vector serves every level, with the same bits.

use rayon::prelude::*;

use crate::{
    simd::{Portable, Vector, exp, sweep},
    tasks,
};

const LANES: usize = Portable::LANES;

/// Zeros, then negative infinities: added to a partial load, it puts what cannot be a maximum in the empty lanes.
const EMPTY: [f32; 2 * LANES] = {
    let mut empty = [0.0; 2 * LANES];
    let mut i = LANES;
    while i < 2 * LANES {
        empty[i] = f32::NEG_INFINITY;
        i += 1;
    }
    empty
};

/// Below this a difference from the maximum adds nothing; the bound keeps infinities out of the exponential.
pub(crate) const LEAST: f32 = -200.0;

/// See the [module](super).
///
/// # Panics
///
/// Panics if `x` is not a whole number of rows of `width`.
pub fn forward(x: &mut [f32], width: usize) {
    super::check(x, width);
    x.par_chunks_mut(tasks::rows(width) * width).for_each(|x| x.chunks_exact_mut(width).for_each(normalise));
}

/// Turns one row into log-probabilities.
fn normalise(row: &mut [f32]) {
    let (max, log) = normaliser(row);
    let width = row.len();
    // SAFETY: the row is `width` wide, and every machine has the portable vector.
    unsafe {
        let (x, max, log) = (row.as_mut_ptr(), Portable::splat(max), Portable::splat(log));
        sweep!(Portable, width, |v, lanes| {
            let difference = Portable::load_first(x.add(v), lanes).sub(max);
            difference.sub(log).store_first(x.add(v), lanes);
        });
    }
}

/// m = max x and ln Σ exp(x - m): what a logit is less to be a log-probability.
#[inline(always)]
pub(crate) fn normaliser(row: &[f32]) -> (f32, f32) {
    // SAFETY: the row is as wide as is said, and every machine has the portable vector.
    unsafe {
        let max = maximum(row.as_ptr(), row.len());
        (max, sum_of_powers(row.as_ptr(), row.len(), max).ln())
    }
}

/// `lanes` elements, and negative infinity in the other lanes.
#[inline(always)]
unsafe fn load(from: *const f32, lanes: usize) -> Portable {
    // SAFETY: the caller promises `lanes` elements, at most a vector, and `EMPTY` is two vectors long.
    unsafe { Portable::load_first(from, lanes).add(Portable::load(EMPTY.as_ptr().add(LANES - lanes))) }
}

/// The largest element; which it is of a row with a NaN does not matter, since the sum of powers is NaN then.
#[inline(always)]
unsafe fn maximum(x: *const f32, width: usize) -> f32 {
    let mut lanes_of_max = [f32::NEG_INFINITY; LANES];
    // SAFETY: the caller promises `width` elements; the array has a vector's lanes.
    unsafe {
        let mut max = Portable::splat(f32::NEG_INFINITY);
        sweep!(Portable, width, |v, lanes| {
            max = max.max(load(x.add(v), lanes));
        });
        max.store(lanes_of_max.as_mut_ptr());
    }
    let mut max = f32::NEG_INFINITY;
    for x in lanes_of_max {
        max = max.max(x);
    }
    max
}

/// Σ exp(x - max)
#[inline(always)]
unsafe fn sum_of_powers(x: *const f32, width: usize, max: f32) -> f32 {
    // SAFETY: the caller promises `width` elements.
    unsafe {
        let (max, least) = (Portable::splat(max), Portable::splat(LEAST));
        let mut sum = Portable::splat(0.0);
        sweep!(Portable, width, |v, lanes| {
            sum = sum.add(exp(least.max(load(x.add(v), lanes).sub(max))));
        });
        sum.sum()
    }
}
