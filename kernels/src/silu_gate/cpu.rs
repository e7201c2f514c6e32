//! The gate in f32, vectorised over channels.

use rayon::prelude::*;

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
pub fn forward(level: Level, x: &mut [f32], z: Rows<'_, f32>) {
    let width = super::check(x, &z);
    let rows = tasks::rows(width);
    x.par_chunks_mut(rows * width).enumerate().for_each(|(i, x)| {
        // SAFETY: `check` gives `z` a row for each row of `x`.
        unsafe { gate(level, x, z, i * rows) };
    });
}

simd_entry! {
    unsafe fn gate(x: &mut [f32], z: Rows<'_, f32>, first: usize) = body
}

/// Rows `first..` of the gate belong to the rows of `x`.
#[inline(always)]
unsafe fn body<V: Vector>(x: &mut [f32], z: Rows<'_, f32>, first: usize) {
    let width = z.width();
    for (t, x) in x.chunks_exact_mut(width).enumerate() {
        let (x, z) = (x.as_mut_ptr(), z.row(first + t).as_ptr());
        // SAFETY: both rows are `width` wide.
        unsafe {
            sweep!(V, width, |d, lanes| {
                let gate = silu(V::load_first(z.add(d), lanes));
                V::load_first(x.add(d), lanes).mul(gate).store_first(x.add(d), lanes);
            });
        }
    }
}
