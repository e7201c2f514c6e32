use super::{cpu, reference};
use crate::{
    Rows, RowsMut, Write,
    simd::Level,
    testing::{LENGTHS, Random, assert_close, nans, widen},
};

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

fn run_cpu(level: Level, case: &Case, size: (usize, usize, usize, bool), write: Write) -> Vec<f32> {
    let (n_in, _, n, _) = size;
    let matrix = cpu::PackedMatrix::new(&case.weight, n_in, case.bias.as_deref());
    let mut out = case.out.clone();
    let x = Rows::columns(&case.x, n_in + 3, 2, n_in);
    cpu::forward(level, &matrix, x, RowsMut::columns(&mut out, n + 2, 1, n), write);
    out
}

#[test]
fn cpu_equals_reference() {
    for &size in SIZES {
        for &len in LENGTHS {
            let case = case(len, size);
            let (n_in, _, n, _) = size;
            for write in [Write::Set, Write::Add] {
                let matrix = reference::PlainMatrix::new(&case.weight, n_in, case.bias.as_deref());
                let (x, mut expected) = (widen(&case.x), widen(&case.out));
                let rows = Rows::columns(&x, n_in + 3, 2, n_in);
                reference::forward(&matrix, rows, RowsMut::columns(&mut expected, n + 2, 1, n), write);
                for level in Level::available() {
                    let got = run_cpu(level, &case, size, write);
                    assert_close(&format!("{level} {size:?} L {len} {write:?}"), &got, &expected, 2e-6);
                }
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it_or_on_threads() {
    let size = (100, 130, 130, true);
    let case = case(1500, size);
    for level in Level::available() {
        let whole = run_cpu(level, &case, size, Write::Set);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let five = rayon::ThreadPoolBuilder::new().num_threads(5).build().unwrap();
        assert_eq!(whole, one.install(|| run_cpu(level, &case, size, Write::Set)));
        assert_eq!(whole, five.install(|| run_cpu(level, &case, size, Write::Set)));
        for cut in [1, 7, 13, 256, 769] {
            let head =
                Case { x: case.x[..cut * 103].to_vec(), out: case.out[..cut * 132].to_vec(), ..case_like(&case) };
            let tail =
                Case { x: case.x[cut * 103..].to_vec(), out: case.out[cut * 132..].to_vec(), ..case_like(&case) };
            let mut parts = run_cpu(level, &head, size, Write::Set);
            parts.extend(run_cpu(level, &tail, size, Write::Set));
            assert_eq!(whole, parts, "{level} cut {cut}");
        }
    }
}

fn case_like(case: &Case) -> Case {
    Case { x: Vec::new(), out: Vec::new(), weight: case.weight.clone(), bias: case.bias.clone() }
}

#[test]
fn a_nan_reaches_its_row_and_a_nan_weight_its_column() {
    let (size, len) = ((40, 33, 33, true), 14);
    for level in Level::available() {
        for write in [Write::Set, Write::Add] {
            let mut sick = case(len, size);
            sick.x[5 * 43 + 2 + 7] = f32::NAN;
            let expected: Vec<_> = (5 * 35 + 1..5 * 35 + 34).collect();
            assert_eq!(nans(&run_cpu(level, &sick, size, write)), expected, "{level} {write:?}");
            let mut sick = case(len, size);
            sick.weight[32 * 40 + 39] = f32::NAN;
            let expected: Vec<_> = (0..len).map(|t| t * 35 + 1 + 32).collect();
            assert_eq!(nans(&run_cpu(level, &sick, size, write)), expected, "{level} {write:?}");
        }
    }
}
