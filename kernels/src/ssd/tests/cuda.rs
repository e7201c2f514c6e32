use half::bf16;

use super::{DIRECTIONS, FREE, Size};
use crate::{
    Direction, GradRows, Rows, RowsMut, Write,
    cuda::{
        Device, Real, testing,
        testing::{Timed, held, widen},
    },
    ssd::{self, GradInputs, GradParams, cuda, reference},
    testing::{Random, assert_close, assert_sums_close, nans},
};

/// Sizes and a batch: tiles that are full, that are not, several of them a head and a state, and all counts of their rows.
const CASES: &[(usize, Size)] = &[
    (1, Size(2, 64, 128, 1, FREE)),
    (3, Size(2, 32, 64, 1, (0.05, 0.4))),
    (3, Size(4, 8, 16, 2, FREE)),
    (1, Size(3, 40, 24, 3, (0.0, 0.5))),
    (1, Size(2, 128, 72, 2, FREE)),
    (1, Size(2, 96, 136, 1, FREE)),
];

/// Those around a chunk and a segment, and a few segments.
const LENGTHS: &[usize] = &[1, 63, 64, 65, 127, 128, 129, 257, 1000];

/// A call's arguments. Activations are `[B, L, width]` and get to the device as `[B, width, L]`.
#[derive(Clone)]
struct Case<T> {
    batch: usize,
    len: usize,
    size: Size,
    x: Vec<T>,
    dt: Vec<T>,
    b: Vec<T>,
    c: Vec<T>,
    /// What y holds before.
    y: Vec<T>,
    d_y: Vec<T>,
    a: Vec<f32>,
    d: Vec<f32>,
    dt_bias: Vec<f32>,
    /// `[B, H, N, P]`
    state: Vec<f32>,
}

/// What backward leaves, and begins with: of activations, and of the others.
#[derive(Clone, Debug, PartialEq)]
struct Gradients<T, P = f32> {
    x: Vec<T>,
    dt: Vec<T>,
    b: Vec<T>,
    c: Vec<T>,
    a: Vec<P>,
    d: Vec<P>,
    dt_bias: Vec<P>,
    state: Vec<P>,
}

/// How far a result may be from the truth, relative to the largest magnitude: in bf16 the operands of every product are
/// rounded, and what is left is rounded again.
fn tolerance<T: Real>() -> f64 {
    if size_of::<T>() == 2 { 1e-2 } else { 1e-5 }
}

impl<T: Real> Case<T> {
    fn new(len: usize, (batch, size): (usize, Size)) -> Self {
        let Size(heads, head_dim, states, groups, _) = size;
        let mut random = Random::new((len * 1000 + batch * 100 + heads * head_dim + states) as u64);
        let mut activations = |width, from, to| held(&random.vector(batch * len * width, from, to));
        let (wide, narrow) = (heads * head_dim, groups * states);
        let x = activations(wide, -1.0, 1.0);
        let dt = activations(heads, -4.0, 2.0);
        let [b, c] = [(); 2].map(|()| activations(narrow, -1.0, 1.0));
        let [y, d_y] = [(); 2].map(|()| activations(wide, -1.0, 1.0));
        let a = random.vector(heads, -4.0, -0.01);
        let d = random.vector(heads, -1.0, 1.0);
        let dt_bias = random.vector(heads, -2.0, 0.5);
        let state = random.vector(batch * heads * states * head_dim, -1.0, 1.0);
        Self { batch, len, size, x, dt, b, c, y, d_y, a, d, dt_bias, state }
    }

    /// What the gradients hold before, and that of the final state.
    fn start(&self) -> Gradients<T> {
        let mut random = Random::new(self.len as u64 + 77);
        let mut vector = |len| random.vector(len, -1.0, 1.0);
        let [x, dt, b, c] = [&self.x, &self.dt, &self.b, &self.c].map(|x| held(&vector(x.len())));
        let [a, d, dt_bias] = [(); 3].map(|()| vector(self.a.len()));
        Gradients { x, dt, b, c, a, d, dt_bias, state: vector(self.state.len()) }
    }

    /// Columns of x, dt, and of b.
    fn widths(&self) -> [usize; 3] {
        let Size(heads, head_dim, states, groups, _) = self.size;
        [heads * head_dim, heads, groups * states]
    }

    /// Positions `from..to` of every sequence, of rows of `width`.
    fn positions<S: Copy>(&self, x: &[S], width: usize, from: usize, to: usize) -> Vec<S> {
        (0..self.batch).flat_map(|i| &x[(i * self.len + from) * width..(i * self.len + to) * width]).copied().collect()
    }

    fn upload(&self, device: &Device, x: &[T], width: usize, (from, to): (usize, usize)) -> Timed<T> {
        Timed::upload(device, &self.positions(x, width, from, to), self.batch, width)
    }

    /// y of positions `from..to`, set or added to what was there. The state is taken on.
    fn run(
        &self,
        device: &Device,
        direction: Direction,
        part: (usize, usize),
        write: Option<Write>,
        state: &mut Vec<f32>,
    ) -> Vec<T> {
        let [wide, heads, narrow] = self.widths();
        let upload = |x: &[T], width| self.upload(device, x, width, part);
        let [x, dt, b, c] =
            [(&self.x, wide), (&self.dt, heads), (&self.b, narrow), (&self.c, narrow)].map(|(x, w)| upload(x, w));
        let mut y = upload(&self.y, wide);
        let [a, d, dt_bias] = [&self.a, &self.d, &self.dt_bias].map(|x| device.upload(x).unwrap());
        let params = self.params([a.view(), d.view(), dt_bias.view()]);
        let inputs = cuda::Inputs { x: x.rows(), dt: dt.rows(), b: b.rows(), c: c.rows() };
        let mut on_device = device.upload(state).unwrap();
        let output = write.map(|write| cuda::Output { y: y.rows_mut(), write });
        cuda::forward(&params, direction, &inputs, on_device.view_mut(), output).unwrap();
        *state = on_device.view().to_vec().unwrap();
        y.download()
    }

    fn run_all(&self, device: &Device, direction: Direction) -> (Vec<T>, Vec<f32>) {
        let mut state = self.state.clone();
        (self.run(device, direction, (0, self.len), Some(Write::Set), &mut state), state)
    }

    fn params<'a>(&self, [a, d, dt_bias]: [crate::cuda::View<'a, f32>; 3]) -> cuda::Params<'a> {
        let Size(heads, head_dim, states, groups, dt_limit) = self.size;
        cuda::Params { heads, head_dim, states, groups, a, d, dt_bias, dt_limit }
    }

    /// Gradients of positions `from..to`, which the scan enters with `state`.
    fn backward(
        &self,
        device: &Device,
        direction: Direction,
        part: (usize, usize),
        state: &[f32],
        (reads, write): (bool, Write),
        start: &Gradients<T>,
    ) -> Gradients<T> {
        let [wide, heads, narrow] = self.widths();
        let upload = |x: &[T], width| self.upload(device, x, width, part);
        let [x, dt, b, c, d_y] =
            [(&self.x, wide), (&self.dt, heads), (&self.b, narrow), (&self.c, narrow), (&self.d_y, wide)]
                .map(|(x, w)| upload(x, w));
        let [mut d_x, mut d_dt, mut d_b, mut d_c] =
            [(&start.x, wide), (&start.dt, heads), (&start.b, narrow), (&start.c, narrow)].map(|(x, w)| upload(x, w));
        let [a, d, dt_bias, state] = [&self.a[..], &self.d, &self.dt_bias, state].map(|x| device.upload(x).unwrap());
        let [mut d_a, mut d_d, mut d_dt_bias, mut d_state] =
            [&start.a, &start.d, &start.dt_bias, &start.state].map(|x| device.upload(x).unwrap());
        let params = self.params([a.view(), d.view(), dt_bias.view()]);
        let inputs = cuda::Inputs { x: x.rows(), dt: dt.rows(), b: b.rows(), c: c.rows() };
        let d_inputs = cuda::GradInputs {
            d_x: (d_x.rows_mut(), write),
            d_dt: (d_dt.rows_mut(), write),
            d_b: (d_b.rows_mut(), write),
            d_c: (d_c.rows_mut(), write),
        };
        let d_params = cuda::GradParams { d_a: d_a.view_mut(), d_d: d_d.view_mut(), d_dt_bias: d_dt_bias.view_mut() };
        let (state, d_y) = (state.view(), reads.then(|| d_y.rows()));
        cuda::backward(&params, direction, &inputs, state, d_y, d_state.view_mut(), d_inputs, d_params).unwrap();
        let [x, dt, b, c] = [d_x, d_dt, d_b, d_c].map(|x| x.download());
        let [a, d, dt_bias, state] = [d_a, d_d, d_dt_bias, d_state].map(|x| x.view().to_vec().unwrap());
        Gradients { x, dt, b, c, a, d, dt_bias, state }
    }

    fn backward_all(
        &self,
        device: &Device,
        direction: Direction,
        how: (bool, Write),
        start: &Gradients<T>,
    ) -> Gradients<T> {
        self.backward(device, direction, (0, self.len), &self.state, how, start)
    }

    /// y and the final states in f64.
    fn reference(&self, direction: Direction, write: Write) -> (Vec<f64>, Vec<f64>) {
        let (mut y, mut state) = (widen(&self.y), crate::testing::widen(&self.state));
        let [wide, ..] = self.widths();
        let (size, of_state) = (self.len * wide, state.len() / self.batch);
        self.each_sequence(|i, params, inputs| {
            let output = ssd::Output { y: RowsMut::new(&mut y[i * size..][..size], wide), write };
            reference::forward(params, direction, 0, inputs, &mut state[i * of_state..][..of_state], Some(output));
        });
        (y, state)
    }

    /// All gradients in f64.
    fn reference_backward(
        &self,
        direction: Direction,
        (reads, write): (bool, Write),
        start: &Gradients<T>,
    ) -> Gradients<f64, f64> {
        let single = |x: &[f32]| crate::testing::widen(x);
        let (state, d_y) = (single(&self.state), widen(&self.d_y));
        let mut grads = Gradients {
            x: widen(&start.x),
            dt: widen(&start.dt),
            b: widen(&start.b),
            c: widen(&start.c),
            a: single(&start.a),
            d: single(&start.d),
            dt_bias: single(&start.dt_bias),
            state: single(&start.state),
        };
        let [wide, heads, narrow] = self.widths();
        let (len, of_state) = (self.len, state.len() / self.batch);
        self.each_sequence(|i, params, inputs| {
            let Gradients { x, dt, b, c, a, d, dt_bias, state: d_state } = &mut grads;
            let [d_x, d_dt, d_b, d_c] = [(x, wide), (dt, heads), (b, narrow), (c, narrow)].map(|(x, width)| GradRows {
                rows: RowsMut::new(&mut x[i * len * width..][..len * width], width),
                write,
            });
            let d_y = reads.then(|| Rows::new(&d_y[i * len * wide..][..len * wide], wide));
            let (state, d_state) = (&state[i * of_state..][..of_state], &mut d_state[i * of_state..][..of_state]);
            let d_inputs = GradInputs { d_x, d_dt, d_b, d_c };
            let mut d_params = GradParams { d_a: a, d_d: d, d_dt_bias: dt_bias };
            reference::backward(params, direction, 0, inputs, state, d_y, d_state, d_inputs, &mut d_params);
        });
        grads
    }

    fn each_sequence(&self, mut f: impl FnMut(usize, &ssd::Params<'_, f64>, &ssd::Inputs<'_, f64>)) {
        let Size(heads, head_dim, states, groups, dt_limit) = self.size;
        let [a, d, dt_bias] = [&self.a, &self.d, &self.dt_bias].map(|x| crate::testing::widen(x));
        let params = ssd::Params { heads, head_dim, states, groups, a: &a, d: &d, dt_bias: &dt_bias, dt_limit };
        let [x, dt, b, c] = [&self.x, &self.dt, &self.b, &self.c].map(|x| widen(x));
        let [wide, heads, narrow] = self.widths();
        for i in 0..self.batch {
            let [x, dt, b, c] = [(&x, wide), (&dt, heads), (&b, narrow), (&c, narrow)]
                .map(|(x, width)| Rows::new(&x[i * self.len * width..][..self.len * width], width));
            f(i, &params, &ssd::Inputs { x, dt, b, c });
        }
    }
}

fn forward_equals_reference<T: Real>() {
    let Some(device) = testing::device() else { return };
    for &sizes in CASES {
        for &len in LENGTHS {
            let case = Case::<T>::new(len, sizes);
            for (direction, write) in DIRECTIONS.into_iter().zip([Write::Set, Write::Add]) {
                let what = format!("{} {sizes:?} L {len} {direction:?} {write:?}", T::NAME);
                let (expected, expected_state) = case.reference(direction, write);
                let mut state = case.state.clone();
                let y = case.run(&device, direction, (0, len), Some(write), &mut state);
                assert_close(&what, &widen(&y), &expected, tolerance::<T>());
                assert_close(&format!("{what}, state"), &state, &expected_state, tolerance::<T>());
            }
        }
    }
}

fn backward_equals_reference<T: Real>() {
    let Some(device) = testing::device() else { return };
    for &sizes in CASES {
        for &len in LENGTHS {
            let case = Case::<T>::new(len, sizes);
            let start = case.start();
            for (direction, write) in DIRECTIONS.into_iter().zip([Write::Add, Write::Set]) {
                let what = |name| format!("{} {sizes:?} L {len} {direction:?} {write:?}, {name}", T::NAME);
                let expected = case.reference_backward(direction, (true, write), &start);
                let got = case.backward_all(&device, direction, (true, write), &start);
                let (allowed, Size(_, head_dim, states, ..)) = (tolerance::<T>(), case.size);
                let channels = case.batch * len * head_dim;
                assert_close(&what("x"), &widen(&got.x), &expected.x, allowed);
                assert_close(&what("dt"), &widen(&got.dt), &expected.dt, allowed);
                assert_close(&what("b"), &widen(&got.b), &expected.b, allowed);
                assert_close(&what("c"), &widen(&got.c), &expected.c, allowed);
                assert_sums_close(&what("a"), &got.a, &expected.a, channels * states, allowed);
                assert_sums_close(&what("d"), &got.d, &expected.d, channels, allowed);
                assert_sums_close(&what("dt_bias"), &got.dt_bias, &expected.dt_bias, channels * states, allowed);
                assert_sums_close(&what("state"), &got.state, &expected.state, 1, allowed);
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
fn the_most_states_are_right() {
    let Some(device) = testing::device() else { return };
    let case = Case::<f32>::new(150, (1, Size(1, 8, cuda::MAX_STATES, 1, FREE)));
    for direction in DIRECTIONS {
        let (y, state) = case.run_all(&device, direction);
        let (expected, expected_state) = case.reference(direction, Write::Set);
        assert_close("y", &widen(&y), &expected, 1e-5);
        assert_close("state", &state, &expected_state, 1e-5);
    }
}

#[test]
fn without_an_output_state_and_gradients_are_those_of_the_state() {
    let Some(device) = testing::device() else { return };
    let case = Case::<f32>::new(300, CASES[1]);
    let start = case.start();
    for direction in DIRECTIONS {
        let mut state = case.state.clone();
        case.run(&device, direction, (0, 300), None, &mut state);
        assert_eq!(state, case.run_all(&device, direction).1, "{direction:?}");
        let got = case.backward_all(&device, direction, (false, Write::Set), &start);
        let expected = case.reference_backward(direction, (false, Write::Set), &start);
        assert_close("x", &widen(&got.x), &expected.x, 1e-5);
        assert_close("dt", &widen(&got.dt), &expected.dt, 1e-5);
        assert_close("b", &widen(&got.b), &expected.b, 1e-5);
        assert!(got.c.iter().all(|&x| x == 0.0), "{direction:?}");
        assert_eq!(got.d, start.d, "{direction:?}");
    }
}

/// The two parts that a cut makes, in the order of the walk.
fn parts(direction: Direction, cut: usize, len: usize) -> [(usize, usize); 2] {
    match direction {
        Direction::Forward => [(0, cut), (cut, len)],
        Direction::Reverse => [(cut, len), (0, cut)],
    }
}

#[test]
fn cuts_between_segments_change_no_bit_and_others_only_the_rounding() {
    let Some(device) = testing::device() else { return };
    let len = 1100;
    let case = Case::<f32>::new(len, CASES[0]);
    for direction in DIRECTIONS {
        let (whole, whole_state) = case.run_all(&device, direction);
        for cut in [cuda::TILE, 2 * cuda::TILE, 4 * cuda::TILE, 1, 64, 777] {
            let what = format!("{direction:?}, cut at {cut}");
            let mut state = case.state.clone();
            for (from, to) in parts(direction, cut, len) {
                let part = case.run(&device, direction, (from, to), Some(Write::Set), &mut state);
                let expected = case.positions(&whole, case.widths()[0], from, to);
                assert_close(&what, &widen(&part), &widen(&expected), 1e-5);
                assert!(!cut.is_multiple_of(cuda::TILE) || part == expected, "{what}, {from}..{to}");
            }
            assert_close(&what, &state, &widen(&whole_state), 1e-5);
            assert!(!cut.is_multiple_of(cuda::TILE) || state == whole_state, "{what}");
        }
    }
}

#[test]
fn backward_of_two_parts_is_that_of_the_whole() {
    let Some(device) = testing::device() else { return };
    let len = 700;
    let case = Case::<f32>::new(len, CASES[1]);
    let start = case.start();
    for direction in DIRECTIONS {
        let whole = case.backward_all(&device, direction, (true, Write::Set), &start);
        let [first, second] = parts(direction, cuda::TILE, len);
        let mut between = case.state.clone();
        case.run(&device, direction, first, Some(Write::Set), &mut between);
        let late = case.backward(&device, direction, second, &between, (true, Write::Set), &start);
        let begin = Gradients { a: late.a, d: late.d, dt_bias: late.dt_bias, state: late.state, ..start.clone() };
        let early = case.backward(&device, direction, first, &case.state, (true, Write::Set), &begin);
        let [wide, heads, narrow] = case.widths();
        for ((from, to), [x, dt, b, c]) in
            [(second, [&late.x, &late.dt, &late.b, &late.c]), (first, [&early.x, &early.dt, &early.b, &early.c])]
        {
            let of = |x: &[f32], width| case.positions(x, width, from, to);
            assert!(*x == of(&whole.x, wide), "{direction:?}: x, {from}..{to}");
            assert!(*dt == of(&whole.dt, heads), "{direction:?}: dt, {from}..{to}");
            assert!(*b == of(&whole.b, narrow), "{direction:?}: b, {from}..{to}");
            assert!(*c == of(&whole.c, narrow), "{direction:?}: c, {from}..{to}");
        }
        assert_eq!(early.state, whole.state, "{direction:?}");
        assert_sums_close("a", &early.a, &widen(&whole.a), len, 1e-6);
        assert_sums_close("d", &early.d, &widen(&whole.d), len, 1e-6);
        assert_sums_close("dt_bias", &early.dt_bias, &widen(&whole.dt_bias), len, 1e-6);
    }
}

#[test]
fn two_runs_give_the_same_bits() {
    let Some(device) = testing::device() else { return };
    let case = Case::<bf16>::new(1500, (2, Size(6, 64, 128, 2, FREE)));
    let start = case.start();
    for direction in DIRECTIONS {
        let run =
            || (case.run_all(&device, direction), case.backward_all(&device, direction, (true, Write::Add), &start));
        let first = run();
        for _ in 0..3 {
            assert!(run() == first, "{direction:?}");
        }
    }
}

#[test]
fn a_position_acts_on_those_after_it_alone() {
    let Some(device) = testing::device() else { return };
    let mut case = Case::<f32>::new(300, (1, CASES[1].1));
    let [wide, ..] = case.widths();
    for direction in DIRECTIONS {
        let before = case.run_all(&device, direction).0;
        case.x[150 * wide..151 * wide].iter_mut().for_each(|x| *x += 1.0);
        let after = case.run_all(&device, direction).0;
        let touched: Vec<_> = (0..300).filter(|t| before[t * wide..][..wide] != after[t * wide..][..wide]).collect();
        assert!(touched.contains(&150));
        match direction {
            Direction::Forward => assert!(touched.iter().all(|t| (150..300).contains(t)), "{touched:?}"),
            Direction::Reverse => assert!(touched.iter().all(|t| (0..=150).contains(t)), "{touched:?}"),
        }
    }
}

#[test]
fn hard_decay_over_a_whole_chunk_stays_exact() {
    let Some(device) = testing::device() else { return };
    let mut case = Case::<f32>::new(500, (1, Size(2, 16, 16, 1, FREE)));
    case.a.fill(-16.0);
    case.dt.iter_mut().for_each(|dt| *dt += 30.0 * f32::from(u8::from(*dt > 1.5)));
    let start = case.start();
    for direction in DIRECTIONS {
        let (expected, expected_state) = case.reference(direction, Write::Set);
        let (y, state) = case.run_all(&device, direction);
        assert_close("y", &widen(&y), &expected, 1e-5);
        assert_close("state", &state, &expected_state, 1e-5);
        let expected = case.reference_backward(direction, (true, Write::Set), &start);
        let got = case.backward_all(&device, direction, (true, Write::Set), &start);
        assert_close("x", &widen(&got.x), &expected.x, 1e-5);
        assert_close("dt", &widen(&got.dt), &expected.dt, 1e-5);
    }
}

#[test]
fn a_nan_reaches_all_that_follows_in_its_head() {
    let Some(device) = testing::device() else { return };
    let (len, t, head) = (150, 77, 1);
    let mut case = Case::<f32>::new(len, (1, Size(2, 16, 8, 1, (0.001, 4.0))));
    case.dt[t * 2 + head] = f32::NAN;
    for (direction, rows) in DIRECTIONS.into_iter().zip([t..len, 0..t + 1]) {
        let (y, state) = case.run_all(&device, direction);
        let found = nans(&y);
        assert!(rows.flat_map(|t| t * 32 + 16..t * 32 + 32).all(|i| found.contains(&i)), "{direction:?}: {found:?}");
        assert!(found.iter().all(|i| i / 16 % 2 == head), "{direction:?}: {found:?}");
        assert_eq!(nans(&state), (128..256).collect::<Vec<_>>(), "{direction:?}");
    }
}

#[test]
fn no_positions_leave_the_state_alone() {
    let Some(device) = testing::device() else { return };
    let case = Case::<f32>::new(0, CASES[2]);
    let start = case.start();
    for direction in DIRECTIONS {
        assert_eq!(case.run_all(&device, direction), (Vec::new(), case.state.clone()));
        assert_eq!(case.backward_all(&device, direction, (true, Write::Set), &start), start);
    }
}

#[test]
#[should_panic(expected = "expected a multiple of 8 channels a head, found 12")]
fn heads_that_break_vectors_are_refused() {
    let Some(device) = testing::device() else {
        panic!("expected a multiple of 8 channels a head, found 12 (no device)")
    };
    Case::<f32>::new(1, (1, Size(1, 12, 8, 1, FREE))).run_all(&device, Direction::Forward);
}
