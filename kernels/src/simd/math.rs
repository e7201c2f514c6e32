//! Exponentials and what is made of them, on vectors.
//!
//! Polynomials are minimax fits in relative error with the constant term fixed at 1, so that values next to 1 are
//! exact; `tests.rs` holds each function to f64. NaN gives NaN everywhere.

use super::Vector;

/// 2^x on [-½, ½], degree 5: relative error 9.1e-8 before rounding, and ever less towards 0.
#[allow(clippy::approx_constant, reason = "a fitted coefficient that happens to be near ln 2")]
const POWER: [f32; 6] = [1.0, 0.693_147, 0.240_222_42, 0.055_507_336, 0.009_671_513, 0.001_326_472_7];

/// 2^x on [-½, ½], degree 6: relative error 2.0e-9 before rounding.
#[allow(clippy::approx_constant, reason = "a fitted coefficient that happens to be near ln 2")]
const POWER_FINE: [f32; 7] =
    [1.0, 0.693_147_2, 0.240_226_48, 0.055_503_324, 0.009_618_437, 0.001_339_887_5, 0.000_153_533_62];

/// artanh(√q)/√q on [0, 1/9], degree 5 in q: relative error 1e-10 before rounding.
const ARTANH: [f32; 6] = [1.0, 0.333_333_4, 0.199_993_46, 0.143_103_61, 0.106_966_26, 0.122_065_35];

const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// ln 2 in two parts: the first has few enough bits that its product with a whole number is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Beyond ± this the exponential is zero or infinite.
const EXTREME: f32 = 105.0;

/// Horner's rule from the highest coefficient down.
#[inline(always)]
unsafe fn polynomial<V: Vector, const N: usize>(x: V, coefficients: &[f32; N]) -> V {
    // SAFETY: the caller's machine has `V`.
    unsafe {
        let mut value = V::splat(coefficients[N - 1]);
        let mut i = N - 1;
        while i > 0 {
            i -= 1;
            value = value.mul_add(x, V::splat(coefficients[i]));
        }
        value
    }
}

/// 2^x, to about 1 unit in the last place; flushes to zero below the normal range.
#[inline(always)]
pub(crate) unsafe fn exp2<V: Vector>(x: V) -> V {
    // SAFETY: the caller's machine has `V`.
    unsafe {
        let (rest, whole) = x.split_whole();
        polynomial(rest, &POWER).scale_by_power_of_two(whole)
    }
}

/// e^x, to about 1 unit in the last place where the result is normal, else zero or infinity.
#[inline(always)]
pub(crate) unsafe fn exp<V: Vector>(x: V) -> V {
    // SAFETY: the caller's machine has `V`.
    unsafe {
        let x = V::splat(EXTREME).min(V::splat(-EXTREME).max(x));
        let (_, whole) = x.mul(V::splat(LOG2_E)).split_whole();
        let rest = whole.mul_add(V::splat(-LN_2_HIGH), x);
        let rest = whole.mul_add(V::splat(-LN_2_LOW), rest);
        polynomial(rest.mul(V::splat(LOG2_E)), &POWER_FINE).scale_by_power_of_two(whole)
    }
}

/// SiLU: x · sigmoid(x); NaN of negative infinity, as the quotient -∞ / ∞ has it.
#[inline(always)]
pub(crate) unsafe fn silu<V: Vector>(x: V) -> V {
    // SAFETY: the caller's machine has `V`.
    unsafe { x.div(V::splat(1.0).add(exp(V::splat(0.0).sub(x)))) }
}

/// The logistic function 1 / (1 + e^-x), which is the slope of softplus.
#[inline(always)]
pub(crate) unsafe fn sigmoid<V: Vector>(x: V) -> V {
    // SAFETY: the caller's machine has `V`.
    unsafe {
        let one = V::splat(1.0);
        one.div(one.add(exp(V::splat(0.0).sub(x))))
    }
}

/// SiLU and its slope, s · (1 + x · (1 - s)) with s = sigmoid(x); for finite arguments alone.
#[inline(always)]
pub(crate) unsafe fn silu_and_slope<V: Vector>(x: V) -> (V, V) {
    // SAFETY: the caller's machine has `V`.
    unsafe {
        let (one, s) = (V::splat(1.0), sigmoid(x));
        (x.mul(s), s.mul(x.mul_add(one.sub(s), one)))
    }
}

/// Softplus ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|), with small relative error for very negative x too.
///
/// ln(1 + e) = 2 artanh(e / (2 + e)), whose argument lies in [0, ⅓] for e in [0, 1].
#[inline(always)]
pub(crate) unsafe fn softplus<V: Vector>(x: V) -> V {
    // SAFETY: the caller's machine has `V`.
    unsafe {
        let zero = V::splat(0.0);
        let e = exp(x.min(zero.sub(x)));
        let s = e.div(V::splat(2.0).add(e));
        let log = s.add(s).mul(polynomial(s.mul(s), &ARTANH));
        zero.max(x).add(log)
    }
}
