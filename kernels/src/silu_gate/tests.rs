use super::{cpu, reference};
use crate::{
    Rows,
    simd::Level,
    testing::{LENGTHS, Random, assert_close, nans, widen},
};

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
