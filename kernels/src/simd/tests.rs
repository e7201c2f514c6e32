//! The vector functions against f64, at every level of this machine.

use super::{Level, Vector, math};

#[derive(Clone, Copy, Debug)]
enum Function {
    Exp2,
    Exp,
    Silu,
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
                Function::Silu => math::silu(v),
                Function::Softplus => math::softplus(v),
            };
            v.store_first(y.as_mut_ptr().add(start), n);
        }
    }
}

simd_entry! {
    unsafe fn evaluate(function: Function, x: &[f32], y: &mut [f32]) = body
}

fn truth(function: Function, x: f64) -> f64 {
    match function {
        Function::Exp2 => x.exp2(),
        Function::Exp => x.exp(),
        Function::Silu => x / (1.0 + (-x).exp()),
        Function::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
    }
}

/// `(function, from, to, relative tolerance)`
const CASES: &[(Function, f32, f32, f64)] = &[
    (Function::Exp2, -125.0, 0.0, 2.4e-7),
    (Function::Exp2, -0.01, 0.01, 1.2e-7),
    (Function::Exp, -80.0, 80.0, 2.4e-7),
    (Function::Silu, -80.0, 80.0, 4e-7),
    (Function::Softplus, -80.0, 80.0, 4e-7),
];

#[test]
fn functions_agree_with_f64_at_every_level() {
    for level in Level::available() {
        for &(function, from, to, tolerance) in CASES {
            let x: Vec<f32> = (0..=10_007).map(|i| from + (to - from) * (i as f32 / 10_007.0)).collect();
            let mut y = vec![0.0; x.len()];
            // SAFETY: the slices are equally long.
            unsafe { evaluate(level, function, &x, &mut y) };
            for (&x, &y) in x.iter().zip(&y) {
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
        let x = [-1e30, -1e6, -300.0, 300.0, 1e6, 1e30];
        let mut y = [0.0; 6];
        // SAFETY: the slices are equally long.
        unsafe { evaluate(level, Function::Exp2, &x, &mut y) };
        assert_eq!(y, [0.0, 0.0, 0.0, f32::INFINITY, f32::INFINITY, f32::INFINITY], "{level}");
        // SAFETY: the slices are equally long.
        unsafe { evaluate(level, Function::Silu, &x, &mut y) };
        assert_eq!(y, [0.0, 0.0, 0.0, 300.0, 1e6, 1e30], "{level}");
    }
}

#[test]
fn levels_are_named_and_the_widest_is_the_last() {
    let names: Vec<_> = Level::available().iter().map(Level::to_string).collect();
    assert_eq!(names[0], "portable");
    assert_eq!(Level::widest().to_string(), *names.last().unwrap());
    assert!("sse".parse::<Level>().is_err());
}
