use super::{Kind, Params, cpu, reference};
use crate::{
    simd::Level,
    testing::{LENGTHS, Random, assert_close, nans, widen},
};

const WIDTHS: &[usize] = &[1, 3, 5, 16, 17, 48, 100, 256];
const KINDS: [Kind; 2] = [Kind::Rms, Kind::Layer];

struct Case {
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

fn case(len: usize, width: usize, has_bias: bool) -> Case {
    let mut random = Random::new((len * 1000 + width) as u64);
    Case {
        x: random.vector(len * width, -1.0, 3.0),
        weight: random.vector(width, 0.5, 1.5),
        bias: has_bias.then(|| random.vector(width, -1.0, 1.0)),
    }
}

impl Case {
    fn params(&self, kind: Kind) -> Params<'_, f32> {
        Params { kind, epsilon: 1e-5, weight: &self.weight, bias: self.bias.as_deref() }
    }

    fn run(&self, level: Level, kind: Kind) -> Vec<f32> {
        let mut out = vec![0.0; self.x.len()];
        cpu::forward(level, &self.params(kind), &self.x, &mut out);
        out
    }
}

#[test]
fn cpu_equals_reference() {
    for &width in WIDTHS {
        for &len in LENGTHS {
            for (kind, has_bias) in
                KINDS.into_iter().zip([false, true]).chain([(Kind::Rms, true), (Kind::Layer, false)])
            {
                let case = case(len, width, has_bias);
                let (x, weight, bias) = (widen(&case.x), widen(&case.weight), case.bias.as_deref().map(widen));
                let params = Params { kind, epsilon: 1e-5, weight: &weight, bias: bias.as_deref() };
                let mut expected = vec![0.0; x.len()];
                reference::forward(&params, &x, &mut expected);
                for level in Level::available() {
                    let what = format!("{level} {kind:?} D {width} L {len} bias {has_bias}");
                    assert_close(&what, &case.run(level, kind), &expected, 2e-6);
                }
            }
        }
    }
}

#[test]
fn rows_of_one_size_are_their_signs() {
    let (mut out, weight) = ([0.0; 4], [1.0; 4]);
    let params = Params { kind: Kind::Rms, epsilon: 0.0, weight: &weight, bias: None };
    reference::forward(&params, &[2.0, -2.0, -2.0, 2.0], &mut out);
    assert_eq!(out, [1.0, -1.0, -1.0, 1.0]);
    let params = Params { kind: Kind::Layer, ..params };
    reference::forward(&params, &[7.0, 3.0, 3.0, 7.0], &mut out);
    assert_eq!(out, [1.0, -1.0, -1.0, 1.0]);
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it_or_on_threads() {
    let (len, width) = (1500, 100);
    let case = case(len, width, true);
    for level in Level::available() {
        for kind in KINDS {
            let whole = case.run(level, kind);
            assert_eq!(whole, case.run(level, kind), "two runs");
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert_eq!(whole, pool.install(|| case.run(level, kind)), "{threads} threads");
            }
            for cut in [1, 7, 256, 769] {
                let mut parts = vec![0.0; len * width];
                let (head, tail) = parts.split_at_mut(cut * width);
                cpu::forward(level, &case.params(kind), &case.x[..cut * width], head);
                cpu::forward(level, &case.params(kind), &case.x[cut * width..], tail);
                assert_eq!(whole, parts, "{level} cut {cut}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "5 elements are not a whole number of rows of 2")]
fn a_part_of_a_row_is_refused() {
    let params = Params { kind: Kind::Rms, epsilon: 1e-5, weight: &[1.0, 1.0], bias: None };
    cpu::forward(Level::PORTABLE, &params, &[0.0; 5], &mut [0.0; 5]);
}

#[test]
fn a_nan_reaches_its_row() {
    let width = 17;
    for level in Level::available() {
        for kind in KINDS {
            let mut case = case(5, width, true);
            case.x[3 * width + 16] = f32::NAN;
            assert_eq!(nans(&case.run(level, kind)), (3 * width..4 * width).collect::<Vec<_>>(), "{level} {kind:?}");
        }
    }
}
