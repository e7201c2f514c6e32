use super::{GradInputs, Params, cpu, reference};
use crate::{
    Rows, RowsMut,
    simd::Level,
    testing::{LENGTHS, Random, assert_close, central_differences, dot, nans, widen},
};

#[cfg(feature = "cuda")]
mod cuda;

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

/// Gradients of x and of the gate, the latter in rows like the gate's own, and of the weight.
type Gradients<S> = (Vec<S>, Vec<S>, Vec<S>);

impl Case {
    fn backward_inputs(&self) -> (Vec<f32>, Gradients<f32>) {
        let mut random = Random::new(self.x.len() as u64);
        let mut vector = |n: usize| random.vector(n, -1.0, 1.0);
        (vector(self.x.len()), (vector(self.x.len()), vector(self.z.len()), vector(self.width)))
    }

    fn run_backward(&self, level: Level) -> Gradients<f32> {
        let (d_out, (mut d_x, mut d_z, mut d_weight)) = self.backward_inputs();
        let (width, stride) = (self.width, self.width + 3);
        let params = Params { weight: &self.weight, epsilon: 1e-5, group: self.group };
        let d_inputs = GradInputs { d_x: &mut d_x, d_z: RowsMut::columns(&mut d_z, stride, 2, width) };
        let z = Rows::columns(&self.z, stride, 2, width);
        cpu::backward(level, &params, &self.x, z, &d_out, d_inputs, &mut d_weight);
        (d_x, d_z, d_weight)
    }

    fn run_backward_reference(&self) -> Gradients<f64> {
        let (d_out, (d_x, d_z, d_weight)) = self.backward_inputs();
        let (mut d_x, mut d_z, mut d_weight) = (widen(&d_x), widen(&d_z), widen(&d_weight));
        let (width, stride) = (self.width, self.width + 3);
        let (x, z, weight) = (widen(&self.x), widen(&self.z), widen(&self.weight));
        let params = Params { weight: &weight, epsilon: 1e-5, group: self.group };
        let d_inputs = GradInputs { d_x: &mut d_x, d_z: RowsMut::columns(&mut d_z, stride, 2, width) };
        let z = Rows::columns(&z, stride, 2, width);
        reference::backward(&params, &x, z, &widen(&d_out), d_inputs, &mut d_weight);
        (d_x, d_z, d_weight)
    }
}

#[test]
fn reference_gradients_are_those_of_central_differences() {
    for (width, group) in [(1, 1), (6, 6), (6, 3)] {
        let mut random = Random::new(width as u64);
        let mut vector = |n: usize| widen(&random.vector(n, -2.0, 2.0));
        let (x, z, weight, d_out) = (vector(3 * width), vector(3 * width), vector(width), vector(3 * width));
        let loss = |x: &[f64], z: &[f64], weight: &[f64]| {
            let mut out = x.to_vec();
            reference::forward(&Params { weight, epsilon: 0.1, group }, &mut out, Rows::new(z, width));
            dot(&d_out, &out)
        };
        let (mut d_x, mut d_z, mut d_weight) = (vec![9.0; 3 * width], vec![9.0; 3 * width], vec![0.0; width]);
        let d_inputs = GradInputs { d_x: &mut d_x, d_z: RowsMut::new(&mut d_z, width) };
        let params = Params { weight: &weight, epsilon: 0.1, group };
        reference::backward(&params, &x, Rows::new(&z, width), &d_out, d_inputs, &mut d_weight);
        assert_close("x", &d_x, &central_differences(&x, |x| loss(x, &z, &weight)), 1e-8);
        assert_close("z", &d_z, &central_differences(&z, |z| loss(&x, z, &weight)), 1e-8);
        assert_close("weight", &d_weight, &central_differences(&weight, |weight| loss(&x, &z, weight)), 1e-8);
    }
}

#[test]
fn backward_on_the_cpu_equals_the_reference() {
    // A channel alone in its group is its own size: its gradient is next to nothing, and the rest rounding.
    for &size in &SIZES[1..] {
        for &len in LENGTHS {
            let case = case(len, size);
            let expected = case.run_backward_reference();
            for level in Level::available() {
                let got = case.run_backward(level);
                let what = format!("{level} {size:?} L {len}");
                assert_close(&format!("{what} x"), &got.0, &expected.0, 4e-6);
                assert_close(&format!("{what} z"), &got.1, &expected.1, 4e-6);
                assert_close(&format!("{what} weight"), &got.2, &expected.2, 4e-6);
            }
        }
    }
}

#[test]
fn backward_does_not_depend_on_threads() {
    let case = case(1500, (100, 50));
    for level in Level::available() {
        let [one, three, again] = [1, 3, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| case.run_backward(level))
        });
        assert!(one == three && three == again, "{level}");
    }
}

#[test]
fn backward_a_nan_reaches_its_group() {
    let (width, group) = (34, 17);
    let at = 2 * width + 33;
    let expected: Vec<_> = (2 * width + group..3 * width).collect();
    let columns: Vec<_> = (2 * (width + 3) + 2 + group..2 * (width + 3) + 2 + width).collect();
    for level in Level::available() {
        let mut sick = case(5, (width, group));
        sick.x[at] = f32::NAN;
        let (d_x, d_z, d_weight) = sick.run_backward(level);
        assert_eq!((nans(&d_x), nans(&d_z)), (expected.clone(), columns.clone()), "{level} x");
        assert_eq!(nans(&d_weight), (group..width).collect::<Vec<_>>(), "{level} x");
        let mut sick = case(5, (width, group));
        sick.z[2 * (width + 3) + 2 + 33] = f32::NAN;
        let (d_x, d_z, d_weight) = sick.run_backward(level);
        assert_eq!((nans(&d_x), nans(&d_z)), (expected.clone(), columns.clone()), "{level} z");
        assert_eq!(nans(&d_weight), (group..width).collect::<Vec<_>>(), "{level} z");
    }
}
