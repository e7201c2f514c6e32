//! The norms in f32: a row is summed in vector lanes, one pass after the other while it is in cache.

use rayon::prelude::*;

use super::{Kind, Params};
use crate::{
    simd::{Level, Vector, simd_entry, sweep},
    tasks,
};

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn forward(level: Level, params: &Params<'_, f32>, x: &[f32], out: &mut [f32]) {
    let width = super::check(params, x, out);
    let task = tasks::rows(width) * width;
    out.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(out, x)| {
        // SAFETY: `check` holds weight and bias to the width; both chunks are the same whole rows.
        unsafe { normalise(level, *params, x, out) };
    });
}

simd_entry! {
    unsafe fn normalise(params: Params<'_, f32>, x: &[f32], out: &mut [f32]) = body
}

#[inline(always)]
unsafe fn body<V: Vector>(params: Params<'_, f32>, x: &[f32], out: &mut [f32]) {
    let width = params.weight.len();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        // SAFETY: both rows are as wide as the weight.
        unsafe { row_body::<V>(&params, x.as_ptr(), out.as_mut_ptr()) };
    }
}

/// Normalises one row.
#[inline(always)]
unsafe fn row_body<V: Vector>(params: &Params<'_, f32>, x: *const f32, out: *mut f32) {
    let width = params.weight.len();
    // SAFETY: the caller promises `width` elements at both pointers. A centred row lies in `out`, where it is
    // overwritten vector by vector after each vector has been read.
    unsafe {
        let x = match params.kind {
            Kind::Rms => x,
            Kind::Layer => {
                centre::<V>(x, width, out);
                out.cast_const()
            }
        };
        let square = sum_of_squares::<V>(x, width) / width as f32;
        let scale = V::splat(1.0 / (square + params.epsilon as f32).sqrt());
        sweep!(V, width, |d, lanes| {
            let weight = V::load_first(params.weight.as_ptr().add(d), lanes);
            let mut y = V::load_first(x.add(d), lanes).mul(scale).mul(weight);
            if let Some(bias) = params.bias {
                y = y.add(V::load_first(bias.as_ptr().add(d), lanes));
            }
            y.store_first(out.add(d), lanes);
        });
    }
}

/// Writes the row less its mean.
#[inline(always)]
unsafe fn centre<V: Vector>(x: *const f32, width: usize, out: *mut f32) {
    // SAFETY: the caller promises `width` elements at both pointers.
    unsafe {
        let mut sum = V::splat(0.0);
        sweep!(V, width, |d, lanes| {
            sum = sum.add(V::load_first(x.add(d), lanes));
        });
        let mean = V::splat(sum.sum() / width as f32);
        sweep!(V, width, |d, lanes| {
            V::load_first(x.add(d), lanes).sub(mean).store_first(out.add(d), lanes);
        });
    }
}

#[inline(always)]
unsafe fn sum_of_squares<V: Vector>(x: *const f32, width: usize) -> f32 {
    // SAFETY: the caller promises `width` elements.
    unsafe {
        let mut sum = V::splat(0.0);
        sweep!(V, width, |d, lanes| {
            let x = V::load_first(x.add(d), lanes);
            sum = x.mul_add(x, sum);
        });
        sum.sum()
    }
}
