use super::{cpu, reference};
use crate::testing::{LENGTHS, Random, assert_close, nans, widen};

const WIDTHS: &[usize] = &[1, 3, 5, 8, 16, 17, 48, 100];

fn run(x: &[f32], width: usize) -> Vec<f32> {
    let mut x = x.to_vec();
    cpu::forward(&mut x, width);
    x
}

fn assert_equals_reference(x: &[f32], width: usize) {
    let mut expected = widen(x);
    reference::forward(&mut expected, width);
    assert_close(&format!("V {width}"), &run(x, width), &expected, 1e-6);
}

#[test]
fn cpu_equals_reference() {
    for &width in WIDTHS {
        for &len in LENGTHS {
            // All negative, so that a lane outside the row would be the largest.
            assert_equals_reference(&Random::new(len as u64).vector(len * width, -9.0, -1.0), width);
        }
    }
    assert_equals_reference(&Random::new(1).vector(3 * 50_257, -9.0, 9.0), 50_257);
}

#[test]
fn probabilities_add_up_to_one_even_of_huge_logits() {
    let x: Vec<f32> = Random::new(2).vector(64 * 16, -1e4, 1e4);
    for row in run(&x, 16).chunks(16) {
        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
}

#[test]
fn a_logit_of_negative_infinity_has_no_share() {
    for width in [2, 16, 21] {
        let mut x = vec![f32::NEG_INFINITY; width];
        x[width / 2] = 3.0;
        let got = run(&x, width);
        for (v, &got) in got.iter().enumerate() {
            assert_eq!(got, if v == width / 2 { 0.0 } else { f32::NEG_INFINITY }, "width {width}");
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it_or_on_threads() {
    let (len, width) = (9001, 16);
    let x = Random::new(3).vector(len * width, -5.0, 5.0);
    let whole = run(&x, width);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(whole, pool.install(|| run(&x, width)), "{threads} threads");
    }
    for cut in [1, 7, 256, 8999] {
        let mut parts = run(&x[..cut * width], width);
        parts.extend(run(&x[cut * width..], width));
        assert_eq!(whole, parts, "cut at {cut}");
    }
}

#[test]
#[should_panic(expected = "5 elements are not a whole number of rows of 2")]
fn a_part_of_a_row_is_refused() {
    cpu::forward(&mut [0.0; 5], 2);
}

#[test]
fn a_nan_reaches_its_row() {
    for width in [1, 3, 8, 16, 21] {
        for at in 0..width {
            let mut x = Random::new(6).vector(3 * width, -5.0, 5.0);
            x[width + at] = f32::NAN;
            let expected: Vec<_> = (width..2 * width).collect();
            assert_eq!(nans(&run(&x, width)), expected, "V {width}");
            let mut wide = widen(&x);
            reference::forward(&mut wide, width);
            assert_eq!(nans(&wide), expected, "V {width}");
        }
    }
}
