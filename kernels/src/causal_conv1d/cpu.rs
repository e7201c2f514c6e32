//! The convolution in f32, vectorised over channels.
//!
//! A task owns a stretch of rows. For each of its rows it forms the K source rows, which come from `x` or, at the
//! sequence's edge, from the state, and runs over the channels. The next state is gathered before the tasks start,
//! so that `state` is both argument and result.

use rayon::prelude::*;

use super::{MAX_KERNEL, Params};
use crate::{
    Direction, Rows,
    simd::{Level, Vector, silu, simd_entry, sweep},
};

mod backward;

pub use backward::backward;

/// Rows of a task.
const ROWS: usize = 64;

/// See the [module](super).
///
/// # Panics
///
/// Panics if the shapes do not fit or there are more than [`MAX_KERNEL`] taps.
pub fn forward(
    level: Level,
    params: &Params<'_, f32>,
    direction: Direction,
    x: Rows<'_, f32>,
    state: &mut [f32],
    out: &mut [f32],
) {
    let (len, channels, kernel) = super::check(params, &x, state, out);
    let next = next_state(direction, x, state, channels);
    let sources = Sources { direction, x, state, len, channels, kernel };
    out.par_chunks_mut(ROWS * channels).enumerate().for_each(|(i, out)| {
        // SAFETY: `check` has held all lengths against each other, so every source row has `channels` elements.
        unsafe { convolve(level, *params, sources, i * ROWS, out) };
    });
    state.copy_from_slice(&next);
}

/// The K-1 positions at the far end of `state` and `x` together.
fn next_state(direction: Direction, x: Rows<'_, f32>, state: &[f32], channels: usize) -> Vec<f32> {
    let before = state.len() / channels;
    let fresh = before.min(x.len());
    let rows = |from: usize| (from..from + fresh).flat_map(|t| x.row(t).iter().copied());
    match direction {
        Direction::Forward => {
            let old = state[fresh * channels..].iter().copied();
            old.chain(rows(x.len() - fresh)).collect()
        }
        Direction::Reverse => {
            let old = state[..(before - fresh) * channels].iter().copied();
            rows(0).chain(old).collect()
        }
    }
}

/// Where the taps of a row find their inputs.
#[derive(Clone, Copy)]
struct Sources<'a> {
    direction: Direction,
    x: Rows<'a, f32>,
    state: &'a [f32],
    len: usize,
    channels: usize,
    kernel: usize,
}

impl<'a> Sources<'a> {
    /// The row that tap `k` of row `t` meets.
    #[inline(always)]
    fn row(&self, t: usize, k: usize) -> &'a [f32] {
        let before = self.kernel - 1;
        let outside = |i: usize| &self.state[i * self.channels..][..self.channels];
        match self.direction {
            Direction::Forward if t + k < before => outside(t + k),
            Direction::Forward => self.x.row(t + k - before),
            Direction::Reverse if t + before - k >= self.len => outside(t + before - k - self.len),
            Direction::Reverse => self.x.row(t + before - k),
        }
    }
}

simd_entry! {
    unsafe fn convolve(params: Params<'_, f32>, sources: Sources<'_>, first: usize, out: &mut [f32]) = body
}

#[inline(always)]
unsafe fn body<V: Vector>(params: Params<'_, f32>, sources: Sources<'_>, first: usize, out: &mut [f32]) {
    // The published models all have four taps: a constant count keeps them in registers.
    // SAFETY: forwarded from the caller.
    unsafe {
        match sources.kernel {
            4 => rows_body::<V, 4>(params, sources, first, out),
            _ => rows_body::<V, MAX_KERNEL>(params, sources, first, out),
        }
    }
}

#[inline(always)]
unsafe fn rows_body<V: Vector, const K: usize>(
    params: Params<'_, f32>,
    sources: Sources<'_>,
    first: usize,
    out: &mut [f32],
) {
    let Sources { channels, .. } = sources;
    let kernel = sources.kernel.min(K);
    for (i, out) in out.chunks_exact_mut(channels).enumerate() {
        let mut taps = [std::ptr::null(); K];
        for (k, tap) in taps.iter_mut().enumerate().take(kernel) {
            *tap = sources.row(first + i, k).as_ptr();
        }
        sweep!(V, channels, |d, lanes| {
            // SAFETY: `lanes` elements follow `d` in each row of sources, taps, bias and output.
            unsafe {
                let mut sum = match params.bias {
                    Some(bias) => V::load_first(bias.as_ptr().add(d), lanes),
                    None => V::splat(0.0),
                };
                for (k, tap) in taps.iter().enumerate().take(kernel) {
                    let weight = V::load_first(params.weight.as_ptr().add(k * channels + d), lanes);
                    sum = V::load_first(tap.add(d), lanes).mul_add(weight, sum);
                }
                silu(sum).store_first(out.as_mut_ptr().add(d), lanes);
            }
        });
    }
}
