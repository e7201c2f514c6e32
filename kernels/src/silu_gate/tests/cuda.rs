use half::bf16;

use super::{LENGTHS, Random, Rows, RowsMut, assert_close, nans, reference};
use crate::{
    cuda::{
        Device, Real, testing,
        testing::{Timed, held, tolerance, widen},
    },
    silu_gate::cuda,
};

const BATCH: usize = 2;
const CHANNELS: &[usize] = &[1, 3, 20];

/// x, the gate and the gradient of the output, `[B, L, D]`.
fn case<T: Real>(len: usize, channels: usize) -> [Vec<T>; 3] {
    let mut random = Random::new((len * 1000 + channels) as u64);
    [2.0, 20.0, 3.0].map(|most| held(&random.vector(BATCH * len * channels, -most, most)))
}

fn forward<T: Real>(device: &Device, x: &[T], z: &[T], channels: usize) -> Vec<T> {
    let mut x = Timed::upload(device, x, BATCH, channels);
    cuda::forward(None, Timed::upload(device, z, BATCH, channels).rows(), x.rows_mut()).unwrap();
    x.download()
}

/// Whether numbers are the same, where any NaN is as good as another.
fn are_same<T: Real>(x: &[T], y: &[T]) -> bool {
    x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x == y || (x.to_f32().is_nan() && y.to_f32().is_nan()))
}

fn backward<T: Real>(device: &Device, [x, z, d_out]: &[Vec<T>; 3], channels: usize) -> (Vec<T>, Vec<T>) {
    let upload = |x: &[T]| Timed::upload(device, x, BATCH, channels);
    let given = (x, z);
    let (mut x, z, d_out, mut d_x, mut d_z) = (upload(x), upload(z), upload(d_out), upload(x), upload(x));
    cuda::backward(x.rows_mut(), z.rows(), d_out.rows(), d_x.rows_mut(), d_z.rows_mut(), false).unwrap();
    assert!(are_same(&x.download(), given.0), "x is as it was");
    let found = (d_x.download(), d_z.download());
    cuda::backward(x.rows_mut(), z.rows(), d_out.rows(), d_x.rows_mut(), d_z.rows_mut(), true).unwrap();
    assert!(are_same(&x.download(), &forward(device, given.0, given.1, channels)), "x is gated");
    let again = (d_x.download(), d_z.download());
    assert!(are_same(&again.0, &found.0) && are_same(&again.1, &found.1), "gradients where x is gated");
    found
}

fn equals_reference<T: Real>() {
    let Some(device) = testing::device() else { return };
    for &channels in CHANNELS {
        for &len in LENGTHS.iter().chain(&[4100]) {
            let case = case::<T>(len, channels);
            let [x, z, d_out] = case.each_ref().map(|x| widen(x));
            let what = format!("{} D {channels} L {len}", T::NAME);
            let mut expected = x.clone();
            reference::forward(&mut expected, Rows::new(&z, channels));
            let got = forward(&device, &case[0], &case[1], channels);
            assert_close(&what, &widen(&got), &expected, tolerance::<T>(2e-6));
            let (mut d_x, mut d_z) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            let d_z_rows = RowsMut::new(&mut d_z, channels);
            reference::backward(&x, Rows::new(&z, channels), &d_out, &mut d_x, d_z_rows);
            let got = backward(&device, &case, channels);
            assert_close(&format!("{what} x"), &widen(&got.0), &d_x, tolerance::<T>(2e-6));
            assert_close(&format!("{what} z"), &widen(&got.1), &d_z, tolerance::<T>(2e-6));
            assert!(got == backward(&device, &case, channels), "two runs");
        }
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
fn the_gate_may_be_a_part_of_the_channels() {
    let Some(device) = testing::device() else { return };
    let [x, z, _] = case::<f32>(100, 4);
    // `[x, z]` beside each other, as one product gives them.
    let both: Vec<f32> = x.chunks(4).zip(z.chunks(4)).flat_map(|(x, z)| [x, z].concat()).collect();
    let both = Timed::upload(&device, &both, BATCH, 8);
    let mut gated = Timed::upload(&device, &x, BATCH, 4);
    cuda::forward(None, both.rows().part(4, 4), gated.rows_mut()).unwrap();
    let expected = forward(&device, &x, &z, 4);
    assert_eq!(gated.download(), expected);
    let from = Timed::upload(&device, &x, BATCH, 4);
    let mut beside = Timed::upload(&device, &z, BATCH, 4);
    cuda::forward(Some(from.rows()), both.rows().part(4, 4), beside.rows_mut()).unwrap();
    assert_eq!(beside.download(), expected, "beside x");
}

#[test]
fn positions_of_a_longer_sequence_are_gated_alone() {
    let Some(device) = testing::device() else { return };
    let [x, z, _] = case::<bf16>(100, 3);
    let (whole, z) = (forward(&device, &x, &z, 3), Timed::upload(&device, &z, BATCH, 3));
    let mut part = Timed::upload(&device, &x, BATCH, 3);
    cuda::forward(None, z.rows().positions(40, 27), part.rows_mut().positions(40, 27)).unwrap();
    for (i, got) in part.download().iter().enumerate() {
        let expected = if (40..67).contains(&(i / 3 % 100)) { whole[i] } else { x[i] };
        assert_eq!(*got, expected, "{i}");
    }
}

#[test]
fn a_nan_stays_in_its_element() {
    let Some(device) = testing::device() else { return };
    let mut case = case::<f32>(9, 3);
    case[0][7] = f32::NAN;
    case[1][11] = f32::NAN;
    case[2][20] = f32::NAN;
    assert_eq!(nans(&forward(&device, &case[0], &case[1], 3)), [7, 11]);
    let (d_x, d_z) = backward(&device, &case, 3);
    assert_eq!((nans(&d_x), nans(&d_z)), (vec![11, 20], vec![7, 11, 20]));
}
