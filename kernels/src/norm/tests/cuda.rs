use half::bf16;

use super::{KINDS, LENGTHS, Random, WIDTHS, assert_close};
use crate::{
    Write,
    backend::Precision,
    cuda::{
        Device, Real, testing,
        testing::{held, tolerance, widen},
    },
    norm::{self, Kind, cuda, reference},
    testing::nans,
};

/// Widths that have more than one vector a lane, and that leave room for fewer warps.
const WIDE: &[usize] = &[768, 1000, 2560];

struct Case<T, R> {
    kind: Kind,
    /// What is added to the stream.
    x: Vec<T>,
    stream: Vec<R>,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    d_out: Vec<T>,
    /// What is in the gradients before.
    d_x: Vec<R>,
    d_weight: Vec<f32>,
    d_bias: Option<Vec<f32>>,
}

impl<T: Real, R: Real> Case<T, R> {
    fn new(len: usize, width: usize, kind: Kind, has_bias: bool) -> Self {
        let mut random = Random::new((len * 1000 + width) as u64);
        Self {
            kind,
            x: held(&random.vector(len * width, -1.0, 1.0)),
            stream: held(&random.vector(len * width, -1.0, 3.0)),
            weight: random.vector(width, 0.5, 1.5),
            bias: has_bias.then(|| random.vector(width, -1.0, 1.0)),
            d_out: held(&random.vector(len * width, -1.0, 1.0)),
            d_x: held(&random.vector(len * width, -1.0, 1.0)),
            d_weight: random.vector(width, -1.0, 1.0),
            d_bias: has_bias.then(|| random.vector(width, -1.0, 1.0)),
        }
    }

    /// The stream after `x` was added, if it was, and the output.
    fn forward(&self, device: &Device, adds: bool) -> (Vec<R>, Vec<T>) {
        let [x, d_x] = [&self.x, &self.d_out].map(|x| device.upload(x).unwrap());
        let (mut stream, mut out) = (device.upload(&self.stream).unwrap(), d_x);
        let (weight, bias) = self.upload_params(device);
        let params = cuda::Params {
            kind: self.kind,
            epsilon: 1e-5,
            weight: weight.view(),
            bias: bias.as_ref().map(|bias| bias.view()),
        };
        let input = match adds {
            true => cuda::Input::Sum { x: x.view(), stream: stream.view_mut() },
            false => cuda::Input::Stream(stream.view()),
        };
        cuda::forward(&params, input, out.view_mut()).unwrap();
        (stream.view().to_vec().unwrap(), out.view().to_vec().unwrap())
    }

    fn upload_params(&self, device: &Device) -> (crate::cuda::Buffer<f32>, Option<crate::cuda::Buffer<f32>>) {
        (device.upload(&self.weight).unwrap(), self.bias.as_ref().map(|bias| device.upload(bias).unwrap()))
    }

    fn forward_reference(&self, stream: &[R]) -> Vec<f64> {
        let (weight, bias) = (crate::testing::widen(&self.weight), self.bias.as_deref().map(crate::testing::widen));
        let params = norm::Params { kind: self.kind, epsilon: 1e-5, weight: &weight, bias: bias.as_deref() };
        let mut out = vec![0.0; stream.len()];
        reference::forward(Precision::Full, &params, &widen(stream), &mut out);
        out
    }

    fn backward(&self, device: &Device, write: Write) -> Gradients<T, R> {
        let (x, d_out) = (device.upload(&self.stream).unwrap(), device.upload(&self.d_out).unwrap());
        let mut d_x = device.upload(&self.d_x).unwrap();
        let mut narrowed = device.zeros::<T>(self.x.len()).unwrap();
        let mut d_weight = device.upload(&self.d_weight).unwrap();
        let mut d_bias = self.d_bias.as_ref().map(|d_bias| device.upload(d_bias).unwrap());
        let (weight, bias) = self.upload_params(device);
        let params = cuda::Params {
            kind: self.kind,
            epsilon: 1e-5,
            weight: weight.view(),
            bias: bias.as_ref().map(|bias| bias.view()),
        };
        let d_params =
            cuda::GradParams { d_weight: d_weight.view_mut(), d_bias: d_bias.as_mut().map(|d_bias| d_bias.view_mut()) };
        let narrow = Some(narrowed.view_mut());
        cuda::backward(&params, x.view(), d_out.view(), d_x.view_mut(), write, narrow, d_params).unwrap();
        Gradients {
            d_x: d_x.view().to_vec().unwrap(),
            narrowed: narrowed.view().to_vec().unwrap(),
            d_weight: d_weight.view().to_vec().unwrap(),
            d_bias: d_bias.map(|d_bias| d_bias.view().to_vec().unwrap()),
        }
    }

    fn backward_reference(&self, write: Write) -> (Vec<f64>, Vec<f64>, Option<Vec<f64>>) {
        let wide = crate::testing::widen;
        let (weight, bias) = (wide(&self.weight), self.bias.as_deref().map(wide));
        let params = norm::Params { kind: self.kind, epsilon: 1e-5, weight: &weight, bias: bias.as_deref() };
        let (mut d_x, mut d_weight) = (widen(&self.d_x), wide(&self.d_weight));
        let mut d_bias = self.d_bias.as_deref().map(wide);
        let mut d_params = norm::GradParams { d_weight: &mut d_weight, d_bias: d_bias.as_deref_mut() };
        reference::backward(
            Precision::Full,
            &params,
            &widen(&self.stream),
            &widen(&self.d_out),
            &mut d_x,
            write,
            &mut d_params,
        );
        (d_x, d_weight, d_bias)
    }
}

#[derive(Debug, PartialEq)]
struct Gradients<T, R> {
    d_x: Vec<R>,
    narrowed: Vec<T>,
    d_weight: Vec<f32>,
    d_bias: Option<Vec<f32>>,
}

fn forward_equals_reference<T: Real, R: Real>() {
    let Some(device) = testing::device() else { return };
    for &width in WIDTHS.iter().chain(WIDE) {
        for &len in LENGTHS {
            for (kind, has_bias) in KINDS.into_iter().zip([false, true]) {
                let case = Case::<T, R>::new(len, width, kind, has_bias);
                let what = format!("{} {} {kind:?} D {width} L {len}", T::NAME, R::NAME);
                let (stream, out) = case.forward(&device, false);
                assert!(stream == case.stream, "{what}: the stream changed");
                assert_close(&what, &widen(&out), &case.forward_reference(&stream), tolerance::<T>(8e-6));
                let (stream, out) = case.forward(&device, true);
                let sum = |(stream, x): (&R, &T)| R::from_f32(stream.to_f32() + x.to_f32());
                assert!(stream == case.stream.iter().zip(&case.x).map(sum).collect::<Vec<_>>(), "{what}: sum");
                assert_close(&what, &widen(&out), &case.forward_reference(&stream), tolerance::<T>(8e-6));
            }
        }
    }
}

fn backward_equals_reference<T: Real, R: Real>() {
    let Some(device) = testing::device() else { return };
    // A channel alone is its own size: its gradient is next to nothing, and the rest rounding.
    for &width in WIDTHS[1..].iter().chain(WIDE) {
        for &len in LENGTHS {
            for (kind, has_bias) in KINDS.into_iter().zip([false, true]) {
                for write in [Write::Set, Write::Add] {
                    let case = Case::<T, R>::new(len, width, kind, has_bias);
                    let (d_x, d_weight, d_bias) = case.backward_reference(write);
                    let got = case.backward(&device, write);
                    let what = format!("{} {} {kind:?} D {width} L {len} {write:?}", T::NAME, R::NAME);
                    assert_close(&format!("{what} x"), &widen(&got.d_x), &d_x, tolerance::<R>(1.6e-5));
                    let narrow = tolerance::<T>(1.6e-5).max(tolerance::<R>(1.6e-5));
                    assert_close(&format!("{what} narrowed"), &widen(&got.narrowed), &d_x, narrow);
                    assert_close(&format!("{what} weight"), &got.d_weight, &d_weight, 4e-6);
                    if let (Some(got), Some(expected)) = (&got.d_bias, &d_bias) {
                        assert_close(&format!("{what} bias"), got, expected, 4e-6);
                    }
                }
            }
        }
    }
}

#[test]
fn forward_in_f32_equals_the_reference() {
    forward_equals_reference::<f32, f32>();
}

#[test]
fn forward_in_bf16_equals_the_reference() {
    forward_equals_reference::<bf16, bf16>();
}

#[test]
fn forward_in_two_types_equals_the_reference() {
    forward_equals_reference::<bf16, f32>();
    forward_equals_reference::<f32, bf16>();
}

#[test]
fn backward_in_f32_equals_the_reference() {
    backward_equals_reference::<f32, f32>();
}

#[test]
fn backward_in_bf16_equals_the_reference() {
    backward_equals_reference::<bf16, bf16>();
}

#[test]
fn backward_in_two_types_equals_the_reference() {
    backward_equals_reference::<bf16, f32>();
    backward_equals_reference::<f32, bf16>();
}

#[test]
fn two_runs_are_the_same_bits() {
    let Some(device) = testing::device() else { return };
    for width in [256, 1000, 2560] {
        let case = Case::<bf16, f32>::new(20_000, width, Kind::Layer, true);
        assert!(case.forward(&device, true) == case.forward(&device, true));
        assert!(case.backward(&device, Write::Add) == case.backward(&device, Write::Add));
    }
}

#[test]
fn rows_that_are_not_aligned_are_the_same_bits() {
    let Some(device) = testing::device() else { return };
    let case = Case::<f32, f32>::new(50, 64, Kind::Rms, false);
    let (_, expected) = case.forward(&device, false);
    let shifted = device.upload(&[&[0.0], &case.stream[..]].concat()).unwrap();
    let (weight, mut out) = (device.upload(&case.weight).unwrap(), device.zeros::<f32>(expected.len()).unwrap());
    let params = cuda::Params { kind: Kind::Rms, epsilon: 1e-5, weight: weight.view(), bias: None };
    let input = cuda::Input::<f32, f32>::Stream(shifted.view().slice(1..));
    cuda::forward(&params, input, out.view_mut()).unwrap();
    assert_eq!(out.view().to_vec().unwrap(), expected);
}

#[test]
fn a_nan_reaches_its_row_and_its_channel() {
    let Some(device) = testing::device() else { return };
    let (width, at) = (17, 3 * 17 + 16);
    let row: Vec<_> = (3 * width..4 * width).collect();
    for kind in KINDS {
        let mut case = Case::<f32, f32>::new(70, width, kind, true);
        case.stream[at] = f32::NAN;
        assert_eq!(nans(&case.forward(&device, false).1), row, "{kind:?}");
        let got = case.backward(&device, Write::Set);
        assert_eq!(nans(&got.d_x), row, "{kind:?}");
        assert_eq!(nans(&got.d_weight).len(), width, "{kind:?}");
        assert_eq!(nans(&got.d_bias.unwrap()), [0; 0], "{kind:?}");
        let mut case = Case::<f32, f32>::new(70, width, kind, true);
        case.d_out[at] = f32::NAN;
        let got = case.backward(&device, Write::Add);
        assert_eq!(
            (nans(&got.d_x), nans(&got.d_weight), nans(&got.d_bias.unwrap())),
            (row.clone(), vec![16], vec![16])
        );
    }
}
