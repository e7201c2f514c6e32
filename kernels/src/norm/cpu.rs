//! The norms in f32: a row is summed in vector lanes, one pass after the other while it is in cache.

use rayon::prelude::*;

use super::{GradParams, Kind, Params};
use crate::{
    TILE, Write,
    backend::Precision,
    simd::{Level, Vector, add_row, simd_entry, sweep},
    sums::BlockSums,
    tasks,
};

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn forward(level: Level, precision: Precision, params: &Params<'_, f32>, x: &[f32], out: &mut [f32]) {
    let width = super::check(params, x, out);
    let rounds = precision == Precision::Bf16;
    let task = tasks::rows(width) * width;
    out.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(out, x)| {
        // SAFETY: `check` holds weight and bias to the width; both chunks are the same whole rows.
        unsafe { normalise(level, *params, rounds, x, out) };
    });
}

simd_entry! {
    unsafe fn normalise(params: Params<'_, f32>, rounds: bool, x: &[f32], out: &mut [f32]) = body
}

#[inline(always)]
unsafe fn body<V: Vector>(params: Params<'_, f32>, rounds: bool, x: &[f32], out: &mut [f32]) {
    let width = params.weight.len();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let (mut x, out) = (x.as_ptr(), out.as_mut_ptr());
        // SAFETY: both rows are as wide as the weight.
        unsafe {
            if rounds {
                round::<V>(x, width, out);
                x = out;
            }
            row_body::<V>(&params, x, out);
        }
    }
}

/// Normalises one row, which may be `out` itself.
#[inline(always)]
unsafe fn row_body<V: Vector>(params: &Params<'_, f32>, x: *const f32, out: *mut f32) {
    let width = params.weight.len();
    // SAFETY: the caller promises `width` elements at both pointers. A row that lies in `out` is overwritten vector by
    // vector after each vector has been read.
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

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
#[allow(clippy::too_many_arguments, reason = "those of `forward`, and a gradient for each")]
pub fn backward(
    level: Level,
    precision: Precision,
    params: &Params<'_, f32>,
    x: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
    write: Write,
    d_params: &mut GradParams<'_, f32>,
) {
    let width = super::check_backward(params, x, d_out, d_x, d_params);
    let rounds = precision == Precision::Bf16;
    let mut sums = BlockSums::new(x.len() / width, 2 * width);
    let block = TILE * width;
    let inputs = x.par_chunks(block).zip(d_out.par_chunks(block));
    sums.par_blocks().zip(inputs).zip(d_x.par_chunks_mut(block)).for_each(|((sums, (x, d_out)), d_x)| {
        let rows = Backward { x, d_out, d_x, write, sums };
        // SAFETY: `check_backward` holds the three buffers to each other and the weight to their width; there are two
        // sums for each channel.
        unsafe { backward_rows(level, *params, rounds, rows) };
    });
    sums.add_to(0, d_params.d_weight);
    if let Some(d_bias) = &mut d_params.d_bias {
        sums.add_to(width, d_bias);
    }
}

/// The rows of one task, and the sums of `d_weight` and of `d_bias` over them.
struct Backward<'a> {
    x: &'a [f32],
    d_out: &'a [f32],
    d_x: &'a mut [f32],
    write: Write,
    sums: &'a mut [f32],
}

simd_entry! {
    unsafe fn backward_rows(params: Params<'_, f32>, rounds: bool, rows: Backward<'_>) = backward_body
}

#[inline(always)]
unsafe fn backward_body<V: Vector>(params: Params<'_, f32>, rounds: bool, rows: Backward<'_>) {
    let width = params.weight.len();
    let (d_weight, d_bias) = rows.sums.split_at_mut(width);
    let mut changed = vec![0.0; if rounds || params.kind == Kind::Layer { width } else { 0 }];
    for (t, x) in rows.x.chunks_exact(width).enumerate() {
        let (d_out, d_x) = (rows.d_out[t * width..].as_ptr(), rows.d_x[t * width..].as_mut_ptr());
        // SAFETY: a whole row follows each pointer, `changed` is as wide where it is written, and so are the sums.
        unsafe {
            let mut x = x.as_ptr();
            if rounds {
                round::<V>(x, width, changed.as_mut_ptr());
                x = changed.as_ptr();
            }
            if params.kind == Kind::Layer {
                centre::<V>(x, width, changed.as_mut_ptr());
                x = changed.as_ptr();
            }
            backward_row::<V>(&params, x, d_out, d_x, rows.write, d_weight.as_mut_ptr());
            if params.bias.is_some() {
                add_row::<V>(d_out, width, d_bias.as_mut_ptr());
            }
        }
    }
}

/// The gradient of one row, given less its mean, and its share of the weight's.
#[inline(always)]
unsafe fn backward_row<V: Vector>(
    params: &Params<'_, f32>,
    x: *const f32,
    d_out: *const f32,
    d_x: *mut f32,
    write: Write,
    d_weight: *mut f32,
) {
    let (width, weight) = (params.weight.len(), params.weight.as_ptr());
    // SAFETY: the caller promises `width` elements at every pointer.
    unsafe {
        let (mut squares, mut total, mut product) = (V::splat(0.0), V::splat(0.0), V::splat(0.0));
        sweep!(V, width, |d, lanes| {
            let x = V::load_first(x.add(d), lanes);
            let g = V::load_first(d_out.add(d), lanes).mul(V::load_first(weight.add(d), lanes));
            squares = x.mul_add(x, squares);
            total = total.add(g);
            product = g.mul_add(x, product);
        });
        let n = width as f32;
        let scale = 1.0 / (squares.sum() / n + params.epsilon as f32).sqrt();
        let mean = if params.kind == Kind::Layer { total.sum() / n } else { 0.0 };
        let (mean, slope) = (V::splat(mean), V::splat(scale * scale * (product.sum() / n)));
        let (scale, zero) = (V::splat(scale), V::splat(0.0));
        sweep!(V, width, |d, lanes| {
            let x = V::load_first(x.add(d), lanes);
            let d_out = V::load_first(d_out.add(d), lanes);
            let g = d_out.mul(V::load_first(weight.add(d), lanes));
            let mut gradient = zero.sub(x).mul_add(slope, g.sub(mean)).mul(scale);
            if write == Write::Add {
                gradient = gradient.add(V::load_first(d_x.add(d), lanes));
            }
            gradient.store_first(d_x.add(d), lanes);
            let sum = V::load_first(d_weight.add(d), lanes);
            d_out.mul_add(x.mul(scale), sum).store_first(d_weight.add(d), lanes);
        });
    }
}

/// Writes the row rounded to bf16.
#[inline(always)]
unsafe fn round<V: Vector>(x: *const f32, width: usize, out: *mut f32) {
    // SAFETY: the caller promises `width` elements at both pointers.
    unsafe {
        sweep!(V, width, |d, lanes| {
            V::load_first(x.add(d), lanes).to_bf16().store_first(out.add(d), lanes);
        });
    }
}

/// Writes the row less its mean, where it was or elsewhere.
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
