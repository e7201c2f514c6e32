use super::{Params, cpu, reference};
use crate::{
    Rows,
    simd::Level,
    testing::{LENGTHS, Random, assert_close, nans, widen},
};

/// `(channels, channels of a group)`
const SIZES: &[(usize, usize)] = &[(1, 1), (3, 3), (15, 5), (16, 16), (34, 17), (48, 48), (96, 48), (100, 100)];

struct Case {
    width: usize,
    group: usize,
    x: Vec<f32>,
    /// `[L, D + 3]`, the gate from column 2 on
    z: Vec<f32>,
    weight: Vec<f32>,
}

fn case(len: usize, (width, group): (usize, usize)) -> Case {
    let mut random = Random::new((len * 1000 + width + group) as u64);
    Case {
        width,
        group,
        x: random.vector(len * width, -2.0, 2.0),
        z: random.vector(len * (width + 3), -4.0, 4.0),
        weight: random.vector(width, 0.5, 1.5),
    }
}

impl Case {
    /// Runs rows `from..to`.
    fn run(&self, level: Level, from: usize, to: usize) -> Vec<f32> {
        let mut x = self.x[from * self.width..to * self.width].to_vec();
        let stride = self.width + 3;
        let z = Rows::columns(&self.z[from * stride..to * stride], stride, 2, self.width);
        let params = Params { weight: &self.weight, epsilon: 1e-5, group: self.group };
        cpu::forward(level, &params, &mut x, z);
        x
    }
}

#[test]
fn cpu_equals_reference() {
    for &size in SIZES {
        for &len in LENGTHS {
            let case = case(len, size);
            let (mut expected, z, weight) = (widen(&case.x), widen(&case.z), widen(&case.weight));
            let params = Params { weight: &weight, epsilon: 1e-5, group: case.group };
            reference::forward(&params, &mut expected, Rows::columns(&z, case.width + 3, 2, case.width));
            for level in Level::available() {
                assert_close(&format!("{level} {size:?} L {len}"), &case.run(level, 0, len), &expected, 2e-6);
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it_or_on_threads() {
    let case = case(1500, (100, 50));
    for level in Level::available() {
        let whole = case.run(level, 0, 1500);
        assert_eq!(whole, case.run(level, 0, 1500), "two runs");
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(whole, pool.install(|| case.run(level, 0, 1500)), "{threads} threads");
        }
        for cut in [1, 7, 256, 769] {
            let mut parts = case.run(level, 0, cut);
            parts.extend(case.run(level, cut, 1500));
            assert_eq!(whole, parts, "{level} cut {cut}");
        }
    }
}

#[test]
fn groups_are_normalised_apart() {
    let mut x = [1.0, 1.0, 100.0, 100.0];
    let z = [1.0; 4];
    let params = Params { weight: &[1.0; 4], epsilon: 0.0, group: 2 };
    reference::forward(&params, &mut x, Rows::new(&z, 4));
    assert_close("groups", &x, &[1.0; 4], 1e-15);
}

#[test]
#[should_panic(expected = "6 channels are not a whole number of groups of 4")]
fn a_part_of_a_group_is_refused() {
    let params = Params { weight: &[1.0; 6], epsilon: 0.0, group: 4 };
    cpu::forward(Level::PORTABLE, &params, &mut [0.0; 6], Rows::new(&[0.0; 6], 6));
}

#[test]
fn a_nan_reaches_its_group() {
    let (width, group) = (34, 17);
    for level in Level::available() {
        let expected: Vec<_> = (2 * width + group..3 * width).collect();
        let mut sick = case(5, (width, group));
        sick.x[2 * width + 33] = f32::NAN;
        assert_eq!(nans(&sick.run(level, 0, 5)), expected, "{level} x");
        let mut sick = case(5, (width, group));
        sick.z[2 * (width + 3) + 2 + 33] = f32::NAN;
        assert_eq!(nans(&sick.run(level, 0, 5)), expected, "{level} z");
    }
}
