use super::{cpu, reference};
use crate::{
    Rows, RowsMut, Write,
    backend::Precision::{self, Bf16, Full},
    simd::Level,
    testing::{LENGTHS, Random, assert_close, central_differences, dot, nans, widen},
};

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod nominal;

/// `(n_in, n_out, outputs asked for, has a bias)`
const SIZES: &[(usize, usize, usize, bool)] = &[
    (1, 1, 1, false),
    (3, 5, 5, true),
    (16, 512, 512, true),
    (48, 35, 19, false),
    (40, 33, 33, true),
    (100, 48, 32, false),
    (256, 256, 256, false),
];

#[derive(Clone)]
struct Case {
    x: Vec<f32>,
    out: Vec<f32>,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

fn case(len: usize, (n_in, n_out, n, has_bias): (usize, usize, usize, bool)) -> Case {
    let mut random = Random::new((len * 1000 + n_in) as u64);
    Case {
        x: random.vector(len * (n_in + 3), -1.0, 1.0),
        out: random.vector(len * (n + 2), -1.0, 1.0),
        weight: random.vector(n_in * n_out, -1.0, 1.0),
        bias: has_bias.then(|| random.vector(n_out, -1.0, 1.0)),
    }
}

/// Every level in both precisions.
fn computations() -> Vec<(Level, Precision)> {
    Level::available().into_iter().flat_map(|level| [(level, Full), (level, Bf16)]).collect()
}

fn run_cpu(
    (level, precision): (Level, Precision),
    case: &Case,
    size: (usize, usize, usize, bool),
    write: Write,
) -> Vec<f32> {
    let (n_in, _, n, _) = size;
    let matrix = cpu::PackedMatrix::new(level, precision, &case.weight, n_in, case.bias.as_deref());
    let mut out = case.out.clone();
    let x = Rows::columns(&case.x, n_in + 3, 2, n_in);
    cpu::forward(level, precision, &matrix, x, RowsMut::columns(&mut out, n + 2, 1, n), write);
    out
}

fn run_reference(precision: Precision, case: &Case, size: (usize, usize, usize, bool), write: Write) -> Vec<f64> {
    let (n_in, _, n, _) = size;
    let matrix = reference::PlainMatrix::new(precision, &case.weight, n_in, case.bias.as_deref());
    let (x, mut out) = (widen(&case.x), widen(&case.out));
    let rows = Rows::columns(&x, n_in + 3, 2, n_in);
    reference::forward(precision, &matrix, rows, RowsMut::columns(&mut out, n + 2, 1, n), write);
    out
}

#[test]
fn cpu_equals_reference() {
    for &size in SIZES {
        for &len in LENGTHS {
            let case = case(len, size);
            for write in [Write::Set, Write::Add] {
                for precision in [Full, Bf16] {
                    let expected = run_reference(precision, &case, size, write);
                    for level in Level::available() {
                        let got = run_cpu((level, precision), &case, size, write);
                        let what = format!("{level} {precision:?} {size:?} L {len} {write:?}");
                        assert_close(&what, &got, &expected, 2e-6);
                    }
                }
            }
        }
    }
}

/// Each operand is off by 2⁻⁸ of itself at most, so a product by (1 + 2⁻⁸)² - 1 of the sum of its terms' magnitudes; the
/// last part is that of a sum in f32.
#[test]
fn rounding_moves_a_product_by_no_more_than_two_half_units() {
    let bound = (1.0_f64 + 2.0_f64.powi(-8)).powi(2) - 1.0 + 2e-6;
    for &size in SIZES {
        let mut case = case(33, size);
        (case.bias, case.out) = (None, vec![0.0; case.out.len()]);
        let magnitudes = |x: &[f32]| x.iter().map(|x| x.abs()).collect();
        let sizes = Case { x: magnitudes(&case.x), weight: magnitudes(&case.weight), ..case.clone() };
        let (exact, most) =
            (run_reference(Full, &case, size, Write::Set), run_reference(Full, &sizes, size, Write::Set));
        for level in Level::available() {
            let got = run_cpu((level, Bf16), &case, size, Write::Set);
            for (i, (got, (exact, most))) in got.iter().zip(exact.iter().zip(&most)).enumerate() {
                let error = (f64::from(*got) - exact).abs();
                assert!(error <= bound * most, "{level} {size:?} at {i}: {error:e} of {most:e}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "a matrix packed for another level or precision")]
fn a_matrix_of_another_precision_is_refused() {
    let level = Level::widest();
    let matrix = cpu::PackedMatrix::new(level, Bf16, &[1.0; 4], 2, None);
    cpu::forward(level, Full, &matrix, Rows::new(&[1.0; 2], 2), RowsMut::new(&mut [0.0; 2], 2), Write::Set);
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it_or_on_threads() {
    let size = (100, 130, 130, true);
    let case = case(1500, size);
    for (level, precision) in computations() {
        let run = |case: &Case| run_cpu((level, precision), case, size, Write::Set);
        let whole = run(&case);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let five = rayon::ThreadPoolBuilder::new().num_threads(5).build().unwrap();
        assert_eq!(whole, one.install(|| run(&case)));
        assert_eq!(whole, five.install(|| run(&case)));
        for cut in [1, 7, 13, 256, 769] {
            let head =
                Case { x: case.x[..cut * 103].to_vec(), out: case.out[..cut * 132].to_vec(), ..case_like(&case) };
            let tail =
                Case { x: case.x[cut * 103..].to_vec(), out: case.out[cut * 132..].to_vec(), ..case_like(&case) };
            let mut parts = run(&head);
            parts.extend(run(&tail));
            assert_eq!(whole, parts, "{level} {precision:?} cut {cut}");
        }
    }
}

fn case_like(case: &Case) -> Case {
    Case { x: Vec::new(), out: Vec::new(), weight: case.weight.clone(), bias: case.bias.clone() }
}

#[test]
fn a_nan_reaches_its_row_and_a_nan_weight_its_column() {
    let (size, len) = ((40, 33, 33, true), 14);
    for computation in computations() {
        for write in [Write::Set, Write::Add] {
            let mut sick = case(len, size);
            sick.x[5 * 43 + 2 + 7] = f32::NAN;
            let expected: Vec<_> = (5 * 35 + 1..5 * 35 + 34).collect();
            assert_eq!(nans(&run_cpu(computation, &sick, size, write)), expected, "{computation:?} {write:?}");
            let mut sick = case(len, size);
            sick.weight[32 * 40 + 39] = f32::NAN;
            let expected: Vec<_> = (0..len).map(|t| t * 35 + 1 + 32).collect();
            assert_eq!(nans(&run_cpu(computation, &sick, size, write)), expected, "{computation:?} {write:?}");
        }
    }
}

/// `(n_in, n_out)`
const GRADIENT_SIZES: &[(usize, usize)] =
    &[(1, 1), (3, 5), (16, 100), (48, 35), (33, 40), (100, 13), (17, 1), (300, 7), (31, 130)];

/// d_out `[L, n_out + 2]` from column 1 on, x `[L, n_in + 3]` from column 2 on, and the gradients before.
struct GradientCase {
    size: (usize, usize),
    d_out: Vec<f32>,
    x: Vec<f32>,
    d_weight: Vec<f32>,
    d_bias: Vec<f32>,
}

fn gradient_case(len: usize, size: (usize, usize)) -> GradientCase {
    let (n_in, n_out) = size;
    let mut random = Random::new((len * 1000 + n_in) as u64);
    // Mostly of one sign, so that few positions do not add up to next to nothing.
    let mut vector = |n: usize| random.vector(n, -0.2, 1.0);
    GradientCase {
        size,
        d_out: vector(len * (n_out + 2)),
        x: vector(len * (n_in + 3)),
        d_weight: vector(n_in * n_out),
        d_bias: vector(n_out),
    }
}

impl GradientCase {
    fn run(&self, (level, precision): (Level, Precision)) -> (Vec<f32>, Vec<f32>) {
        let ((n_in, n_out), mut d_weight, mut d_bias) = (self.size, self.d_weight.clone(), self.d_bias.clone());
        let d_out = Rows::columns(&self.d_out, n_out + 2, 1, n_out);
        let x = Rows::columns(&self.x, n_in + 3, 2, n_in);
        cpu::weight_gradient(level, precision, d_out, x, &mut d_weight, Some(&mut d_bias));
        (d_weight, d_bias)
    }

    fn run_reference(&self, precision: Precision) -> (Vec<f64>, Vec<f64>) {
        let ((n_in, n_out), mut d_weight, mut d_bias) = (self.size, widen(&self.d_weight), widen(&self.d_bias));
        let (d_out, x) = (widen(&self.d_out), widen(&self.x));
        let d_out = Rows::columns(&d_out, n_out + 2, 1, n_out);
        let x = Rows::columns(&x, n_in + 3, 2, n_in);
        reference::weight_gradient(precision, d_out, x, &mut d_weight, Some(&mut d_bias));
        (d_weight, d_bias)
    }
}

#[test]
fn the_weight_gradient_on_the_cpu_equals_the_reference() {
    for &size in GRADIENT_SIZES {
        for &len in LENGTHS {
            let case = gradient_case(len, size);
            for (level, precision) in computations() {
                let (weight, bias) = case.run_reference(precision);
                let (d_weight, d_bias) = case.run((level, precision));
                let what = format!("{level} {precision:?} {size:?} L {len}");
                assert_close(&format!("{what} weight"), &d_weight, &weight, 2e-6);
                assert_close(&format!("{what} bias"), &d_bias, &bias, 2e-6);
            }
        }
    }
}

#[test]
fn reference_gradients_are_those_of_central_differences() {
    let (n_in, n_out, len) = (3, 4, 5);
    let mut random = Random::new(11);
    let weight = random.vector(n_in * n_out, -1.0, 1.0);
    let mut vector = |n: usize| widen(&random.vector(n, -1.0, 1.0));
    let (x, d_out) = (vector(len * n_in), vector(len * n_out));
    let loss = |weight: &[f64], x: &[f64], bias: &[f64]| -> f64 {
        let product = |t: usize, j: usize| bias[j] + dot(&weight[j * n_in..][..n_in], &x[t * n_in..][..n_in]);
        (0..len * n_out).map(|i| d_out[i] * product(i / n_out, i % n_out)).sum()
    };
    let (mut d_weight, mut d_bias, mut d_x) = (vec![0.0; n_in * n_out], vec![0.0; n_out], vec![9.0; len * n_in]);
    let rows = Rows::new(&d_out, n_out);
    reference::weight_gradient(Full, rows, Rows::new(&x, n_in), &mut d_weight, Some(&mut d_bias));
    let transposed = reference::PlainMatrix::transposed(Full, &weight, n_in);
    reference::forward(Full, &transposed, rows, RowsMut::new(&mut d_x, n_in), Write::Set);
    let (weight, bias) = (widen(&weight), vec![0.5; n_out]);
    assert_close("weight", &d_weight, &central_differences(&weight, |weight| loss(weight, &x, &bias)), 1e-9);
    assert_close("bias", &d_bias, &central_differences(&bias, |bias| loss(&weight, &x, bias)), 1e-9);
    assert_close("x", &d_x, &central_differences(&x, |x| loss(&weight, x, &bias)), 1e-9);
}

#[test]
fn a_transposed_matrix_is_that_of_the_transposed_weight() {
    for &(n_in, n_out, ..) in SIZES {
        let weight = Random::new(n_in as u64).vector(n_in * n_out, -1.0, 1.0);
        let turned: Vec<f32> = (0..n_in * n_out).map(|i| weight[i % n_out * n_in + i / n_out]).collect();
        let x = Random::new(1).vector(5 * n_out, -1.0, 1.0);
        for (level, precision) in computations() {
            let product = |matrix| {
                let (rows, mut out) = (Rows::new(&x, n_out), vec![0.0; 5 * n_in]);
                cpu::forward(level, precision, &matrix, rows, RowsMut::new(&mut out, n_in), Write::Set);
                out
            };
            let expected = product(cpu::PackedMatrix::new(level, precision, &turned, n_out, None));
            assert_eq!(product(cpu::PackedMatrix::transposed(level, precision, &weight, n_in)), expected);
        }
    }
}

#[test]
fn the_weight_gradient_does_not_depend_on_threads() {
    for size in [(100, 130), (300, 20)] {
        let case = gradient_case(1500, size);
        for computation in computations() {
            let [one, three, again, seven] = [1, 3, 3, 7].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| case.run(computation))
            });
            assert!(one == three && three == again && again == seven, "{computation:?} {size:?}");
        }
    }
}

#[test]
fn the_weight_gradient_is_accurate_over_a_million_positions() {
    let len = 1 << 20;
    let mut random = Random::new(12);
    let (d_out, x) = (random.vector(len, 0.0, 1.0), random.vector(2 * len, 0.0, 1.0));
    let (mut expected, mut bias) = (vec![0.0; 2], vec![0.0; 1]);
    let (wide_d_out, wide_x) = (widen(&d_out), widen(&x));
    let rows = Rows::new(&wide_d_out, 1);
    reference::weight_gradient(Full, rows, Rows::new(&wide_x, 2), &mut expected, Some(&mut bias));
    for level in Level::available() {
        let (mut d_weight, mut d_bias) = (vec![0.0; 2], vec![0.0; 1]);
        let rows = Rows::new(&d_out, 1);
        cpu::weight_gradient(level, Full, rows, Rows::new(&x, 2), &mut d_weight, Some(&mut d_bias));
        assert_close(&format!("{level} weight"), &d_weight, &expected, 4e-6);
        assert_close(&format!("{level} bias"), &d_bias, &bias, 4e-7);
    }
}

#[test]
fn a_nan_reaches_its_row_or_column_of_the_weight_gradient() {
    let (n_in, n_out) = (40, 33);
    for computation in computations() {
        let mut sick = gradient_case(300, (n_in, n_out));
        sick.x[257 * 43 + 2 + 39] = f32::NAN;
        let (d_weight, d_bias) = sick.run(computation);
        let expected: Vec<_> = (0..n_out).map(|j| j * n_in + 39).collect();
        assert_eq!((nans(&d_weight), nans(&d_bias)), (expected, vec![]), "{computation:?}");
        let mut sick = gradient_case(300, (n_in, n_out));
        sick.d_out[299 * 35 + 1 + 32] = f32::NAN;
        let (d_weight, d_bias) = sick.run(computation);
        let expected: Vec<_> = (32 * n_in..33 * n_in).collect();
        assert_eq!((nans(&d_weight), nans(&d_bias)), (expected, vec![32]), "{computation:?}");
    }
}

#[test]
fn no_rows_leave_the_gradient() {
    let mut d_weight = [1.0, 2.0];
    for (level, precision) in computations() {
        let (d_out, x) = (Rows::new(&[], 1), Rows::new(&[], 2));
        cpu::weight_gradient(level, precision, d_out, x, &mut d_weight, Some(&mut [3.0]));
    }
    assert_eq!(d_weight, [1.0, 2.0]);
}

#[test]
#[should_panic(expected = "length of the weight's gradient")]
fn a_gradient_of_another_shape_is_refused() {
    cpu::weight_gradient(Level::PORTABLE, Full, Rows::new(&[0.0; 4], 2), Rows::new(&[0.0; 6], 3), &mut [0.0; 5], None);
}
