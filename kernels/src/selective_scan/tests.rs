use super::{Inputs, Output, Params, cpu, reference};
use crate::{
    Direction, Rows, RowsMut, Write,
    simd::Level,
    testing::{LENGTHS, Random, assert_close, nans, widen},
};

/// `(channels, states, gated)`
const SIZES: &[(usize, usize, bool)] =
    &[(1, 1, false), (5, 3, true), (16, 16, true), (17, 8, true), (100, 16, false), (33, 23, true), (48, 64, true)];
const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Reverse];

mod backward;
#[cfg(feature = "cuda")]
mod cuda;

#[derive(Clone)]
struct Case<S> {
    channels: usize,
    states: usize,
    gated: bool,
    u: Vec<S>,
    delta: Vec<S>,
    /// B and C side by side with a column before them, as they come out of a projection.
    bc: Vec<S>,
    z: Vec<S>,
    a: Vec<S>,
    d: Vec<S>,
    bias: Vec<S>,
    state: Vec<S>,
    y: Vec<S>,
}

fn case(len: usize, (channels, states, gated): (usize, usize, bool)) -> Case<f32> {
    let mut random = Random::new((len * 1000 + channels * 10 + states) as u64);
    Case {
        channels,
        states,
        gated,
        u: random.vector(len * channels, -2.0, 2.0),
        delta: random.vector(len * channels, -6.0, 2.0),
        bc: random.vector(len * (1 + 2 * states), -1.0, 1.0),
        z: random.vector(len * channels, -3.0, 3.0),
        a: random.vector(states * channels, -16.0, -0.1),
        d: random.vector(channels, -1.0, 1.0),
        bias: random.vector(channels, -1.0, 1.0),
        state: random.vector(states * channels, -1.0, 1.0),
        y: random.vector(len * channels, -1.0, 1.0),
    }
}

fn widen_case(case: &Case<f32>) -> Case<f64> {
    Case {
        channels: case.channels,
        states: case.states,
        gated: case.gated,
        u: widen(&case.u),
        delta: widen(&case.delta),
        bc: widen(&case.bc),
        z: widen(&case.z),
        a: widen(&case.a),
        d: widen(&case.d),
        bias: widen(&case.bias),
        state: widen(&case.state),
        y: widen(&case.y),
    }
}

impl<S: Copy> Case<S> {
    fn params(&self) -> Params<'_, S> {
        Params { a: &self.a, d: &self.d, delta_bias: &self.bias }
    }

    fn inputs(&self, from: usize, to: usize) -> Inputs<'_, S> {
        let (d, stride) = (self.channels, 1 + 2 * self.states);
        Inputs {
            u: Rows::new(&self.u[from * d..to * d], d),
            delta: Rows::new(&self.delta[from * d..to * d], d),
            b: Rows::columns(&self.bc[from * stride..to * stride], stride, 1, self.states),
        }
    }

    fn output<'a>(&'a self, from: usize, to: usize, y: &'a mut [S], write: Write) -> Output<'a, S> {
        let (d, stride) = (self.channels, 1 + 2 * self.states);
        Output {
            c: Rows::columns(&self.bc[from * stride..to * stride], stride, 1 + self.states, self.states),
            z: self.gated.then(|| Rows::new(&self.z[from * d..to * d], d)),
            y: RowsMut::new(y, d),
            write,
        }
    }
}

/// Runs rows `from..to` from `state`.
fn run(level: Level, case: &Case<f32>, direction: Direction, from: usize, to: usize, state: &mut [f32]) -> Vec<f32> {
    let mut y = case.y[from * case.channels..to * case.channels].to_vec();
    let output = case.output(from, to, &mut y, Write::Add);
    cpu::forward(level, &case.params(), direction, &case.inputs(from, to), state, Some(output));
    y
}

#[test]
fn cpu_equals_reference() {
    for &size in SIZES {
        for &len in LENGTHS {
            let case = case(len, size);
            let wide = widen_case(&case);
            for direction in DIRECTIONS {
                for write in [Write::Set, Write::Add] {
                    let (mut expected, mut expected_state) = (wide.y.clone(), wide.state.clone());
                    let output = wide.output(0, len, &mut expected, write);
                    reference::forward(
                        &wide.params(),
                        direction,
                        &wide.inputs(0, len),
                        &mut expected_state,
                        Some(output),
                    );
                    for level in Level::available() {
                        let (mut y, mut state) = (case.y.clone(), case.state.clone());
                        let output = case.output(0, len, &mut y, write);
                        cpu::forward(level, &case.params(), direction, &case.inputs(0, len), &mut state, Some(output));
                        let what = format!("{level} {size:?} L {len} {direction:?} {write:?}");
                        assert_close(&what, &y, &expected, 2e-6);
                        assert_close(&what, &state, &expected_state, 2e-6);
                    }
                }
            }
        }
    }
}

#[test]
fn a_cut_anywhere_gives_the_same_bits() {
    for &size in SIZES {
        let case = case(769, size);
        for level in Level::available() {
            for cut in [1, 7, 63, 64, 256, 257, 768] {
                let mut whole_state = case.state.clone();
                let whole = run(level, &case, Direction::Forward, 0, 769, &mut whole_state);
                let mut state = case.state.clone();
                let mut parts = run(level, &case, Direction::Forward, 0, cut, &mut state);
                parts.extend(run(level, &case, Direction::Forward, cut, 769, &mut state));
                assert_eq!((whole, whole_state), (parts, state), "forward, cut at {cut}");

                let mut whole_state = case.state.clone();
                let whole = run(level, &case, Direction::Reverse, 0, 769, &mut whole_state);
                let mut state = case.state.clone();
                let tail = run(level, &case, Direction::Reverse, cut, 769, &mut state);
                let mut parts = run(level, &case, Direction::Reverse, 0, cut, &mut state);
                parts.extend(tail);
                assert_eq!((whole, whole_state), (parts, state), "reverse, cut at {cut}");
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let case = case(1500, (100, 16, true));
    for level in Level::available() {
        for direction in DIRECTIONS {
            let with = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut state = case.state.clone();
                let y = pool.install(|| run(level, &case, direction, 0, 1500, &mut state));
                (y, state)
            };
            assert_eq!(with(1), with(3));
            assert_eq!(with(1), with(1));
        }
    }
}

#[test]
fn advancing_without_an_output_leaves_the_same_state() {
    let case = case(333, (100, 16, true));
    for level in Level::available() {
        for direction in DIRECTIONS {
            let (mut state, mut advanced) = (case.state.clone(), case.state.clone());
            run(level, &case, direction, 0, 333, &mut state);
            cpu::forward(level, &case.params(), direction, &case.inputs(0, 333), &mut advanced, None);
            assert_eq!(state, advanced);
        }
    }
}

#[test]
fn a_position_acts_on_those_after_it_alone() {
    let mut case = case(100, (17, 8, true));
    for level in Level::available() {
        for direction in DIRECTIONS {
            let before = run(level, &case, direction, 0, 100, &mut case.state.clone());
            case.u[50 * 17 + 3] += 1.0;
            let after = run(level, &case, direction, 0, 100, &mut case.state.clone());
            let touched: Vec<_> = (0..100).filter(|t| before[t * 17..][..17] != after[t * 17..][..17]).collect();
            assert!(touched.contains(&50));
            match direction {
                Direction::Forward => assert!(touched.iter().all(|&t| t >= 50)),
                Direction::Reverse => assert!(touched.iter().all(|&t| t <= 50)),
            }
        }
    }
}

/// Where a NaN in one buffer shows up in y and in the final state.
fn reach(level: Level, direction: Direction, spoil: impl Fn(&mut Case<f32>)) -> (Vec<usize>, Vec<usize>) {
    let mut case = case(70, (17, 9, true));
    spoil(&mut case);
    let mut state = case.state.clone();
    let y = run(level, &case, direction, 0, 70, &mut state);
    (nans(&y), nans(&state))
}

#[test]
fn a_nan_reaches_all_that_follows_in_its_channel() {
    let (len, width, states, stride) = (70, 17, 9, 19);
    let (t, d, n) = (66, 16, 8);
    let rows = |direction| if direction == Direction::Forward { t..len } else { 0..t + 1 };
    let channel = |rows: std::ops::Range<usize>| rows.map(|t| t * width + d).collect::<Vec<_>>();
    let everything = |rows: std::ops::Range<usize>| (rows.start * width..rows.end * width).collect::<Vec<_>>();
    for level in Level::available() {
        for direction in DIRECTIONS {
            let of = |spoil: &dyn Fn(&mut Case<f32>)| reach(level, direction, spoil);
            let after = rows(direction);
            assert_eq!(of(&|case| case.u[t * width + d] = f32::NAN), (channel(after.clone()), channel(0..states)));
            assert_eq!(of(&|case| case.delta[t * width + d] = f32::NAN), (channel(after.clone()), channel(0..states)));
            let row_of_states = (n * width..(n + 1) * width).collect::<Vec<_>>();
            assert_eq!(of(&|case| case.bc[t * stride + 1 + n] = f32::NAN), (everything(after), row_of_states));
            assert_eq!(of(&|case| case.bc[t * stride + 1 + states + n] = f32::NAN), (everything(t..t + 1), vec![]));
            assert_eq!(of(&|case| case.z[t * width + d] = f32::NAN), (channel(t..t + 1), vec![]));
            assert_eq!(of(&|case| case.bias[d] = f32::NAN), (channel(0..len), channel(0..states)));
            assert_eq!(of(&|case| case.a[n * width + d] = f32::NAN), (channel(0..len), vec![n * width + d]));
            assert_eq!(of(&|case| case.state[n * width + d] = f32::NAN), (channel(0..len), vec![n * width + d]));
        }
    }
}

#[test]
fn an_infinite_rate_forgets_at_once() {
    let mut case = case(70, (17, 9, false));
    case.a.fill(f32::NEG_INFINITY);
    // Steps that are zero in f32 forget nothing, whatever the rate.
    case.delta[20 * 17..].fill(-200.0);
    let mut wide = widen_case(&case);
    wide.a.fill(-1e300);
    let (mut expected, mut expected_state) = (wide.y.clone(), wide.state.clone());
    wide.delta[20 * 17..].fill(-2000.0);
    let output = wide.output(0, 70, &mut expected, Write::Set);
    reference::forward(&wide.params(), Direction::Forward, &wide.inputs(0, 70), &mut expected_state, Some(output));
    for level in Level::available() {
        let (mut y, mut state) = (case.y.clone(), case.state.clone());
        let output = case.output(0, 70, &mut y, Write::Set);
        cpu::forward(level, &case.params(), Direction::Forward, &case.inputs(0, 70), &mut state, Some(output));
        assert_close(&format!("{level} y"), &y, &expected, 2e-6);
        assert_close(&format!("{level} state"), &state, &expected_state, 2e-6);
    }
}
