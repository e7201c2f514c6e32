//! The gated norm in f32: a group is gated and its squares are summed in one pass, then scaled in a second.

use rayon::prelude::*;

use super::{GradInputs, Params};
use crate::{
    Rows, RowsMut, TILE,
    simd::{Level, Vector, silu, silu_and_slope, simd_entry, sweep},
    sums::BlockSums,
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

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn backward(
    level: Level,
    params: &Params<'_, f32>,
    x: &[f32],
    z: Rows<'_, f32>,
    d_out: &[f32],
    d_inputs: GradInputs<'_, f32>,
    d_weight: &mut [f32],
) {
    let width = super::check_backward(params, x, &z, d_out, &d_inputs, d_weight);
    let mut sums = BlockSums::new(z.len(), width);
    let block = TILE * width;
    let inputs = x.par_chunks(block).zip(d_out.par_chunks(block));
    let outputs = d_inputs.d_x.par_chunks_mut(block).zip(d_inputs.d_z.par_blocks(TILE));
    sums.par_blocks().zip(inputs).zip(outputs).enumerate().for_each(|(i, ((sums, (x, d_out)), (d_x, d_z)))| {
        let rows = Backward { x, z, first: i * TILE, d_out, d_x, d_z, sums };
        // SAFETY: `check_backward` holds all buffers to the rows of `z` and the width of the weight.
        unsafe { backward_rows(level, *params, rows) };
    });
    sums.add_to(0, d_weight);
}

/// The rows of one task, `first..` of the gate, and the sums of `d_weight` over them.
struct Backward<'a> {
    x: &'a [f32],
    z: Rows<'a, f32>,
    first: usize,
    d_out: &'a [f32],
    d_x: &'a mut [f32],
    d_z: RowsMut<'a, f32>,
    sums: &'a mut [f32],
}

simd_entry! {
    unsafe fn backward_rows(params: Params<'_, f32>, rows: Backward<'_>) = backward_body
}

#[inline(always)]
unsafe fn backward_body<V: Vector>(params: Params<'_, f32>, mut rows: Backward<'_>) {
    let width = params.weight.len();
    for t in 0..rows.d_z.len() {
        let (z, d_z) = (rows.z.row(rows.first + t), rows.d_z.row(t));
        for start in (0..width).step_by(params.group) {
            let at = t * width + start;
            // SAFETY: a whole group follows `start` in a row of every buffer.
            unsafe {
                let group = Group {
                    x: rows.x.as_ptr().add(at),
                    z: z.as_ptr().add(start),
                    d_out: rows.d_out.as_ptr().add(at),
                    weight: params.weight.as_ptr().add(start),
                };
                let (d_x, d_z) = (rows.d_x.as_mut_ptr().add(at), d_z.as_mut_ptr().add(start));
                backward_group::<V>(&params, group, d_x, d_z, rows.sums.as_mut_ptr().add(start));
            }
        }
    }
}

/// What the gradients of one group at one position are made of.
#[derive(Clone, Copy)]
struct Group {
    x: *const f32,
    z: *const f32,
    d_out: *const f32,
    weight: *const f32,
}

#[inline(always)]
unsafe fn backward_group<V: Vector>(
    params: &Params<'_, f32>,
    group: Group,
    d_x: *mut f32,
    d_z: *mut f32,
    d_weight: *mut f32,
) {
    let Group { x, z, d_out, weight } = group;
    // SAFETY: the caller promises a whole group at each pointer.
    unsafe {
        let (mut squares, mut product) = (V::splat(0.0), V::splat(0.0));
        sweep!(V, params.group, |d, lanes| {
            let gated = V::load_first(x.add(d), lanes).mul(silu(V::load_first(z.add(d), lanes)));
            let h = V::load_first(d_out.add(d), lanes).mul(V::load_first(weight.add(d), lanes));
            squares = gated.mul_add(gated, squares);
            product = h.mul_add(gated, product);
        });
        let n = params.group as f32;
        let scale = 1.0 / (squares.sum() / n + params.epsilon as f32).sqrt();
        let slope = V::splat(scale * scale * (product.sum() / n));
        let (scale, zero) = (V::splat(scale), V::splat(0.0));
        sweep!(V, params.group, |d, lanes| {
            let x = V::load_first(x.add(d), lanes);
            let d_out = V::load_first(d_out.add(d), lanes);
            let (gate, gate_slope) = silu_and_slope(V::load_first(z.add(d), lanes));
            let gated = x.mul(gate);
            let h = d_out.mul(V::load_first(weight.add(d), lanes));
            let d_gated = zero.sub(gated).mul_add(slope, h).mul(scale);
            d_gated.mul(gate).store_first(d_x.add(d), lanes);
            d_gated.mul(x).mul(gate_slope).store_first(d_z.add(d), lanes);
            let sum = V::load_first(d_weight.add(d), lanes);
            d_out.mul_add(gated.mul(scale), sum).store_first(d_weight.add(d), lanes);
        });
    }
}
