use half::bf16;

use super::{DIRECTIONS, SIZES};
use crate::{
    Direction, GradRows, Rows, RowsMut, Write,
    causal_conv1d::{self, MAX_KERNEL, cuda, reference},
    cuda::{
        Buffer, Device, Real, testing,
        testing::{Timed, held, tolerance, widen},
    },
    testing::{LENGTHS, Random, assert_close, assert_sums_close, nans},
};

const BATCH: usize = 2;

/// A sequence that several blocks share.
const LONG: usize = 4100;

#[derive(Clone)]
struct Case<T> {
    channels: usize,
    kernel: usize,
    /// `[B, L, D]`, and so are the other activations.
    x: Vec<T>,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    /// `[B, D, K-1]`
    state: Vec<f32>,
    d_out: Vec<T>,
    /// What is in the gradients before.
    d_x: Vec<T>,
    d_state: Vec<f32>,
    d_weight: Vec<f32>,
    d_bias: Option<Vec<f32>>,
}

/// What a backward call leaves.
#[derive(Debug, PartialEq)]
struct Gradients<T> {
    d_x: Vec<T>,
    d_state: Vec<f32>,
    d_weight: Vec<f32>,
    d_bias: Option<Vec<f32>>,
}

impl<T: Real> Case<T> {
    fn new(len: usize, (channels, kernel, has_bias): (usize, usize, bool)) -> Self {
        let mut random = Random::new((len * 100 + channels) as u64);
        let mut vector = |len: usize, most: f32| random.vector(len, -most, most);
        let (all, state) = (BATCH * len * channels, BATCH * channels * (kernel - 1));
        Self {
            channels,
            kernel,
            x: held(&vector(all, 2.0)),
            weight: vector(kernel * channels, 1.0),
            bias: has_bias.then(|| vector(channels, 1.0)),
            state: vector(state, 2.0),
            d_out: held(&vector(all, 1.0)),
            d_x: held(&vector(all, 1.0)),
            d_state: vector(state, 1.0),
            d_weight: vector(kernel * channels, 1.0),
            d_bias: has_bias.then(|| vector(channels, 1.0)),
        }
    }

    fn len(&self) -> usize {
        self.x.len() / (BATCH * self.channels)
    }

    /// Positions `from..to` of activations of every sequence.
    fn positions<S: Copy>(&self, x: &[S], from: usize, to: usize) -> Vec<S> {
        let sequences = x.chunks(self.len() * self.channels);
        sequences.flat_map(|x| &x[from * self.channels..to * self.channels]).copied().collect()
    }

    fn upload_params(&self, device: &Device) -> (Buffer<f32>, Option<Buffer<f32>>) {
        (device.upload(&self.weight).unwrap(), self.bias.as_ref().map(|bias| device.upload(bias).unwrap()))
    }

    /// The output of positions `from..to`, from the state, which is left as the kernel leaves it.
    fn run(&self, device: &Device, direction: Direction, from: usize, to: usize, state: &mut Vec<f32>) -> Vec<T> {
        let x = Timed::upload(device, &self.positions(&self.x, from, to), BATCH, self.channels);
        let mut out = Timed::upload(device, &self.positions(&self.d_x, from, to), BATCH, self.channels);
        let mut on_device = device.upload(state).unwrap();
        let (weight, bias) = self.upload_params(device);
        let params = cuda::Params { weight: weight.view(), bias: bias.as_ref().map(|bias| bias.view()) };
        cuda::forward(&params, direction, x.rows(), on_device.view_mut(), out.rows_mut()).unwrap();
        *state = on_device.view().to_vec().unwrap();
        out.download()
    }

    /// Runs backward on positions `from..to`; `grads` holds what is added to, and the gradient of the final state.
    fn backward(
        &self,
        device: &Device,
        direction: Direction,
        (from, to): (usize, usize),
        state: &[f32],
        write: Write,
        grads: Gradients<T>,
    ) -> Gradients<T> {
        let upload = |x: &[T]| Timed::upload(device, &self.positions(x, from, to), BATCH, self.channels);
        let (x, d_out, mut d_x) = (upload(&self.x), upload(&self.d_out), upload(&self.d_x));
        let state = device.upload(state).unwrap();
        let mut d_state = device.upload(&grads.d_state).unwrap();
        let mut d_weight = device.upload(&grads.d_weight).unwrap();
        let mut d_bias = grads.d_bias.as_ref().map(|d_bias| device.upload(d_bias).unwrap());
        let (weight, bias) = self.upload_params(device);
        let params = cuda::Params { weight: weight.view(), bias: bias.as_ref().map(|bias| bias.view()) };
        let d_params =
            cuda::GradParams { d_weight: d_weight.view_mut(), d_bias: d_bias.as_mut().map(|d_bias| d_bias.view_mut()) };
        let (rows, d_rows) = (x.rows(), d_x.rows_mut());
        let d_state_view = d_state.view_mut();
        cuda::backward(&params, direction, rows, state.view(), d_out.rows(), d_state_view, d_rows, write, d_params)
            .unwrap();
        Gradients {
            d_x: d_x.download(),
            d_state: d_state.view().to_vec().unwrap(),
            d_weight: d_weight.view().to_vec().unwrap(),
            d_bias: d_bias.map(|d_bias| d_bias.view().to_vec().unwrap()),
        }
    }

    fn start(&self) -> Gradients<T> {
        Gradients {
            d_x: Vec::new(),
            d_state: self.d_state.clone(),
            d_weight: self.d_weight.clone(),
            d_bias: self.d_bias.clone(),
        }
    }

    fn whole(&self, device: &Device, direction: Direction, write: Write) -> Gradients<T> {
        self.backward(device, direction, (0, self.len()), &self.state, write, self.start())
    }

    /// `[D, K-1]` of sequence `b` as the reference has it, `[K-1, D]`.
    fn state_of(&self, state: &[f32], b: usize) -> Vec<f64> {
        let before = self.kernel - 1;
        let own = &state[b * self.channels * before..];
        (0..before * self.channels).map(|i| own[i % self.channels * before + i / self.channels].into()).collect()
    }

    /// The outputs, `[B, L, D]`, and the final states, `[B, K-1, D]`.
    fn reference(&self, direction: Direction) -> (Vec<f64>, Vec<f64>) {
        let (weight, bias) = (wide(&self.weight), self.bias.as_deref().map(wide));
        let params = causal_conv1d::Params { weight: &weight, bias: bias.as_deref() };
        let (mut outs, mut states) = (Vec::new(), Vec::new());
        for (b, x) in widen(&self.x).chunks(self.len() * self.channels).enumerate() {
            let (mut out, mut state) = (vec![0.0; x.len()], self.state_of(&self.state, b));
            reference::forward(&params, direction, Rows::new(x, self.channels), &mut state, &mut out);
            outs.extend(out);
            states.extend(state);
        }
        (outs, states)
    }

    /// d_x `[B, L, D]`, d_state `[B, K-1, D]`, d_weight and d_bias.
    fn backward_reference(&self, direction: Direction, write: Write) -> [Vec<f64>; 4] {
        let (weight, bias) = (wide(&self.weight), self.bias.as_deref().map(wide));
        let params = causal_conv1d::Params { weight: &weight, bias: bias.as_deref() };
        let (mut d_weight, mut d_bias) = (wide(&self.d_weight), self.d_bias.as_deref().map(wide));
        let (x, d_out, mut d_x) = (widen(&self.x), widen(&self.d_out), widen(&self.d_x));
        let mut d_states = Vec::new();
        let size = self.len() * self.channels;
        for b in 0..BATCH {
            let rows = Rows::new(&x[b * size..][..size], self.channels);
            let d_rows = GradRows { rows: RowsMut::new(&mut d_x[b * size..][..size], self.channels), write };
            let mut d_params = causal_conv1d::GradParams { d_weight: &mut d_weight, d_bias: d_bias.as_deref_mut() };
            let (state, mut d_state) = (self.state_of(&self.state, b), self.state_of(&self.d_state, b));
            let d_out = &d_out[b * size..][..size];
            reference::backward(&params, direction, rows, &state, d_out, &mut d_state, d_rows, &mut d_params);
            d_states.extend(d_state);
        }
        [d_x, d_states, d_weight, d_bias.unwrap_or_default()]
    }

    /// States of all sequences in the order of the reference.
    fn states(&self, state: &[f32]) -> Vec<f64> {
        (0..BATCH).flat_map(|b| self.state_of(state, b)).collect()
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    crate::testing::widen(x)
}

fn sizes() -> impl Iterator<Item = (usize, usize, bool)> {
    SIZES.iter().copied().chain([(3, MAX_KERNEL, true)])
}

fn forward_equals_reference<T: Real>() {
    let Some(device) = testing::device() else { return };
    for size in sizes() {
        for &len in LENGTHS.iter().chain(&[LONG]) {
            let case = Case::<T>::new(len, size);
            for direction in DIRECTIONS {
                let what = format!("{} {size:?} L {len} {direction:?}", T::NAME);
                let (expected, expected_state) = case.reference(direction);
                let mut state = case.state.clone();
                let got = case.run(&device, direction, 0, len, &mut state);
                assert_close(&what, &widen(&got), &expected, tolerance::<T>(2e-6));
                assert_eq!(case.states(&state), expected_state, "{what}");
            }
        }
    }
}

fn backward_equals_reference<T: Real>() {
    let Some(device) = testing::device() else { return };
    for size in sizes() {
        for &len in LENGTHS.iter().chain(&[LONG]) {
            let case = Case::<T>::new(len, size);
            for direction in DIRECTIONS {
                for write in [Write::Set, Write::Add] {
                    let what = format!("{} {size:?} L {len} {direction:?} {write:?}", T::NAME);
                    let [d_x, d_state, d_weight, d_bias] = case.backward_reference(direction, write);
                    let got = case.whole(&device, direction, write);
                    assert_sums_close(&format!("{what} x"), &widen(&got.d_x), &d_x, 1, tolerance::<T>(4e-6));
                    // Sums and the state are f32 whatever the type of activations.
                    let positions = BATCH * len;
                    assert_sums_close(&format!("{what} taps"), &got.d_weight, &d_weight, positions, 4e-6);
                    if let Some(got) = &got.d_bias {
                        assert_sums_close(&format!("{what} bias"), got, &d_bias, positions, 4e-6);
                    }
                    let state = case.states(&got.d_state);
                    assert_sums_close(&format!("{what} state"), &state, &d_state, 1, 4e-6);
                }
            }
        }
    }
}

#[test]
fn forward_in_f32_equals_the_reference() {
    forward_equals_reference::<f32>();
}

#[test]
fn forward_in_bf16_equals_the_reference() {
    forward_equals_reference::<bf16>();
}

#[test]
fn backward_in_f32_equals_the_reference() {
    backward_equals_reference::<f32>();
}

#[test]
fn backward_in_bf16_equals_the_reference() {
    backward_equals_reference::<bf16>();
}

#[test]
fn a_cut_anywhere_gives_the_same_bits() {
    let Some(device) = testing::device() else { return };
    for size in sizes() {
        let case = Case::<bf16>::new(769, size);
        for direction in DIRECTIONS {
            let mut whole_state = case.state.clone();
            let whole = case.run(&device, direction, 0, 769, &mut whole_state);
            for cut in [1, 2, 7, 256, 767, 768] {
                let mut state = case.state.clone();
                let mut part = |from, to| case.run(&device, direction, from, to, &mut state);
                let (head, tail) = match direction {
                    Direction::Forward => (part(0, cut), part(cut, 769)),
                    Direction::Reverse => {
                        let tail = part(cut, 769);
                        (part(0, cut), tail)
                    }
                };
                let what = format!("{size:?} {direction:?} cut at {cut}");
                assert!(head == case.positions(&whole, 0, cut), "{what}");
                assert!(tail == case.positions(&whole, cut, 769), "{what}");
                assert_eq!(state, whole_state, "{what}");
            }
        }
    }
}

#[test]
fn a_gradient_goes_on_over_a_cut() {
    let Some(device) = testing::device() else { return };
    for (len, cut) in [(3, 1), (4, 2), (40, 2), (40, 38), (769, 256), (769, 300)] {
        let case = Case::<f32>::new(len, (17, 4, true));
        for direction in DIRECTIONS {
            let what = format!("L {len} cut at {cut} {direction:?}");
            let whole = case.whole(&device, direction, Write::Set);
            let (first, last) = match direction {
                Direction::Forward => ((0, cut), (cut, len)),
                Direction::Reverse => ((cut, len), (0, cut)),
            };
            let mut border = case.state.clone();
            case.run(&device, direction, first.0, first.1, &mut border);
            let late = case.backward(&device, direction, last, &border, Write::Set, case.start());
            let late_d_x = late.d_x.clone();
            let early = case.backward(&device, direction, first, &case.state, Write::Set, late);
            let expect = |(from, to)| widen(&case.positions(&whole.d_x, from, to));
            assert_close(&what, &early.d_x, &expect(first), 2e-6);
            assert_close(&what, &late_d_x, &expect(last), 2e-6);
            assert_close(&what, &early.d_weight, &wide(&whole.d_weight), 2e-6);
            assert_close(&what, &early.d_bias.unwrap(), &wide(&whole.d_bias.unwrap()), 2e-6);
            assert_close(&what, &early.d_state, &wide(&whole.d_state), 2e-6);
        }
    }
}

#[test]
fn two_runs_are_the_same_bits() {
    let Some(device) = testing::device() else { return };
    let case = Case::<bf16>::new(20_000, (100, 4, true));
    for direction in DIRECTIONS {
        let run = || case.run(&device, direction, 0, 20_000, &mut case.state.clone());
        assert!(run() == run());
        assert!(case.whole(&device, direction, Write::Add) == case.whole(&device, direction, Write::Add));
    }
}

#[test]
fn a_nan_reaches_what_its_taps_reach() {
    let Some(device) = testing::device() else { return };
    let (len, channels) = (9, 17);
    for (direction, reached) in DIRECTIONS.into_iter().zip([3..7, 0..4]) {
        let mut case = Case::<f32>::new(len, (channels, 4, true));
        case.x[3 * channels + 16] = f32::NAN;
        let found = nans(&case.run(&device, direction, 0, len, &mut case.state.clone()));
        assert_eq!(found, reached.map(|t| t * channels + 16).collect::<Vec<_>>(), "{direction:?}");
        let mut case = Case::<f32>::new(len, (channels, 4, true));
        case.x[4 * channels + 16] = f32::NAN;
        let got = case.whole(&device, direction, Write::Set);
        assert_eq!(nans(&got.d_x), (1..8).map(|t| t * channels + 16).collect::<Vec<_>>(), "{direction:?}");
        assert_eq!(nans(&got.d_weight), (0..4).map(|k| k * channels + 16).collect::<Vec<_>>());
        assert_eq!((nans(&got.d_bias.unwrap()), nans(&got.d_state)), (vec![16], vec![]));
    }
}
