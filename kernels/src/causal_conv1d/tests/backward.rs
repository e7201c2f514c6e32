use super::{Case, DIRECTIONS, SIZES, case};
use crate::{
    Direction, GradRows, Rows, RowsMut, Write,
    causal_conv1d::{GradParams, MAX_KERNEL, Params, cpu, reference},
    simd::Level,
    testing::{LENGTHS, Random, assert_close, assert_sums_close, central_differences, dot, nans, widen},
};

/// Everything that a backward call writes, and the gradients it begins with.
#[derive(Clone, Debug, PartialEq)]
struct Grads<S> {
    /// With a column before the channels, like x.
    d_x: Vec<S>,
    d_weight: Vec<S>,
    d_bias: Option<Vec<S>>,
    d_state: Vec<S>,
}

/// Random contents, and a gradient of the output, for a sequence of `len`.
fn random(case: &Case, len: usize) -> (Grads<f32>, Vec<f32>) {
    let mut random = Random::new((len + case.channels) as u64);
    let mut vector = |len| random.vector(len, -1.0, 1.0);
    let grads = Grads {
        d_x: vector(len * (case.channels + 1)),
        d_weight: vector(case.weight.len()),
        d_bias: case.bias.as_ref().map(|bias| vector(bias.len())),
        d_state: vector(case.state.len()),
    };
    (grads, vector(len * case.channels))
}

fn widen_grads(grads: &Grads<f32>) -> Grads<f64> {
    Grads {
        d_x: widen(&grads.d_x),
        d_weight: widen(&grads.d_weight),
        d_bias: grads.d_bias.as_deref().map(widen),
        d_state: widen(&grads.d_state),
    }
}

impl Case {
    /// Runs rows `from..to` from `state`; `grads` and `d_out` are as long.
    #[allow(clippy::too_many_arguments)]
    fn backward(
        &self,
        level: Level,
        direction: Direction,
        (from, to): (usize, usize),
        state: &[f32],
        d_out: &[f32],
        write: Write,
        grads: &mut Grads<f32>,
    ) {
        let stride = self.channels + 1;
        let x = Rows::columns(&self.x[from * stride..to * stride], stride, 1, self.channels);
        let params = Params { weight: &self.weight, bias: self.bias.as_deref() };
        let d_x = GradRows { rows: RowsMut::columns(&mut grads.d_x, stride, 1, self.channels), write };
        let mut d_params = GradParams { d_weight: &mut grads.d_weight, d_bias: grads.d_bias.as_deref_mut() };
        cpu::backward(level, &params, direction, x, state, d_out, &mut grads.d_state, d_x, &mut d_params);
    }

    fn whole(&self, level: Level, direction: Direction, write: Write) -> Grads<f32> {
        let len = self.x.len() / (self.channels + 1);
        let (mut grads, d_out) = random(self, len);
        self.backward(level, direction, (0, len), &self.state, &d_out, write, &mut grads);
        grads
    }

    fn backward_reference(&self, direction: Direction, write: Write) -> Grads<f64> {
        let (x, weight, state) = (widen(&self.x), widen(&self.weight), widen(&self.state));
        let bias = self.bias.as_deref().map(widen);
        let (grads, d_out) = random(self, x.len() / (self.channels + 1));
        let (mut grads, d_out) = (widen_grads(&grads), widen(&d_out));
        let x = Rows::columns(&x, self.channels + 1, 1, self.channels);
        let params = Params { weight: &weight, bias: bias.as_deref() };
        let d_x = GradRows { rows: RowsMut::columns(&mut grads.d_x, self.channels + 1, 1, self.channels), write };
        let mut d_params = GradParams { d_weight: &mut grads.d_weight, d_bias: grads.d_bias.as_deref_mut() };
        reference::backward(&params, direction, x, &state, &d_out, &mut grads.d_state, d_x, &mut d_params);
        grads
    }
}

#[test]
fn reference_equals_finite_differences() {
    for (len, size) in [(6, (2, 4, true)), (5, (1, 3, false)), (2, (2, 5, true)), (3, (2, 1, true))] {
        let case = case(len, size);
        for direction in DIRECTIONS {
            let what = format!("L {len} {size:?} {direction:?}");
            let (start, d_out) = random(&case, len);
            let (start, d_out) = (widen_grads(&start), widen(&d_out));
            let loss = |x: &[f64], weight: &[f64], bias: Option<&[f64]>, state: &[f64]| {
                let (mut out, mut state) = (vec![0.0; d_out.len()], state.to_vec());
                let x = Rows::columns(x, case.channels + 1, 1, case.channels);
                reference::forward(&Params { weight, bias }, direction, x, &mut state, &mut out);
                dot(&d_out, &out) + dot(&start.d_state, &state)
            };
            let (x, weight, state) = (widen(&case.x), widen(&case.weight), widen(&case.state));
            let bias = case.bias.as_deref().map(widen);
            let got = case.backward_reference(direction, Write::Set);
            let summed =
                |got: &[f64], start: &[f64]| -> Vec<f64> { got.iter().zip(start).map(|(x, y)| x - y).collect() };
            let mut d_x = central_differences(&x, |x| loss(x, &weight, bias.as_deref(), &state));
            for (d_x, start) in d_x.chunks_mut(case.channels + 1).zip(start.d_x.chunks(case.channels + 1)) {
                d_x[0] = start[0];
            }
            assert_close(&format!("{what} x"), &got.d_x, &d_x, 1e-8);
            let d_weight = central_differences(&weight, |weight| loss(&x, weight, bias.as_deref(), &state));
            assert_close(&format!("{what} taps"), &summed(&got.d_weight, &start.d_weight), &d_weight, 1e-8);
            if let Some(bias) = &bias {
                let d_bias = central_differences(bias, |bias| loss(&x, &weight, Some(bias), &state));
                let got = summed(&got.d_bias.unwrap(), &start.d_bias.unwrap());
                assert_close(&format!("{what} bias"), &got, &d_bias, 1e-8);
            }
            if !state.is_empty() {
                let d_state = central_differences(&state, |state| loss(&x, &weight, bias.as_deref(), state));
                assert_close(&format!("{what} state"), &got.d_state, &d_state, 1e-8);
            }
        }
    }
}

#[test]
fn cpu_equals_reference() {
    for &size in SIZES.iter().chain([&(3, MAX_KERNEL, true)]) {
        for &len in LENGTHS {
            let case = case(len, size);
            for direction in DIRECTIONS {
                for write in [Write::Set, Write::Add] {
                    let expected = case.backward_reference(direction, write);
                    for level in Level::available() {
                        let what = format!("{level} {size:?} L {len} {direction:?} {write:?}");
                        let got = case.whole(level, direction, write);
                        assert_sums_close(&format!("{what} x"), &got.d_x, &expected.d_x, 1, 2e-6);
                        assert_sums_close(&format!("{what} taps"), &got.d_weight, &expected.d_weight, len, 2e-6);
                        if let (Some(got), Some(expected)) = (&got.d_bias, &expected.d_bias) {
                            assert_sums_close(&format!("{what} bias"), got, expected, len, 2e-6);
                        }
                        assert_sums_close(&format!("{what} state"), &got.d_state, &expected.d_state, 1, 2e-6);
                    }
                }
            }
        }
    }
}

#[test]
fn a_gradient_goes_on_over_a_cut() {
    let size = (17, 4, true);
    for (len, cut) in [(3, 1), (4, 2), (40, 2), (40, 38), (769, 256), (769, 300)] {
        let case = case(len, size);
        for level in Level::available() {
            for direction in DIRECTIONS {
                let whole = case.whole(level, direction, Write::Set);
                let (first, last) = match direction {
                    Direction::Forward => ((0, cut), (cut, len)),
                    Direction::Reverse => ((cut, len), (0, cut)),
                };
                let mut border = case.state.clone();
                case.run(level, direction, first.0, first.1, &mut border);
                let (start, d_out) = random(&case, len);
                let part = |(from, to): (usize, usize), state: &[f32], carried: Grads<f32>| {
                    let d_x = start.d_x[from * 18..to * 18].to_vec();
                    let mut grads = Grads { d_x, ..carried };
                    let d_out = &d_out[from * 17..to * 17];
                    case.backward(level, direction, (from, to), state, d_out, Write::Set, &mut grads);
                    grads
                };
                let late = part(last, &border, start.clone());
                let early = part(first, &case.state, late.clone());
                let joined = match direction {
                    Direction::Forward => [early.d_x, late.d_x].concat(),
                    Direction::Reverse => [late.d_x, early.d_x].concat(),
                };
                let what = format!("{level} L {len} cut at {cut} {direction:?}");
                assert_close(&what, &joined, &widen(&whole.d_x), 1e-6);
                assert_close(&what, &early.d_weight, &widen(&whole.d_weight), 1e-6);
                assert_close(&what, &early.d_bias.unwrap(), &widen(&whole.d_bias.unwrap()), 1e-6);
                assert_close(&what, &early.d_state, &widen(&whole.d_state), 1e-6);
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let case = case(1500, (100, 4, true));
    for level in Level::available() {
        for direction in DIRECTIONS {
            let with = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| case.whole(level, direction, Write::Add))
            };
            assert_eq!(with(1), with(3));
            assert_eq!(with(1), with(1));
        }
    }
}

#[test]
fn no_rows_hand_the_gradient_of_the_state_on() {
    let case = case(0, (17, 4, true));
    for level in Level::available() {
        assert_eq!(case.whole(level, Direction::Reverse, Write::Set), random(&case, 0).0);
    }
}

#[test]
fn a_nan_reaches_the_inputs_of_what_it_spoils() {
    let (len, channels, stride) = (9, 17, 18);
    for level in Level::available() {
        for direction in DIRECTIONS {
            let mut case = case(len, (channels, 4, true));
            case.x[4 * stride + 1 + 16] = f32::NAN;
            let grads = case.whole(level, direction, Write::Set);
            // Outputs 4..8 or 1..5 meet it, and either of those meet inputs 1..8.
            assert_eq!(nans(&grads.d_x), (1..8).map(|t| t * stride + 17).collect::<Vec<_>>(), "{level} {direction:?}");
            assert_eq!(nans(&grads.d_weight), (0..4).map(|k| k * channels + 16).collect::<Vec<_>>());
            assert_eq!(nans(&grads.d_bias.unwrap()), [16]);
            assert_eq!(nans(&grads.d_state), []);
        }
    }
}
