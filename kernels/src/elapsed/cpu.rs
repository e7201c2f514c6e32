//! The sums in f32, vectorised over channels.

use rayon::prelude::*;

use super::Steps;
use crate::simd::{Level, MAX_LANES, Vector, simd_entry, softplus};

/// Rows whose sum is kept in f32.
const BLOCK: usize = 32;

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn add(level: Level, steps: &Steps<'_, f32>, sums: &mut [f64]) {
    super::check(steps, sums);
    sums.par_chunks_mut(MAX_LANES).enumerate().for_each(|(i, sums)| {
        // SAFETY: `check` gives every row and the bias a channel for each sum.
        unsafe { add_channels(level, *steps, i * MAX_LANES, sums) };
    });
}

simd_entry! {
    unsafe fn add_channels(steps: Steps<'_, f32>, first: usize, sums: &mut [f64]) = channels_body
}

/// Channels from `first` on, one for each sum.
#[inline(always)]
unsafe fn channels_body<V: Vector>(steps: Steps<'_, f32>, first: usize, sums: &mut [f64]) {
    let delta = steps.delta;
    for (i, sums) in sums.chunks_mut(V::LANES).enumerate() {
        let (channel, lanes) = (first + i * V::LANES, sums.len());
        for start in (0..delta.len()).step_by(BLOCK) {
            let mut of_block = [0.0; MAX_LANES];
            // SAFETY: the caller has these lanes in every row and in the bias; there is room for the widest vector.
            unsafe {
                let bias = V::load_first(steps.bias.as_ptr().add(channel), lanes);
                let (least, largest) = (V::splat(steps.limit.0 as f32), V::splat(steps.limit.1 as f32));
                let mut sum = V::splat(0.0);
                for t in start..(start + BLOCK).min(delta.len()) {
                    let raw = V::load_first(delta.as_ptr().add(t * delta.stride() + channel), lanes);
                    sum = sum.add(largest.min(least.max(softplus(raw.add(bias)))));
                }
                sum.store(of_block.as_mut_ptr());
            }
            sums.iter_mut().zip(of_block).for_each(|(sum, of_block)| *sum += f64::from(of_block));
        }
    }
}
