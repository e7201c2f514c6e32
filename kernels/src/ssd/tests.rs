use super::{Inputs, Output, Params, cpu, reference};
use crate::{
    Direction::{self, Forward, Reverse},
    Rows, RowsMut, TILE, Write,
    backend::Scalar,
    simd::Level,
    testing::{LENGTHS, Random, assert_close, nans, widen},
};

mod backward;
#[cfg(feature = "cuda")]
mod cuda;

/// Heads, channels of a head, states, groups, and the limit of Δ.
#[derive(Clone, Copy, Debug)]
struct Size(usize, usize, usize, usize, (f64, f64));

const FREE: (f64, f64) = (0.0, f64::INFINITY);

const SIZES: &[Size] = &[
    Size(1, 1, 1, 1, FREE),
    Size(2, 3, 5, 1, (0.05, 0.4)),
    Size(2, 16, 17, 2, FREE),
    Size(6, 5, 3, 3, FREE),
    Size(2, 48, 16, 1, FREE),
    Size(1, 100, 48, 1, (0.0, 0.5)),
    Size(4, 64, 128, 1, FREE),
];

const DIRECTIONS: [Direction; 2] = [Forward, Reverse];

/// Columns around x in its buffer.
const MARGIN: usize = 3;

#[derive(Clone)]
struct Case<S> {
    size: Size,
    /// `[L, H · P + MARGIN]`, x from column 2 on
    x: Vec<S>,
    dt: Vec<S>,
    b: Vec<S>,
    c: Vec<S>,
    /// What y holds before, `[L, H · P + MARGIN]`, y from column 1 on
    y: Vec<S>,
    state: Vec<S>,
    a: Vec<S>,
    d: Vec<S>,
    dt_bias: Vec<S>,
}

fn case(len: usize, size: Size) -> Case<f32> {
    let Size(heads, head_dim, states, groups, _) = size;
    let mut random = Random::new((len * 1000 + heads * head_dim + states) as u64);
    Case {
        size,
        x: random.vector(len * (heads * head_dim + MARGIN), -1.0, 1.0),
        dt: random.vector(len * heads, -4.0, 2.0),
        b: random.vector(len * groups * states, -1.0, 1.0),
        c: random.vector(len * groups * states, -1.0, 1.0),
        y: random.vector(len * (heads * head_dim + MARGIN), -1.0, 1.0),
        state: random.vector(heads * states * head_dim, -1.0, 1.0),
        a: random.vector(heads, -4.0, -0.01),
        d: random.vector(heads, -1.0, 1.0),
        dt_bias: random.vector(heads, -2.0, 0.5),
    }
}

impl Case<f32> {
    fn widen(&self) -> Case<f64> {
        Case {
            size: self.size,
            x: widen(&self.x),
            dt: widen(&self.dt),
            b: widen(&self.b),
            c: widen(&self.c),
            y: widen(&self.y),
            state: widen(&self.state),
            a: widen(&self.a),
            d: widen(&self.d),
            dt_bias: widen(&self.dt_bias),
        }
    }

    /// The same sequence from its end to its start.
    fn reversed(&self) -> Self {
        let Size(heads, head_dim, states, groups, _) = self.size;
        let rows = |x: &[f32], width: usize| x.chunks(width).rev().flatten().copied().collect::<Vec<_>>();
        Self {
            size: self.size,
            x: rows(&self.x, heads * head_dim + MARGIN),
            dt: rows(&self.dt, heads),
            b: rows(&self.b, groups * states),
            c: rows(&self.c, groups * states),
            y: rows(&self.y, heads * head_dim + MARGIN),
            state: self.state.clone(),
            a: self.a.clone(),
            d: self.d.clone(),
            dt_bias: self.dt_bias.clone(),
        }
    }

    /// Runs rows `from..to` as if row 0 were at `start`.
    fn run(
        &self,
        level: Level,
        direction: Direction,
        start: u64,
        (from, to): (usize, usize),
        state: &mut [f32],
    ) -> Vec<f32> {
        let mut y = self.rows(&self.y, from, to).to_vec();
        let output = self.output(&mut y, Write::Set);
        let start = start + from as u64;
        cpu::forward(level, &self.params(), direction, start, &self.inputs(from, to), state, Some(output));
        y
    }

    /// Runs all rows from the case's own state; returns y and the final state.
    fn run_all(&self, level: Level, direction: Direction, start: u64) -> (Vec<f32>, Vec<f32>) {
        let mut state = self.state.clone();
        let y = self.run(level, direction, start, (0, self.dt.len() / self.size.0), &mut state);
        (y, state)
    }

    /// Runs rows up to `cut` and from there on as two calls, in the direction's order.
    fn run_in_two(&self, level: Level, direction: Direction, start: u64, cut: usize) -> (Vec<f32>, Vec<f32>) {
        let len = self.dt.len() / self.size.0;
        let mut state = self.state.clone();
        let mut run = |from, to| self.run(level, direction, start, (from, to), &mut state);
        let y = match direction {
            Forward => [run(0, cut), run(cut, len)].concat(),
            Reverse => {
                let tail = run(cut, len);
                [run(0, cut), tail].concat()
            }
        };
        (y, state)
    }
}

impl<S: Scalar> Case<S> {
    fn params(&self) -> Params<'_, S> {
        let Size(heads, head_dim, states, groups, dt_limit) = self.size;
        let (a, d, dt_bias) = (&self.a, &self.d, &self.dt_bias);
        Params { heads, head_dim, states, groups, a, d, dt_bias, dt_limit }
    }

    fn inputs(&self, from: usize, to: usize) -> Inputs<'_, S> {
        let Size(heads, head_dim, states, groups, _) = self.size;
        Inputs {
            x: Rows::columns(self.rows(&self.x, from, to), heads * head_dim + MARGIN, 2, heads * head_dim),
            dt: Rows::new(&self.dt[from * heads..to * heads], heads),
            b: Rows::new(&self.b[from * groups * states..to * groups * states], groups * states),
            c: Rows::new(&self.c[from * groups * states..to * groups * states], groups * states),
        }
    }

    fn output<'a>(&self, y: &'a mut [S], write: Write) -> Output<'a, S> {
        let width = self.size.0 * self.size.1;
        Output { y: RowsMut::columns(y, width + MARGIN, 1, width), write }
    }

    fn rows<'a>(&self, x: &'a [S], from: usize, to: usize) -> &'a [S] {
        let stride = self.size.0 * self.size.1 + MARGIN;
        &x[from * stride..to * stride]
    }
}

#[test]
fn cpu_equals_reference() {
    for &size in SIZES {
        for &len in LENGTHS {
            let case = case(len, size);
            let wide = case.widen();
            for (direction, write) in
                DIRECTIONS.into_iter().zip([Write::Set, Write::Add]).chain([(Reverse, Write::Set)])
            {
                let (mut expected, mut expected_state) = (wide.y.clone(), wide.state.clone());
                let output = wide.output(&mut expected, write);
                let inputs = wide.inputs(0, len);
                reference::forward(&wide.params(), direction, 0, &inputs, &mut expected_state, Some(output));
                for level in Level::available() {
                    let what = format!("{level} {size:?} L {len} {direction:?} {write:?}");
                    let (mut y, mut state) = (case.y.clone(), case.state.clone());
                    let output = case.output(&mut y, write);
                    cpu::forward(level, &case.params(), direction, 0, &case.inputs(0, len), &mut state, Some(output));
                    assert_close(&what, &y, &expected, 4e-6);
                    assert_close(&what, &state, &expected_state, 4e-6);
                }
            }
        }
    }
}

#[test]
fn without_an_output_the_state_is_the_same() {
    for &size in SIZES {
        let case = case(300, size);
        for level in Level::available() {
            for direction in DIRECTIONS {
                let mut state = case.state.clone();
                cpu::forward(level, &case.params(), direction, 11, &case.inputs(0, 300), &mut state, None);
                assert_eq!(state, case.run_all(level, direction, 11).1, "{level} {size:?} {direction:?}");
            }
        }
    }
}

#[test]
fn cuts_on_the_grid_change_no_bit_and_others_only_the_rounding() {
    for &size in SIZES {
        let case = case(1500, size);
        for level in Level::available() {
            for direction in DIRECTIONS {
                let (whole, whole_state) = case.run_all(level, direction, 0);
                for cut in [TILE, 2 * TILE, 5 * TILE] {
                    let (y, state) = case.run_in_two(level, direction, 0, cut);
                    assert!(y == whole && state == whole_state, "{level} {size:?} {direction:?} cut at {cut}");
                }
                for cut in [1, 7, 769, 1499] {
                    let what = format!("{level} {size:?} {direction:?} cut at {cut}");
                    let (y, state) = case.run_in_two(level, direction, 0, cut);
                    assert_close(&what, &y, &widen(&whole), 2e-6);
                    assert_close(&what, &state, &widen(&whole_state), 2e-6);
                }
            }
        }
    }
}

#[test]
fn the_grid_is_that_of_absolute_positions() {
    let case = case(700, SIZES[2]);
    let start = 3 * TILE as u64 - 100;
    for level in Level::available() {
        for direction in DIRECTIONS {
            let whole = case.run_all(level, direction, start);
            for cut in [100, 100 + TILE] {
                assert!(whole == case.run_in_two(level, direction, start, cut), "{level} {direction:?} cut at {cut}");
            }
        }
    }
}

#[test]
fn neither_runs_nor_threads_change_a_bit() {
    let case = case(769, SIZES[6]);
    for level in Level::available() {
        for direction in DIRECTIONS {
            let first = case.run_all(level, direction, 0);
            assert!(first == case.run_all(level, direction, 0), "{level}: two runs");
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let again = pool.install(|| case.run_all(level, direction, 0));
                assert!(first == again, "{level}: {threads} threads");
            }
        }
    }
}

#[test]
fn what_comes_later_changes_nothing_before() {
    for &size in SIZES {
        let (len, at) = (150, 77);
        let case = case(len, size);
        let stride = size.0 * size.1 + MARGIN;
        let mut other = self::case(len, size);
        other.x[at * stride..][..stride].fill(9.0);
        other.dt[at * size.0..][..size.0].fill(1.5);
        for level in Level::available() {
            let (y, changed) = (case.run_all(level, Forward, 0).0, other.run_all(level, Forward, 0).0);
            assert_eq!(y[..at * stride], changed[..at * stride], "{level} {size:?} forward");
            assert_ne!(y[at * stride..], changed[at * stride..], "{level} {size:?} forward");
            let (y, changed) = (case.run_all(level, Reverse, 0).0, other.run_all(level, Reverse, 0).0);
            let after = (at + 1) * stride;
            assert_eq!(y[after..], changed[after..], "{level} {size:?} reverse");
            assert_ne!(y[..after], changed[..after], "{level} {size:?} reverse");
        }
    }
}

#[test]
fn reverse_is_forward_on_the_reversed_sequence() {
    for &size in SIZES {
        for (len, tolerance) in [(2 * TILE, 0.0), (257, 2e-6)] {
            let case = case(len, size);
            for level in Level::available() {
                let what = format!("{level} {size:?} L {len}");
                let (y, state) = case.run_all(level, Reverse, 0);
                let (mirrored, expected_state) = case.reversed().run_all(level, Forward, 0);
                let stride = size.0 * size.1 + MARGIN;
                let expected: Vec<f32> = mirrored.chunks(stride).rev().flatten().copied().collect();
                assert_close(&what, &y, &widen(&expected), tolerance);
                assert_close(&what, &state, &widen(&expected_state), tolerance);
            }
        }
    }
}

#[test]
fn hard_decay_over_a_whole_block_stays_exact() {
    let size = Size(2, 16, 16, 1, FREE);
    let mut case = case(500, size);
    case.a.fill(-16.0);
    case.dt.iter_mut().for_each(|dt| *dt += 30.0 * f32::from(u8::from(*dt > 1.5)));
    let wide = case.widen();
    let (mut expected, mut expected_state) = (wide.y.clone(), wide.state.clone());
    let output = wide.output(&mut expected, Write::Set);
    reference::forward(&wide.params(), Forward, 0, &wide.inputs(0, 500), &mut expected_state, Some(output));
    for level in Level::available() {
        let (y, state) = case.run_all(level, Forward, 0);
        assert_close(&level.to_string(), &y, &expected, 4e-6);
        assert_close(&level.to_string(), &state, &expected_state, 4e-6);
    }
}

#[test]
fn the_first_step_is_the_formula() {
    let one = |x: f64| vec![x];
    let case = Case {
        size: Size(1, 1, 1, 1, (0.0, 0.5)),
        x: vec![0.0, 0.0, 3.0, 0.0],
        dt: one(25.0),
        b: one(7.0),
        c: one(11.0),
        y: vec![0.0; 4],
        state: one(2.0),
        a: one(-4.0),
        d: one(0.25),
        dt_bias: one(1.0),
    };
    let (mut y, mut state) = (case.y.clone(), case.state.clone());
    let output = case.output(&mut y, Write::Set);
    reference::forward(&case.params(), Forward, 0, &case.inputs(0, 1), &mut state, Some(output));
    let expected = 2.0 * (-2.0_f64).exp() + 0.5 * 7.0 * 3.0;
    assert_close("state", &state, &[expected], 1e-15);
    assert_close("y", &y[1..2], &[11.0 * expected + 0.75], 1e-15);
}

#[test]
fn no_rows_leave_the_state_alone() {
    let case = case(0, SIZES[1]);
    for level in Level::available() {
        for direction in DIRECTIONS {
            assert_eq!(case.run_all(level, direction, 5), (Vec::new(), case.state.clone()));
        }
    }
}

#[test]
#[should_panic(expected = "3 heads cannot be shared between 2 groups")]
fn groups_that_do_not_divide_the_heads_are_refused() {
    let case = case(1, Size(3, 2, 2, 2, FREE));
    case.run_all(Level::PORTABLE, Forward, 0);
}

#[test]
fn a_nan_reaches_all_that_follows_in_its_head() {
    let size = Size(2, 17, 5, 1, (0.001, 4.0));
    let (len, t, head) = (150, 77, 1);
    let stride = 2 * 17 + MARGIN;
    let y_of = |rows: std::ops::Range<usize>| {
        rows.flat_map(|t| t * stride + 1 + head * 17..t * stride + 1 + (head + 1) * 17).collect::<Vec<_>>()
    };
    let state_of_head = (head * 5 * 17..(head + 1) * 5 * 17).collect::<Vec<_>>();
    for level in Level::available() {
        for (direction, rows) in [(Forward, t..len), (Reverse, 0..t + 1)] {
            let mut sick = case(len, size);
            sick.dt[t * 2 + head] = f32::NAN;
            let (y, state) = sick.run_all(level, direction, 0);
            let found = nans(&y);
            assert!(y_of(rows).iter().all(|i| found.contains(i)), "{level} {direction:?}: {found:?}");
            assert!(found.iter().all(|i| y_of(0..len).contains(i)), "{level} {direction:?}: {found:?}");
            assert_eq!(nans(&state), state_of_head, "{level} {direction:?}");

            let mut sick = case(len, size);
            sick.x[t * stride + 2 + head * 17 + 16] = f32::NAN;
            let channel = (0..5).map(|n| (head * 5 + n) * 17 + 16).collect::<Vec<_>>();
            assert_eq!(nans(&sick.run_all(level, direction, 0).1), channel, "{level} {direction:?}");

            let mut sick = case(len, size);
            sick.a[head] = f32::NAN;
            let (y, state) = sick.run_all(level, direction, 0);
            assert_eq!((nans(&y), nans(&state)), (y_of(0..len), state_of_head.clone()), "{level} {direction:?}");
        }
    }
    let mut wide = case(len, size).widen();
    wide.dt[t * 2 + head] = f64::NAN;
    let (mut y, mut state) = (wide.y.clone(), wide.state.clone());
    let output = wide.output(&mut y, Write::Set);
    reference::forward(&wide.params(), Forward, 0, &wide.inputs(0, len), &mut state, Some(output));
    assert_eq!((nans(&y), nans(&state)), (y_of(t..len), state_of_head));
}

#[test]
fn a_rate_or_a_step_beyond_f32_forgets_at_once() {
    let size = Size(2, 16, 16, 1, FREE);
    let mut case = case(300, size);
    case.a = vec![f32::NEG_INFINITY, -0.01];
    for t in (5..300).step_by(20) {
        // The first head's step is zero in f32 and forgets nothing; the other's is too long to be added to others.
        case.dt[2 * t] = -200.0;
        case.dt[2 * t + 1] = 1e37;
        let stride = 2 * 16 + MARGIN;
        case.x[t * stride..(t + 1) * stride].fill(0.0);
    }
    let mut wide = case.widen();
    wide.a[0] = -1e300;
    wide.dt.iter_mut().filter(|dt| **dt == -200.0).for_each(|dt| *dt = -2000.0);
    let (mut expected, mut expected_state) = (wide.y.clone(), wide.state.clone());
    let output = wide.output(&mut expected, Write::Set);
    reference::forward(&wide.params(), Forward, 0, &wide.inputs(0, 300), &mut expected_state, Some(output));
    for level in Level::available() {
        let (y, state) = case.run_all(level, Forward, 0);
        assert_close(&format!("{level} y"), &y, &expected, 4e-6);
        assert_close(&format!("{level} state"), &state, &expected_state, 4e-6);
    }
}

#[test]
#[should_panic(expected = "a limit of dt from 2 to 1")]
fn a_limit_that_holds_nothing_is_refused() {
    case(1, Size(1, 1, 1, 1, (2.0, 1.0))).run_all(Level::PORTABLE, Forward, 0);
}
