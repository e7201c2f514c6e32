use super::{GradParams, Kind, Params, cpu, reference};
use crate::{
    Write,
    backend::Precision::{Bf16, Full},
    bf16,
    simd::Level,
    testing::{LENGTHS, Random, assert_close, central_differences, dot, nans, widen},
};

#[cfg(feature = "cuda")]
mod cuda;

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
        cpu::forward(level, Full, &self.params(kind), &self.x, &mut out);
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
                reference::forward(Full, &params, &x, &mut expected);
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
    reference::forward(Full, &params, &[2.0, -2.0, -2.0, 2.0], &mut out);
    assert_eq!(out, [1.0, -1.0, -1.0, 1.0]);
    let params = Params { kind: Kind::Layer, ..params };
    reference::forward(Full, &params, &[7.0, 3.0, 3.0, 7.0], &mut out);
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
                cpu::forward(level, Full, &case.params(kind), &case.x[..cut * width], head);
                cpu::forward(level, Full, &case.params(kind), &case.x[cut * width..], tail);
                assert_eq!(whole, parts, "{level} cut {cut}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "5 elements are not a whole number of rows of 2")]
fn a_part_of_a_row_is_refused() {
    let params = Params { kind: Kind::Rms, epsilon: 1e-5, weight: &[1.0, 1.0], bias: None };
    cpu::forward(Level::PORTABLE, Full, &params, &[0.0; 5], &mut [0.0; 5]);
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

#[derive(Clone)]
struct Gradients<S> {
    d_x: Vec<S>,
    d_weight: Vec<S>,
    d_bias: Option<Vec<S>>,
}

impl<S> Gradients<S> {
    fn params(&mut self) -> GradParams<'_, S> {
        GradParams { d_weight: &mut self.d_weight, d_bias: self.d_bias.as_deref_mut() }
    }
}

impl Case {
    /// The gradient of the output, and what is in the gradients before.
    fn backward_inputs(&self) -> (Vec<f32>, Gradients<f32>) {
        let mut random = Random::new(self.x.len() as u64);
        let width = self.weight.len();
        let d_out = random.vector(self.x.len(), -1.0, 1.0);
        let d_x = random.vector(self.x.len(), -1.0, 1.0);
        let d_bias = self.bias.is_some().then(|| random.vector(width, -1.0, 1.0));
        (d_out, Gradients { d_x, d_weight: random.vector(width, -1.0, 1.0), d_bias })
    }

    fn run_backward(&self, level: Level, kind: Kind, write: Write) -> Gradients<f32> {
        let (d_out, Gradients { mut d_x, d_weight, d_bias }) = self.backward_inputs();
        let mut rest = Gradients { d_x: Vec::new(), d_weight, d_bias };
        cpu::backward(level, Full, &self.params(kind), &self.x, &d_out, &mut d_x, write, &mut rest.params());
        Gradients { d_x, ..rest }
    }

    fn run_backward_reference(&self, kind: Kind, write: Write) -> Gradients<f64> {
        let (d_out, before) = self.backward_inputs();
        let (x, weight, bias) = (widen(&self.x), widen(&self.weight), self.bias.as_deref().map(widen));
        let params = Params { kind, epsilon: 1e-5, weight: &weight, bias: bias.as_deref() };
        let mut d_x = widen(&before.d_x);
        let mut rest = Gradients {
            d_x: Vec::new(),
            d_weight: widen(&before.d_weight),
            d_bias: before.d_bias.as_deref().map(widen),
        };
        reference::backward(Full, &params, &x, &widen(&d_out), &mut d_x, write, &mut rest.params());
        Gradients { d_x, ..rest }
    }
}

#[test]
fn reference_gradients_are_those_of_central_differences() {
    for kind in KINDS {
        for width in [1, 2, 5] {
            let case = case(3, width, true);
            let (x, weight, bias) = (widen(&case.x), widen(&case.weight), widen(case.bias.as_deref().unwrap()));
            let d_out = widen(&Random::new(7).vector(3 * width, -1.0, 1.0));
            let loss = |x: &[f64], weight: &[f64], bias: &[f64]| {
                let mut out = vec![0.0; x.len()];
                let params = Params { kind, epsilon: 0.1, weight, bias: Some(bias) };
                reference::forward(Full, &params, x, &mut out);
                dot(&d_out, &out)
            };
            let params = Params { kind, epsilon: 0.1, weight: &weight, bias: Some(&bias) };
            let (mut d_x, mut d_weight, mut d_bias) = (vec![9.0; x.len()], vec![0.0; width], vec![0.0; width]);
            let mut d_params = GradParams { d_weight: &mut d_weight, d_bias: Some(&mut d_bias) };
            reference::backward(Full, &params, &x, &d_out, &mut d_x, Write::Set, &mut d_params);
            let expected = central_differences(&x, |x| loss(x, &weight, &bias));
            if kind == Kind::Layer && width == 1 {
                assert!(d_x.iter().chain(&d_weight).all(|x| *x == 0.0), "one channel is its own mean");
            } else {
                assert_close(&format!("{kind:?} x"), &d_x, &expected, 1e-8);
                let expected = central_differences(&weight, |weight| loss(&x, weight, &bias));
                assert_close(&format!("{kind:?} weight"), &d_weight, &expected, 1e-8);
            }
            let expected = central_differences(&bias, |bias| loss(&x, &weight, bias));
            assert_close(&format!("{kind:?} bias"), &d_bias, &expected, 1e-8);
        }
    }
}

#[test]
fn backward_on_the_cpu_equals_the_reference() {
    // A channel alone is its own size: its gradient is next to nothing, and the rest rounding.
    for &width in &WIDTHS[1..] {
        for &len in LENGTHS {
            for (kind, has_bias) in KINDS.into_iter().zip([false, true]) {
                for write in [Write::Set, Write::Add] {
                    let case = case(len, width, has_bias);
                    let expected = case.run_backward_reference(kind, write);
                    for level in Level::available() {
                        let got = case.run_backward(level, kind, write);
                        let what = format!("{level} {kind:?} D {width} L {len} {write:?}");
                        assert_close(&format!("{what} x"), &got.d_x, &expected.d_x, 4e-6);
                        assert_close(&format!("{what} weight"), &got.d_weight, &expected.d_weight, 4e-6);
                        if let (Some(got), Some(expected)) = (&got.d_bias, &expected.d_bias) {
                            assert_close(&format!("{what} bias"), got, expected, 4e-6);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn backward_does_not_depend_on_threads() {
    let case = case(1500, 100, true);
    for level in Level::available() {
        for kind in KINDS {
            let [one, three, again] = [1, 3, 3].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let got = pool.install(|| case.run_backward(level, kind, Write::Add));
                (got.d_x, got.d_weight, got.d_bias)
            });
            assert!(one == three && three == again, "{level} {kind:?}");
        }
    }
}

#[test]
fn backward_a_nan_reaches_its_row_and_its_channel() {
    let width = 17;
    let row: Vec<_> = (3 * width..4 * width).collect();
    for level in Level::available() {
        for kind in KINDS {
            let mut sick = case(5, width, true);
            sick.x[3 * width + 16] = f32::NAN;
            let got = sick.run_backward(level, kind, Write::Set);
            assert_eq!(nans(&got.d_x), row, "{level} {kind:?}");
            assert_eq!(nans(&got.d_weight).len(), width, "{level} {kind:?}");
            assert_eq!(nans(&got.d_bias.unwrap()), [0; 0], "{level} {kind:?}");

            let sick = case(5, width, true);
            let (mut d_out, mut got) = sick.backward_inputs();
            d_out[3 * width + 16] = f32::NAN;
            let mut d_x = got.d_x.clone();
            cpu::backward(level, Full, &sick.params(kind), &sick.x, &d_out, &mut d_x, Write::Add, &mut got.params());
            assert_eq!(nans(&d_x), row, "{level} {kind:?}");
            assert_eq!(nans(&got.d_weight), [16], "{level} {kind:?}");
            assert_eq!(nans(&got.d_bias.unwrap()), [16], "{level} {kind:?}");
        }
    }
}

#[test]
fn in_bf16_the_input_is_rounded_and_nothing_else() {
    for level in Level::available() {
        for kind in KINDS {
            let case = case(300, 33, true);
            let rounded: Vec<f32> = case.x.iter().map(|&x| bf16::round(x)).collect();
            let (d_out, before) = case.backward_inputs();
            let run = |precision, x: &[f32]| {
                let (mut out, mut got) = (vec![0.0; x.len()], before.clone());
                let (params, mut d_x) = (case.params(kind), got.d_x.clone());
                cpu::forward(level, precision, &params, x, &mut out);
                cpu::backward(level, precision, &params, x, &d_out, &mut d_x, Write::Add, &mut got.params());
                (out, d_x, got.d_weight, got.d_bias)
            };
            let expected = run(Full, &rounded);
            assert!(run(Bf16, &case.x) == expected && run(Bf16, &rounded) == expected, "{level} {kind:?}");
            assert!(run(Full, &case.x) != expected, "{level} {kind:?}");
        }
    }
}

#[test]
fn the_reference_rounds_what_the_cpu_rounds() {
    for kind in KINDS {
        let case = case(300, 33, true);
        let (weight, bias) = (widen(&case.weight), case.bias.as_deref().map(widen));
        let params = Params { kind, epsilon: 1e-5, weight: &weight, bias: bias.as_deref() };
        let (d_out, before) = case.backward_inputs();
        let (mut expected, mut out) = (vec![0.0; case.x.len()], vec![0.0; case.x.len()]);
        let (mut d_x, mut got) = (vec![0.0; case.x.len()], vec![0.0; case.x.len()]);
        let (mut d_weight, mut wide) = (before.d_weight.clone(), widen(&before.d_weight));
        reference::forward(Bf16, &params, &widen(&case.x), &mut expected);
        let mut d_params = GradParams { d_weight: &mut wide, d_bias: None };
        reference::backward(
            Bf16,
            &Params { bias: None, ..params },
            &widen(&case.x),
            &widen(&d_out),
            &mut d_x,
            Write::Set,
            &mut d_params,
        );
        let params = Params { bias: None, ..case.params(kind) };
        cpu::forward(Level::widest(), Bf16, &case.params(kind), &case.x, &mut out);
        let mut d_params = GradParams { d_weight: &mut d_weight, d_bias: None };
        cpu::backward(Level::widest(), Bf16, &params, &case.x, &d_out, &mut got, Write::Set, &mut d_params);
        assert_close("forward", &out, &expected, 2e-6);
        assert_close("x", &got, &d_x, 4e-6);
        assert_close("weight", &d_weight, &wide, 4e-6);
    }
}

#[test]
#[should_panic(expected = "length of the bias's gradient")]
fn a_gradient_of_no_bias_is_refused() {
    let params = Params { kind: Kind::Rms, epsilon: 1e-5, weight: &[1.0], bias: None };
    let mut d_params = GradParams { d_weight: &mut [0.0], d_bias: Some(&mut [0.0]) };
    cpu::backward(Level::PORTABLE, Full, &params, &[1.0], &[1.0], &mut [0.0], Write::Set, &mut d_params);
}
