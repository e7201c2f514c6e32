//! The vector functions against f64, at every level of this machine.

use super::{Level, MAX_LANES, Vector, math};
use crate::bf16;

#[derive(Clone, Copy, Debug)]
enum Function {
    Exp2,
    Exp,
    Sigmoid,
    Silu,
    SiluSlope,
    Softplus,
}

#[inline(always)]
unsafe fn body<V: Vector>(function: Function, x: &[f32], y: &mut [f32]) {
    for start in (0..x.len()).step_by(V::LANES) {
        let n = V::LANES.min(x.len() - start);
        // SAFETY: `n` lanes follow `start` in both slices, which are as long as each other.
        unsafe {
            let v = V::load_first(x.as_ptr().add(start), n);
            let v = match function {
                Function::Exp2 => math::exp2(v),
                Function::Exp => math::exp(v),
                Function::Sigmoid => math::sigmoid(v),
                Function::Silu => math::silu(v),
                Function::SiluSlope => math::silu_and_slope(v).1,
                Function::Softplus => math::softplus(v),
            };
            v.store_first(y.as_mut_ptr().add(start), n);
        }
    }
}

simd_entry! {
    unsafe fn evaluate(function: Function, x: &[f32], y: &mut [f32]) = body
}

fn values(level: Level, function: Function, x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    // SAFETY: the slices are equally long.
    unsafe { evaluate(level, function, x, &mut y) };
    y
}

fn truth(function: Function, x: f64) -> f64 {
    match function {
        Function::Exp2 => x.exp2(),
        Function::Exp => x.exp(),
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::Silu => x / (1.0 + (-x).exp()),
        Function::SiluSlope => {
            let s = 1.0 / (1.0 + (-x).exp());
            s * (1.0 + x * (1.0 - s))
        }
        Function::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
    }
}

/// `(function, from, to, relative tolerance)`
const CASES: &[(Function, f32, f32, f64)] = &[
    (Function::Exp2, -125.0, 0.0, 2.4e-7),
    (Function::Exp2, -0.01, 0.01, 1.2e-7),
    (Function::Exp, -80.0, 80.0, 2.4e-7),
    (Function::Sigmoid, -80.0, 80.0, 4e-7),
    (Function::Silu, -80.0, 80.0, 4e-7),
    // It is zero at -1.278.
    (Function::SiluSlope, -80.0, -2.0, 1e-6),
    (Function::SiluSlope, -1.0, 80.0, 1e-6),
    (Function::Softplus, -80.0, 80.0, 4e-7),
];

#[test]
fn functions_agree_with_f64_at_every_level() {
    for level in Level::available() {
        for &(function, from, to, tolerance) in CASES {
            let x: Vec<f32> = (0..=10_007).map(|i| from + (to - from) * (i as f32 / 10_007.0)).collect();
            for (&x, y) in x.iter().zip(values(level, function, &x)) {
                let expected = truth(function, f64::from(x));
                let error = (f64::from(y) - expected).abs();
                assert!(
                    error <= tolerance * expected.abs() + 1e-37,
                    "{level} {function:?}({x}): expected {expected:e}, got {y:e}"
                );
            }
        }
    }
}

#[test]
fn extremes_are_zero_or_infinite_and_never_nan() {
    for level in Level::available() {
        let x = [f32::NEG_INFINITY, f32::MIN, -1e6, -300.0, 300.0, 1e6, f32::MAX, f32::INFINITY];
        let powers = [0.0, 0.0, 0.0, 0.0, f32::INFINITY, f32::INFINITY, f32::INFINITY, f32::INFINITY];
        assert_eq!(values(level, Function::Exp2, &x), powers, "{level}");
        assert_eq!(values(level, Function::Exp, &x), powers, "{level}");
        let positive_part = [0.0, 0.0, 0.0, 0.0, 300.0, 1e6, f32::MAX, f32::INFINITY];
        assert_eq!(values(level, Function::Softplus, &x), positive_part, "{level}");
        // Of negative infinity it is -∞ / ∞.
        assert_eq!(values(level, Function::Silu, &x)[1..], positive_part[1..], "{level}");
    }
}

#[test]
fn nan_stays_nan_and_in_its_lane() {
    for level in Level::available() {
        for function in
            [Function::Exp2, Function::Exp, Function::Sigmoid, Function::Silu, Function::SiluSlope, Function::Softplus]
        {
            for at in 0..MAX_LANES {
                for nan in [f32::NAN, -f32::NAN] {
                    let mut x = [0.5; MAX_LANES];
                    x[at] = nan;
                    let found = values(level, function, &x).iter().map(|y| y.is_nan()).collect::<Vec<_>>();
                    let expected = x.iter().map(|x| x.is_nan()).collect::<Vec<_>>();
                    assert_eq!(found, expected, "{level} {function:?}");
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn sum_each_body<V: Vector>(from: &[f32; 8 * MAX_LANES], sums: &mut [f32; 8]) {
    // SAFETY: eight registers of the widest level fit the numbers.
    unsafe { *sums = V::sum_each(std::array::from_fn(|i| V::load(from.as_ptr().add(i * V::LANES)))) };
}

simd_entry! {
    unsafe fn sum_each(from: &[f32; 8 * MAX_LANES], sums: &mut [f32; 8]) = sum_each_body
}

#[test]
fn each_register_has_its_own_sum() {
    // Powers of two that differ between all lanes of two registers: no other choice of lanes has the same sum.
    let numbers = std::array::from_fn(|i| (1 << (i % 23)) as f32);
    for level in Level::available() {
        let mut sums = [0.0; 8];
        // SAFETY: the body reads and writes the arrays alone.
        unsafe { sum_each(level, &numbers, &mut sums) };
        let expected: Vec<f32> = numbers.chunks(level.lanes()).take(8).map(|lanes| lanes.iter().sum()).collect();
        assert_eq!(sums[..], expected, "{level}");
    }
}

#[inline(always)]
unsafe fn to_bf16_body<V: Vector>(x: &[f32; MAX_LANES], out: &mut [f32; MAX_LANES]) {
    for d in (0..MAX_LANES).step_by(V::LANES) {
        // SAFETY: a whole vector follows `d`.
        unsafe { V::load(x.as_ptr().add(d)).to_bf16().store(out.as_mut_ptr().add(d)) };
    }
}

simd_entry! {
    unsafe fn to_bf16(x: &[f32; MAX_LANES], out: &mut [f32; MAX_LANES]) = to_bf16_body
}

/// Ties, subnormals, the largest numbers, infinities and NaN.
#[test]
fn every_level_rounds_to_the_same_bf16() {
    let uppers = [0x0000, 0x0001, 0x007f, 0x0080, 0x3f80, 0x3f81, 0x42ff, 0x7f7e, 0x7f7f, 0x7f80, 0x7f81, 0x7fff];
    let lowers = [0x0000, 0x0001, 0x7fff, 0x8000, 0x8001, 0xffff];
    let bits = uppers.into_iter().flat_map(|upper: u32| lowers.map(|lower| upper << 16 | lower));
    for x in bits.flat_map(|bits| [bits, bits | 1 << 31]).map(f32::from_bits) {
        for level in Level::available() {
            let mut out = [0.0; MAX_LANES];
            // SAFETY: the body reads and writes the arrays alone.
            unsafe { to_bf16(level, &[x; MAX_LANES], &mut out) };
            assert_eq!(out.map(f32::to_bits), [bf16::round(x).to_bits(); MAX_LANES], "{level} {:x}", x.to_bits());
        }
    }
}
