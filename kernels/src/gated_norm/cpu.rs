//! The gated norm in f32: a group is gated and its squares are summed in one pass, then scaled in a second.

use rayon::prelude::*;

use super::Params;
use crate::{
    Rows,
    simd::{Level, Vector, silu, simd_entry, sweep},
    tasks,
};

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn forward(level: Level, params: &Params<'_, f32>, x: &mut [f32], z: Rows<'_, f32>) {
    let width = super::check(params, x, &z);
    let rows = tasks::rows(width);
    x.par_chunks_mut(rows * width).enumerate().for_each(|(i, x)| {
        // SAFETY: `check` holds the weight and every row of `z` to the width of `x`.
        unsafe { gate_and_normalise(level, *params, x, z, i * rows) };
    });
}

simd_entry! {
    unsafe fn gate_and_normalise(params: Params<'_, f32>, x: &mut [f32], z: Rows<'_, f32>, first: usize) = body
}

/// Rows `first..` of the gate belong to the rows of `x`.
#[inline(always)]
unsafe fn body<V: Vector>(params: Params<'_, f32>, x: &mut [f32], z: Rows<'_, f32>, first: usize) {
    let width = params.weight.len();
    for (t, x) in x.chunks_exact_mut(width).enumerate() {
        let z = z.row(first + t);
        for start in (0..width).step_by(params.group) {
            // SAFETY: a whole group follows `start` in the rows of `x` and `z` and in the weight.
            unsafe {
                group_body::<V>(
                    &params,
                    x.as_mut_ptr().add(start),
                    z.as_ptr().add(start),
                    params.weight.as_ptr().add(start),
                );
            }
        }
    }
}

#[inline(always)]
unsafe fn group_body<V: Vector>(params: &Params<'_, f32>, x: *mut f32, z: *const f32, weight: *const f32) {
    let group = params.group;
    // SAFETY: the caller promises a whole group at each pointer.
    unsafe {
        let mut squares = V::splat(0.0);
        sweep!(V, group, |d, lanes| {
            let gate = silu(V::load_first(z.add(d), lanes));
            let gated = V::load_first(x.add(d), lanes).mul(gate);
            squares = gated.mul_add(gated, squares);
            gated.store_first(x.add(d), lanes);
        });
        let square = squares.sum() / group as f32;
        let scale = V::splat(1.0 / (square + params.epsilon as f32).sqrt());
        sweep!(V, group, |d, lanes| {
            let weight = V::load_first(weight.add(d), lanes);
            V::load_first(x.add(d), lanes).mul(scale).mul(weight).store_first(x.add(d), lanes);
        });
    }
}
