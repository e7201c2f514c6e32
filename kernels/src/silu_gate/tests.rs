use super::{cpu, reference};
use crate::{
    Rows, RowsMut,
    simd::Level,
    testing::{LENGTHS, Random, assert_close, central_differences, dot, nans, widen},
};

#[cfg(feature = "cuda")]
mod cuda;

const WIDTHS: &[usize] = &[1, 3, 5, 16, 17, 48, 100];

/// `x [L, D]`, and `[L, D + 3]` with the gate from column 1 on.
fn case(len: usize, width: usize) -> (Vec<f32>, Vec<f32>) {
    let mut random = Random::new((len * 1000 + width) as u64);
    (random.vector(len * width, -2.0, 2.0), random.vector(len * (width + 3), -20.0, 20.0))
}

fn run(level: Level, x: &[f32], z: &[f32], width: usize) -> Vec<f32> {
    let mut x = x.to_vec();
    cpu::forward(level, &mut x, Rows::columns(z, width + 3, 1, width));
    x
}

#[test]
fn cpu_equals_reference() {
    for &width in WIDTHS {
        for &len in LENGTHS {
            let (x, z) = case(len, width);
            let (mut expected, wide) = (widen(&x), widen(&z));
            reference::forward(&mut expected, Rows::columns(&wide, width + 3, 1, width));
            for level in Level::available() {
                let got = run(level, &x, &z, width);
                assert_close(&format!("{level} D {width} L {len}"), &got, &expected, 1e-6);
            }
        }
    }
}

#[test]
fn an_element_does_not_depend_on_the_rows_beside_it_or_on_threads() {
    let width = 100;
    let (x, z) = case(1500, width);
    for level in Level::available() {
        let whole = run(level, &x, &z, width);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(whole, pool.install(|| run(level, &x, &z, width)), "{threads} threads");
        }
        for cut in [1, 7, 256, 769] {
            let mut parts = run(level, &x[..cut * width], &z[..cut * (width + 3)], width);
            parts.extend(run(level, &x[cut * width..], &z[cut * (width + 3)..], width));
            assert_eq!(whole, parts, "{level} cut {cut}");
        }
    }
}

#[test]
#[should_panic(expected = "length of x")]
fn a_gate_of_another_length_is_refused() {
    cpu::forward(Level::PORTABLE, &mut [0.0; 6], Rows::new(&[0.0; 4], 2));
}

#[test]
fn a_nan_stays_nan() {
    let width = 17;
    for level in Level::available() {
        let (mut x, mut z) = case(5, width);
        x[2 * width + 3] = f32::NAN;
        z[4 * (width + 3) + 1 + 16] = f32::NAN;
        assert_eq!(nans(&run(level, &x, &z, width)), [2 * width + 3, 4 * width + 16], "{level}");
    }
}

/// Gradients of x, and of the gate in rows like the gate's own.
fn run_backward(level: Level, x: &[f32], z: &[f32], d_out: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut d_x, mut d_z) = (vec![9.0; x.len()], vec![9.0; z.len()]);
    let d_z_rows = RowsMut::columns(&mut d_z, width + 3, 1, width);
    cpu::backward(level, x, Rows::columns(z, width + 3, 1, width), d_out, &mut d_x, d_z_rows);
    (d_x, d_z)
}

fn run_backward_reference(x: &[f64], z: &[f64], d_out: &[f64], width: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut d_x, mut d_z) = (vec![9.0; x.len()], vec![9.0; z.len()]);
    let d_z_rows = RowsMut::columns(&mut d_z, width + 3, 1, width);
    reference::backward(x, Rows::columns(z, width + 3, 1, width), d_out, &mut d_x, d_z_rows);
    (d_x, d_z)
}

#[test]
fn reference_gradients_are_those_of_central_differences() {
    let width = 3;
    let (x, z) = case(4, width);
    let (x, z, d_out) = (widen(&x), widen(&z), widen(&Random::new(8).vector(4 * width, -1.0, 1.0)));
    let loss = |x: &[f64], z: &[f64]| {
        let mut out = x.to_vec();
        reference::forward(&mut out, Rows::columns(z, width + 3, 1, width));
        dot(&d_out, &out)
    };
    let (d_x, mut d_z) = run_backward_reference(&x, &z, &d_out, width);
    assert_close("x", &d_x, &central_differences(&x, |x| loss(x, &z)), 1e-8);
    for (i, d_z) in d_z.iter_mut().enumerate() {
        if !(1..=width).contains(&(i % (width + 3))) {
            assert_eq!(*d_z, 9.0, "outside the columns");
            *d_z = 0.0;
        }
    }
    assert_close("z", &d_z, &central_differences(&z, |z| loss(&x, z)), 1e-8);
}

#[test]
fn backward_on_the_cpu_equals_the_reference() {
    for &width in WIDTHS {
        for &len in LENGTHS {
            let (x, z) = case(len, width);
            let d_out = Random::new(len as u64).vector(len * width, -20.0, 20.0);
            let expected = run_backward_reference(&widen(&x), &widen(&z), &widen(&d_out), width);
            for level in Level::available() {
                let got = run_backward(level, &x, &z, &d_out, width);
                assert_close(&format!("{level} D {width} L {len} x"), &got.0, &expected.0, 2e-6);
                assert_close(&format!("{level} D {width} L {len} z"), &got.1, &expected.1, 2e-6);
            }
        }
    }
}

#[test]
fn backward_does_not_depend_on_the_rows_beside_it_or_on_threads() {
    let width = 100;
    let (x, z) = case(1500, width);
    let d_out = Random::new(5).vector(x.len(), -1.0, 1.0);
    for level in Level::available() {
        let whole = run_backward(level, &x, &z, &d_out, width);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(whole == pool.install(|| run_backward(level, &x, &z, &d_out, width)), "{threads} threads");
        }
        let (at, at_z) = (769 * width, 769 * (width + 3));
        let head = run_backward(level, &x[..at], &z[..at_z], &d_out[..at], width);
        let tail = run_backward(level, &x[at..], &z[at_z..], &d_out[at..], width);
        assert!(whole == ([head.0, tail.0].concat(), [head.1, tail.1].concat()), "{level}");
    }
}

#[test]
fn backward_a_nan_stays_in_its_element() {
    let width = 17;
    for level in Level::available() {
        let (mut x, mut z) = case(5, width);
        let mut d_out = vec![1.0; 5 * width];
        x[2 * width + 3] = f32::NAN;
        z[3 * (width + 3) + 1 + 16] = f32::NAN;
        d_out[4 * width] = f32::NAN;
        let (d_x, d_z) = run_backward(level, &x, &z, &d_out, width);
        assert_eq!(nans(&d_x), [3 * width + 16, 4 * width], "{level}");
        assert_eq!(nans(&d_z), [2 * 20 + 1 + 3, 3 * 20 + 1 + 16, 4 * 20 + 1], "{level}");
    }
}
