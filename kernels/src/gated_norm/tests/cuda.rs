use half::bf16;

use super::{Random, Rows, RowsMut, assert_close, nans, reference, widen};
use crate::{
    Write,
    cuda::{
        Device, Real, testing,
        testing::{Timed, held, tolerance, widen as widen_real},
    },
    gated_norm::{
        self,
        cuda::{self, GradInputs},
    },
    testing::assert_sums_close,
};

const BATCH: usize = 2;
const EPSILON: f64 = 1e-5;

/// `(channels, channels of a group)`
const SIZES: &[(usize, usize)] = &[(1, 1), (3, 3), (34, 17), (48, 48), (62, 31), (99, 33), (256, 64), (1000, 1000)];

/// Lengths around a vector and a tile, a prime and several tiles.
const LENGTHS: &[usize] = &[1, 7, 31, 32, 33, 63, 64, 65, 131, 1000];

#[derive(Clone)]
struct Case<T> {
    width: usize,
    group: usize,
    weight: Vec<f32>,
    /// `[B, L, D]` each, as are the gradients.
    x: Vec<T>,
    z: Vec<T>,
    d_out: Vec<T>,
    /// What is in the gradients before.
    d_x: Vec<T>,
    d_z: Vec<T>,
    d_weight: Vec<f32>,
}

#[derive(Debug, PartialEq)]
struct Gradients<T> {
    d_x: Vec<T>,
    d_z: Vec<T>,
    d_weight: Vec<f32>,
}

impl<T: Real> Case<T> {
    fn new(len: usize, (width, group): (usize, usize)) -> Self {
        let mut random = Random::new((len * 1000 + width + group) as u64);
        let mut vector = |most: f32| held(&random.vector(BATCH * len * width, -most, most));
        let (x, z, d_out, d_x, d_z) = (vector(2.0), vector(4.0), vector(1.0), vector(1.0), vector(1.0));
        let (weight, d_weight) = (random.vector(width, 0.5, 1.5), random.vector(width, -1.0, 1.0));
        Self { width, group, weight, x, z, d_out, d_x, d_z, d_weight }
    }

    fn upload(&self, device: &Device, x: &[T]) -> Timed<T> {
        Timed::upload(device, x, BATCH, self.width)
    }

    fn forward(&self, device: &Device, in_place: bool) -> Vec<T> {
        let (weight, x, z) = (device.upload(&self.weight).unwrap(), &self.x, self.upload(device, &self.z));
        let params = cuda::Params { weight: weight.view(), epsilon: EPSILON, group: self.group };
        let (x, mut y) = (self.upload(device, x), self.upload(device, if in_place { x } else { &self.d_x }));
        cuda::forward(&params, (!in_place).then(|| x.rows()), z.rows(), y.rows_mut()).unwrap();
        y.download()
    }

    fn forward_reference(&self) -> Vec<f64> {
        let (mut x, z, weight) = (widen_real(&self.x), widen_real(&self.z), widen(&self.weight));
        let params = gated_norm::Params { weight: &weight, epsilon: EPSILON, group: self.group };
        reference::forward(&params, &mut x, Rows::new(&z, self.width));
        x
    }

    fn backward(&self, device: &Device, write: Write) -> Gradients<T> {
        let weight = device.upload(&self.weight).unwrap();
        let params = cuda::Params { weight: weight.view(), epsilon: EPSILON, group: self.group };
        let [x, z, d_out] = [&self.x, &self.z, &self.d_out].map(|x| self.upload(device, x));
        let [mut d_x, mut d_z] = [&self.d_x, &self.d_z].map(|x| self.upload(device, x));
        let mut d_weight = device.upload(&self.d_weight).unwrap();
        let d_inputs = GradInputs { d_x: d_x.rows_mut(), d_z: d_z.rows_mut() };
        cuda::backward(&params, x.rows(), z.rows(), d_out.rows(), d_inputs, write, d_weight.view_mut()).unwrap();
        Gradients { d_x: d_x.download(), d_z: d_z.download(), d_weight: d_weight.view().to_vec().unwrap() }
    }

    fn backward_reference(&self, write: Write) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let [x, z, d_out] = [&self.x, &self.z, &self.d_out].map(|x| widen_real(x));
        let (weight, mut d_weight) = (widen(&self.weight), widen(&self.d_weight));
        let params = gated_norm::Params { weight: &weight, epsilon: EPSILON, group: self.group };
        let (mut d_x, mut d_z) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let d_inputs = gated_norm::GradInputs { d_x: &mut d_x, d_z: RowsMut::new(&mut d_z, self.width) };
        reference::backward(&params, &x, Rows::new(&z, self.width), &d_out, d_inputs, &mut d_weight);
        if write == Write::Add {
            let add = |(sum, before): (&mut f64, &T)| *sum += f64::from(before.to_f32());
            d_x.iter_mut().zip(&self.d_x).for_each(add);
            d_z.iter_mut().zip(&self.d_z).for_each(add);
        }
        (d_x, d_z, d_weight)
    }
}

fn equals_reference<T: Real>() {
    let Some(device) = testing::device() else { return };
    for &size in SIZES {
        for &len in LENGTHS {
            let (case, what) = (Case::<T>::new(len, size), format!("{} {size:?} L {len}", T::NAME));
            let expected = case.forward_reference();
            let got = case.forward(&device, false);
            assert_close(&what, &widen_real(&got), &expected, tolerance::<T>(4e-6));
            assert!(case.forward(&device, true) == got, "{what} in place");
            // A channel alone in its group is its own size: its gradient is next to nothing, and the rest rounding.
            if size.1 > 1 {
                check_backward(&device, &case, &what);
            }
        }
    }
}

fn check_backward<T: Real>(device: &Device, case: &Case<T>, what: &str) {
    for write in [Write::Set, Write::Add] {
        let (d_x, d_z, d_weight) = case.backward_reference(write);
        let got = case.backward(device, write);
        assert_close(&format!("{what} {write:?} x"), &widen_real(&got.d_x), &d_x, tolerance::<T>(8e-6));
        assert_close(&format!("{what} {write:?} z"), &widen_real(&got.d_z), &d_z, tolerance::<T>(8e-6));
        let positions = case.x.len() / case.width;
        assert_sums_close(&format!("{what} {write:?} weight"), &got.d_weight, &d_weight, positions, 8e-6);
    }
}

#[test]
fn f32_equals_the_reference() {
    equals_reference::<f32>();
}

#[test]
fn bf16_equals_the_reference() {
    equals_reference::<bf16>();
}

#[test]
fn two_runs_are_the_same_bits() {
    let Some(device) = testing::device() else { return };
    for size in [(100, 50), (1000, 1000)] {
        let case = Case::<bf16>::new(5003, size);
        assert!(case.forward(&device, true) == case.forward(&device, true), "{size:?}");
        assert!(case.backward(&device, Write::Add) == case.backward(&device, Write::Add), "{size:?}");
    }
}

#[test]
fn the_gate_may_be_a_part_of_the_channels() {
    let Some(device) = testing::device() else { return };
    let case = Case::<f32>::new(100, (6, 3));
    // `[z, x]` beside each other, as one product gives them.
    let both: Vec<f32> = case.z.chunks(6).zip(case.x.chunks(6)).flat_map(|(z, x)| [z, x].concat()).collect();
    let both = Timed::upload(&device, &both, BATCH, 12);
    let (weight, mut y) = (device.upload(&case.weight).unwrap(), case.upload(&device, &case.d_x));
    let params = cuda::Params { weight: weight.view(), epsilon: EPSILON, group: 3 };
    cuda::forward(&params, Some(both.rows().part(6, 6)), both.rows().part(0, 6), y.rows_mut()).unwrap();
    assert_eq!(y.download(), case.forward(&device, true));
}

#[test]
fn positions_of_a_longer_sequence_are_normalised_alone() {
    let Some(device) = testing::device() else { return };
    let case = Case::<bf16>::new(200, (34, 17));
    let (whole, weight) = (case.forward(&device, true), device.upload(&case.weight).unwrap());
    let (mut part, z) = (case.upload(&device, &case.x), case.upload(&device, &case.z));
    let params = cuda::Params { weight: weight.view(), epsilon: EPSILON, group: 17 };
    cuda::forward(&params, None, z.rows().positions(40, 99), part.rows_mut().positions(40, 99)).unwrap();
    for (i, got) in part.download().iter().enumerate() {
        let expected = if (40..139).contains(&(i / 34 % 200)) { whole[i] } else { case.x[i] };
        assert_eq!(*got, expected, "{i}");
    }
}

#[test]
fn a_nan_reaches_its_group() {
    let Some(device) = testing::device() else { return };
    let (len, width, group) = (70, 34, 17);
    // Position 66 of the second sequence, the last channel.
    let row = (len + 66) * width;
    let expected: Vec<_> = (row + group..row + width).collect();
    for (i, what) in ["x", "z", "d_out"].into_iter().enumerate() {
        let mut sick = Case::<f32>::new(len, (width, group));
        let operands = [&mut sick.x, &mut sick.z, &mut sick.d_out];
        operands.into_iter().nth(i).unwrap()[row + width - 1] = f32::NAN;
        // The gradient of the output has no part in the output, and meets the weight of its own channel alone.
        let (outputs, first) = if i < 2 { (expected.clone(), group) } else { (vec![], width - 1) };
        assert_eq!(nans(&sick.forward(&device, false)), outputs, "{what}");
        let got = sick.backward(&device, Write::Set);
        assert_eq!((nans(&got.d_x), nans(&got.d_z)), (expected.clone(), expected.clone()), "{what}");
        assert_eq!(nans(&got.d_weight), (first..width).collect::<Vec<_>>(), "{what}");
    }
}

#[test]
#[should_panic(expected = "6 channels are not a whole number of groups of 4")]
fn a_part_of_a_group_is_refused() {
    let Some(device) = testing::device() else {
        panic!("6 channels are not a whole number of groups of 4 (no device)")
    };
    Case::<f32>::new(1, (6, 4)).forward(&device, true);
}
