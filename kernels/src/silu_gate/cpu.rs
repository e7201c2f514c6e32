//! The gate in f32, vectorised over channels.

use rayon::prelude::*;

use crate::{
    Rows, RowsMut,
    simd::{Level, Vector, silu, silu_and_slope, simd_entry, sweep},
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

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn backward(level: Level, x: &[f32], z: Rows<'_, f32>, d_out: &[f32], d_x: &mut [f32], d_z: RowsMut<'_, f32>) {
    let width = super::check_backward(x, &z, d_out, d_x, &d_z);
    let rows = tasks::rows(width);
    let block = rows * width;
    let inputs = x.par_chunks(block).zip(d_out.par_chunks(block));
    let outputs = d_x.par_chunks_mut(block).zip(d_z.par_blocks(rows));
    inputs.zip(outputs).enumerate().for_each(|(i, ((x, d_out), (d_x, d_z)))| {
        // SAFETY: `check_backward` gives all buffers the rows of `z`.
        unsafe { backward_rows(level, Backward { x, z, first: i * rows, d_out, d_x, d_z }) };
    });
}

/// The rows of one task, `first..` of the gate.
struct Backward<'a> {
    x: &'a [f32],
    z: Rows<'a, f32>,
    first: usize,
    d_out: &'a [f32],
    d_x: &'a mut [f32],
    d_z: RowsMut<'a, f32>,
}

simd_entry! {
    unsafe fn backward_rows(rows: Backward<'_>) = backward_body
}

#[inline(always)]
unsafe fn backward_body<V: Vector>(mut rows: Backward<'_>) {
    let width = rows.z.width();
    for t in 0..rows.d_z.len() {
        let (x, d_out) = (rows.x[t * width..].as_ptr(), rows.d_out[t * width..].as_ptr());
        let (d_x, d_z) = (rows.d_x[t * width..].as_mut_ptr(), rows.d_z.row(t).as_mut_ptr());
        let z = rows.z.row(rows.first + t).as_ptr();
        // SAFETY: a whole row follows each pointer.
        unsafe {
            sweep!(V, width, |d, lanes| {
                let (gate, slope) = silu_and_slope(V::load_first(z.add(d), lanes));
                let d_out = V::load_first(d_out.add(d), lanes);
                d_out.mul(gate).store_first(d_x.add(d), lanes);
                d_out.mul(V::load_first(x.add(d), lanes)).mul(slope).store_first(d_z.add(d), lanes);
            });
        }
    }
}
