//! What this machine's vector units can do at most: the measure that benchmarks hold kernels against.

use std::{hint::black_box, time::Instant};

use super::{Level, MAX_LANES, Vector, exp2, simd_entry};

/// Independent chains, enough to hide the latency of a multiply-add.
const CHAINS: usize = 10;

/// Numbers of the exponential's buffer, which stays in the first-level cache.
const NUMBERS: usize = 2048;

const _: () = assert!(NUMBERS.is_multiple_of(MAX_LANES), "the buffer is not a whole number of vectors");

/// Floating-point operations a second of one thread that does nothing but multiply-adds, two operations each.
pub fn fma_flops(level: Level) -> f64 {
    let rounds = 2_000_000;
    let mut sum = 0.0;
    // SAFETY: the body touches no memory but `sum`.
    let seconds = fastest(|| unsafe { fma_chains(level, black_box(rounds), &mut sum) });
    black_box(sum);
    (2 * CHAINS * rounds * level.lanes()) as f64 / seconds
}

/// Exponentials a second of one thread, on numbers in first-level cache.
pub fn exp_rate(level: Level) -> f64 {
    let rounds = 2_000;
    let mut numbers = vec![0.5; NUMBERS];
    // SAFETY: the buffer is a whole number of vectors at every level.
    let seconds = fastest(|| unsafe { exponentials(level, &mut numbers, black_box(rounds)) });
    (NUMBERS * rounds) as f64 / seconds
}

fn fastest(mut work: impl FnMut()) -> f64 {
    (0..5)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

simd_entry! {
    unsafe fn fma_chains(rounds: usize, sum: &mut f32) = fma_body
}

#[inline(always)]
unsafe fn fma_body<V: Vector>(rounds: usize, sum: &mut f32) {
    // SAFETY: the caller's machine has `V`.
    unsafe {
        let (factor, addend) = (V::splat(0.999), V::splat(1e-3));
        let mut chains: [V; CHAINS] = std::array::from_fn(|i| V::splat(black_box(i as f32)));
        for _ in 0..rounds {
            for chain in &mut chains {
                *chain = chain.mul_add(factor, addend);
            }
        }
        *sum = chains.iter().fold(0.0, |sum, chain| sum + chain.sum());
    }
}

simd_entry! {
    unsafe fn exponentials(numbers: &mut [f32], rounds: usize) = exp_body
}

#[inline(always)]
unsafe fn exp_body<V: Vector>(numbers: &mut [f32], rounds: usize) {
    for _ in 0..rounds {
        for start in (0..numbers.len()).step_by(V::LANES) {
            // SAFETY: a whole vector follows `start`.
            unsafe {
                let at = numbers.as_mut_ptr().add(start);
                // 2^-x of positive numbers settles near 0.64, so that no round meets extremes.
                exp2(V::splat(0.0).sub(V::load(at))).store(at);
            }
        }
        black_box(&mut *numbers);
    }
}
