use half::bf16;

use super::{super::GradInputs as ReferenceGradInputs, DIRECTIONS};
use crate::{
    Direction, GradRows, Rows, RowsMut, Write,
    cuda::{
        Device, Real, testing,
        testing::{Timed, held, tolerance, widen},
    },
    selective_scan::{self, cuda, reference},
    testing::{Random, assert_close, assert_sums_close, nans},
};

const BATCH: usize = 2;

/// `(channels, states)`: fewer channels than a warp has, no multiple of them, more than a block of backward has at a time.
const SIZES: &[(usize, usize)] = &[(1, 1), (5, 3), (16, 16), (30, 8), (100, 16), (9, 23), (4, 48)];

/// Those around a vector, a lane's stretch, a tile, the tiles of a block, and a few of these.
const LENGTHS: &[usize] = &[1, 2, 7, 8, 15, 16, 17, 33, 127, 128, 129, 511, 513, 2047, 2049, 4100];

#[derive(Clone)]
struct Case<T> {
    channels: usize,
    states: usize,
    /// `[B, L, D]`, as are delta, z and y.
    u: Vec<T>,
    delta: Vec<T>,
    z: Vec<T>,
    y: Vec<T>,
    /// `[B, L, N]`
    b: Vec<T>,
    c: Vec<T>,
    a: Vec<f32>,
    d: Vec<f32>,
    bias: Vec<f32>,
    /// `[B, N, D]`
    state: Vec<f32>,
}

/// What backward leaves, and begins with: of activations and of parameters.
#[derive(Clone, Debug, PartialEq)]
struct Gradients<T, P = f32> {
    d_u: Vec<T>,
    d_delta: Vec<T>,
    d_b: Vec<T>,
    d_c: Vec<T>,
    d_a: Vec<P>,
    d_d: Vec<P>,
    d_bias: Vec<P>,
    d_state: Vec<P>,
}

impl<T: Real> Case<T> {
    fn new(len: usize, (channels, states): (usize, usize)) -> Self {
        let mut random = Random::new((len * 1000 + channels * 10 + states) as u64);
        let (wide, narrow) = (BATCH * len * channels, BATCH * len * states);
        let mut activations = |len, from, to| held(&random.vector(len, from, to));
        let [u, delta, z, y] =
            [(-2.0, 2.0), (-6.0, 2.0), (-3.0, 3.0), (-1.0, 1.0)].map(|(from, to)| activations(wide, from, to));
        let [b, c] = [(); 2].map(|()| activations(narrow, -1.0, 1.0));
        let a = random.vector(states * channels, -16.0, -0.1);
        let [d, bias] = [(); 2].map(|()| random.vector(channels, -1.0, 1.0));
        let state = random.vector(BATCH * states * channels, -1.0, 1.0);
        Self { channels, states, u, delta, z, y, b, c, a, d, bias, state }
    }

    fn len(&self) -> usize {
        self.u.len() / (BATCH * self.channels)
    }

    /// Positions `from..to` of every sequence, of rows of `width`.
    fn positions<S: Copy>(&self, x: &[S], width: usize, from: usize, to: usize) -> Vec<S> {
        x.chunks(self.len() * width).flat_map(|x| &x[from * width..to * width]).copied().collect()
    }

    /// y of positions `from..to`, added to what was there, and the borders of tiles. The state is taken on.
    fn run(
        &self,
        device: &Device,
        direction: Direction,
        (from, to): (usize, usize),
        gated: bool,
        state: &mut Vec<f32>,
    ) -> (Vec<T>, Vec<f32>) {
        let upload = |x: &[T], width| Timed::upload(device, &self.positions(x, width, from, to), BATCH, width);
        let [u, delta, z] = [&self.u, &self.delta, &self.z].map(|x| upload(x, self.channels));
        let [b, c] = [&self.b, &self.c].map(|x| upload(x, self.states));
        let mut y = upload(&self.y, self.channels);
        let [a, d, bias] = [&self.a, &self.d, &self.bias].map(|x| device.upload(x).unwrap());
        let params = cuda::Params { a: a.view(), d: d.view(), delta_bias: bias.view() };
        let inputs = cuda::Inputs { u: u.rows(), delta: delta.rows(), b: b.rows() };
        let mut borders = device.zeros::<f32>(cuda::borders_len(BATCH, to - from, self.states, self.channels)).unwrap();
        let mut on_device = device.upload(state).unwrap();
        let output = cuda::Output { c: c.rows(), z: gated.then(|| z.rows()), y: y.rows_mut(), write: Write::Add };
        let (state_view, borders_view) = (on_device.view_mut(), Some(borders.view_mut()));
        cuda::forward(&params, direction, &inputs, state_view, Some(output), borders_view).unwrap();
        *state = on_device.view().to_vec().unwrap();
        (y.download(), borders.view().to_vec().unwrap())
    }

    /// Gradients of positions `from..to` whose q has `y` as its own.
    fn backward(
        &self,
        device: &Device,
        direction: Direction,
        (from, to): (usize, usize),
        borders: &[f32],
        write: Write,
        start: &Gradients<T>,
    ) -> Gradients<T> {
        let upload = |x: &[T], width| Timed::upload(device, &self.positions(x, width, from, to), BATCH, width);
        let [u, delta, d_q] = [&self.u, &self.delta, &self.y].map(|x| upload(x, self.channels));
        let [b, c] = [&self.b, &self.c].map(|x| upload(x, self.states));
        let [mut d_u, mut d_delta] = [&start.d_u, &start.d_delta].map(|x| upload(x, self.channels));
        let [mut d_b, mut d_c] = [&start.d_b, &start.d_c].map(|x| upload(x, self.states));
        let [a, d, bias, borders] = [&self.a[..], &self.d, &self.bias, borders].map(|x| device.upload(x).unwrap());
        let [mut d_a, mut d_d, mut d_bias, mut d_state] =
            [&start.d_a, &start.d_d, &start.d_bias, &start.d_state].map(|x| device.upload(x).unwrap());
        let params = cuda::Params { a: a.view(), d: d.view(), delta_bias: bias.view() };
        let inputs = cuda::Inputs { u: u.rows(), delta: delta.rows(), b: b.rows() };
        let readout = cuda::Readout { c: c.rows(), d_q: d_q.rows() };
        let d_inputs = cuda::GradInputs {
            d_u: (d_u.rows_mut(), write),
            d_delta: (d_delta.rows_mut(), write),
            d_b: (d_b.rows_mut(), write),
            d_c: (d_c.rows_mut(), write),
        };
        let d_params = cuda::GradParams { d_a: d_a.view_mut(), d_d: d_d.view_mut(), d_delta_bias: d_bias.view_mut() };
        let (borders, d_state_view) = (borders.view(), d_state.view_mut());
        cuda::backward(&params, direction, &inputs, borders, &readout, d_state_view, d_inputs, d_params).unwrap();
        let [d_a, d_d, d_bias, d_state] = [d_a, d_d, d_bias, d_state].map(|x| x.view().to_vec().unwrap());
        let [d_u, d_delta, d_b, d_c] = [d_u, d_delta, d_b, d_c].map(|x| x.download());
        Gradients { d_u, d_delta, d_b, d_c, d_a, d_d, d_bias, d_state }
    }

    fn start(&self) -> Gradients<T> {
        let mut random = Random::new(self.len() as u64);
        let mut vector = |len| random.vector(len, -1.0, 1.0);
        let [d_u, d_delta] = [(); 2].map(|()| held(&vector(self.u.len())));
        let [d_b, d_c] = [(); 2].map(|()| held(&vector(self.b.len())));
        let [d_d, d_bias] = [(); 2].map(|()| vector(self.channels));
        Gradients { d_u, d_delta, d_b, d_c, d_a: vector(self.a.len()), d_d, d_bias, d_state: vector(self.state.len()) }
    }

    /// y and the final states in f64, and the gradients if there is what they begin with.
    fn reference(
        &self,
        direction: Direction,
        gated: bool,
        write: Write,
        start: Option<&Gradients<T>>,
    ) -> (Vec<f64>, Vec<f64>, Option<Gradients<f64, f64>>) {
        let wide = |x: &[f32]| crate::testing::widen(x);
        let (a, d, bias) = (wide(&self.a), wide(&self.d), wide(&self.bias));
        let params = selective_scan::Params { a: &a, d: &d, delta_bias: &bias };
        let [u, delta, z, b, c] = [&self.u, &self.delta, &self.z, &self.b, &self.c].map(|x| widen(x));
        let (mut y, mut state, d_q) = (widen(&self.y), wide(&self.state), widen(&self.y));
        let mut grads = start.map(|start| Gradients {
            d_u: widen(&start.d_u),
            d_delta: widen(&start.d_delta),
            d_b: widen(&start.d_b),
            d_c: widen(&start.d_c),
            d_a: wide(&start.d_a),
            d_d: wide(&start.d_d),
            d_bias: wide(&start.d_bias),
            d_state: wide(&start.d_state),
        });
        let (size, narrow, of_state) =
            (self.len() * self.channels, self.len() * self.states, self.states * self.channels);
        for i in 0..BATCH {
            let (wide_part, thin_part) = (i * size..(i + 1) * size, i * narrow..(i + 1) * narrow);
            let [own_u, own_delta, own_z, own_d_q] =
                [&u, &delta, &z, &d_q].map(|x| Rows::new(&x[wide_part.clone()], self.channels));
            let [own_b, own_c] = [&b, &c].map(|x| Rows::new(&x[thin_part.clone()], self.states));
            let inputs = selective_scan::Inputs { u: own_u, delta: own_delta, b: own_b };
            let own_state = &mut state[i * of_state..][..of_state];
            if let Some(grads) = &mut grads {
                let readout = selective_scan::Readout { c: own_c, z: None, d_y: own_d_q };
                let Gradients { d_u, d_delta, d_b, d_c, d_a, d_d, d_bias, d_state } = grads;
                let d_inputs = ReferenceGradInputs {
                    d_u: GradRows { rows: RowsMut::new(&mut d_u[i * size..][..size], self.channels), write },
                    d_delta: GradRows { rows: RowsMut::new(&mut d_delta[i * size..][..size], self.channels), write },
                    d_b: GradRows { rows: RowsMut::new(&mut d_b[i * narrow..][..narrow], self.states), write },
                    d_c: Some(GradRows { rows: RowsMut::new(&mut d_c[i * narrow..][..narrow], self.states), write }),
                    d_z: None,
                };
                let mut d_params = selective_scan::GradParams { d_a, d_d, d_delta_bias: d_bias };
                let d_state = &mut d_state[i * of_state..][..of_state];
                reference::backward(
                    &params,
                    direction,
                    &inputs,
                    own_state,
                    Some(&readout),
                    d_state,
                    d_inputs,
                    &mut d_params,
                );
            }
            let output = selective_scan::Output {
                c: own_c,
                z: gated.then_some(own_z),
                y: RowsMut::new(&mut y[i * size..][..size], self.channels),
                write: Write::Add,
            };
            reference::forward(&params, direction, &inputs, own_state, Some(output));
        }
        (y, state, grads)
    }
}

fn forward_equals_reference<T: Real>() {
    let Some(device) = testing::device() else { return };
    for &size in SIZES {
        for &len in LENGTHS {
            let case = Case::<T>::new(len, size);
            for direction in DIRECTIONS {
                for gated in [false, true] {
                    let what = format!("{} {size:?} L {len} {direction:?} gated {gated}", T::NAME);
                    let (expected, expected_state, _) = case.reference(direction, gated, Write::Set, None);
                    let mut state = case.state.clone();
                    let (y, _) = case.run(&device, direction, (0, len), gated, &mut state);
                    assert_close(&what, &widen(&y), &expected, tolerance::<T>(4e-6));
                    assert_close(&format!("{what}, state"), &state, &expected_state, 4e-6);
                }
            }
        }
    }
}

fn backward_equals_reference<T: Real>() {
    let Some(device) = testing::device() else { return };
    for &size in SIZES {
        for &len in LENGTHS {
            let case = Case::<T>::new(len, size);
            let start = case.start();
            for direction in DIRECTIONS {
                for write in [Write::Set, Write::Add] {
                    let what = |name| format!("{} {size:?} L {len} {direction:?} {write:?}, {name}", T::NAME);
                    let expected = case.reference(direction, false, write, Some(&start)).2.unwrap();
                    let (_, borders) = case.run(&device, direction, (0, len), false, &mut case.state.clone());
                    let got = case.backward(&device, direction, (0, len), &borders, write, &start);
                    let rounded = tolerance::<T>(1e-5);
                    assert_close(&what("u"), &widen(&got.d_u), &expected.d_u, rounded);
                    assert_close(&what("delta"), &widen(&got.d_delta), &expected.d_delta, rounded);
                    assert_close(&what("b"), &widen(&got.d_b), &expected.d_b, rounded);
                    assert_close(&what("c"), &widen(&got.d_c), &expected.d_c, rounded);
                    assert_sums_close(&what("a"), &got.d_a, &expected.d_a, BATCH * len, 1e-5);
                    assert_sums_close(&what("d"), &got.d_d, &expected.d_d, BATCH * len, 1e-5);
                    assert_sums_close(&what("bias"), &got.d_bias, &expected.d_bias, BATCH * len, 1e-5);
                    assert_sums_close(&what("state"), &got.d_state, &expected.d_state, 1, 1e-5);
                }
            }
        }
    }
}

#[test]
fn forward_equals_reference_in_f32() {
    forward_equals_reference::<f32>();
}

#[test]
fn forward_equals_reference_in_bf16() {
    forward_equals_reference::<bf16>();
}

#[test]
fn backward_equals_reference_in_f32() {
    backward_equals_reference::<f32>();
}

#[test]
fn backward_equals_reference_in_bf16() {
    backward_equals_reference::<bf16>();
}

#[test]
fn a_cut_between_tiles_gives_the_same_bits() {
    let Some(device) = testing::device() else { return };
    let len = 4100;
    let case = Case::<f32>::new(len, (30, 16));
    for direction in DIRECTIONS {
        for cut in [128, 256, 2048, 3968] {
            let mut whole_state = case.state.clone();
            let (whole, _) = case.run(&device, direction, (0, len), true, &mut whole_state);
            let parts = match direction {
                Direction::Forward => [(0, cut), (cut, len)],
                Direction::Reverse => [(cut, len), (0, cut)],
            };
            let mut state = case.state.clone();
            for (from, to) in parts {
                let (part, _) = case.run(&device, direction, (from, to), true, &mut state);
                assert!(part == case.positions(&whole, 30, from, to), "{direction:?}, cut at {cut}, {from}..{to}");
            }
            assert_eq!(state, whole_state, "{direction:?}, cut at {cut}");
        }
    }
}

#[test]
fn two_runs_give_the_same_bits() {
    let Some(device) = testing::device() else { return };
    let case = Case::<bf16>::new(4100, (100, 16));
    for direction in DIRECTIONS {
        let run = || {
            let mut state = case.state.clone();
            let (y, borders) = case.run(&device, direction, (0, 4100), true, &mut state);
            let grads = case.backward(&device, direction, (0, 4100), &borders, Write::Add, &case.start());
            (y, state, borders, grads)
        };
        let first = run();
        for _ in 0..3 {
            assert!(run() == first, "{direction:?}");
        }
    }
}

#[test]
fn a_position_acts_on_those_after_it_alone() {
    let Some(device) = testing::device() else { return };
    let mut case = Case::<f32>::new(700, (9, 4));
    for direction in DIRECTIONS {
        let before = case.run(&device, direction, (0, 700), true, &mut case.state.clone()).0;
        case.u[300 * 9 + 3] += 1.0;
        let after = case.run(&device, direction, (0, 700), true, &mut case.state.clone()).0;
        let touched: Vec<_> = (0..1400).filter(|t| before[t * 9..][..9] != after[t * 9..][..9]).collect();
        assert!(touched.contains(&300));
        match direction {
            Direction::Forward => assert!(touched.iter().all(|t| (300..700).contains(t))),
            Direction::Reverse => assert!(touched.iter().all(|t| (0..=300).contains(t))),
        }
    }
}

#[test]
fn a_nan_stays_in_what_depends_on_it() {
    let Some(device) = testing::device() else { return };
    let mut case = Case::<f32>::new(300, (6, 3));
    case.u[200 * 6 + 1] = f32::NAN;
    let mut state = case.state.clone();
    let (y, _) = case.run(&device, Direction::Forward, (0, 300), true, &mut state);
    assert_eq!(nans(&y), (200..300).map(|t| t * 6 + 1).collect::<Vec<_>>());
    assert_eq!(nans(&state), (0..3).map(|n| n * 6 + 1).collect::<Vec<_>>());
}
