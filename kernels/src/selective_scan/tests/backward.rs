use super::{
    super::{GradInputs, GradParams, Readout},
    Case, DIRECTIONS, SIZES, case, cpu, reference, widen_case,
};
use crate::{
    Direction, GradRows, Rows, RowsMut, Write,
    backend::Scalar,
    simd::Level,
    testing::{LENGTHS, Random, assert_close, assert_sums_close, central_differences, dot, nans, widen},
};

/// Everything that a backward call writes, and the gradients it begins with.
#[derive(Clone, Debug, PartialEq)]
struct Grads<S> {
    d_u: Vec<S>,
    d_delta: Vec<S>,
    /// B and C side by side with a column before them, like the inputs.
    d_b: Vec<S>,
    d_c: Vec<S>,
    d_z: Vec<S>,
    d_a: Vec<S>,
    d_d: Vec<S>,
    d_bias: Vec<S>,
    d_state: Vec<S>,
}

impl<S: Scalar> Grads<S> {
    /// Random contents, for a sequence of `len`.
    fn random(case: &Case<f32>, len: usize) -> Self {
        let mut random = Random::new(len as u64);
        let (d, n) = (case.channels, case.states);
        let mut vector = |len| random.vector(len, -1.0, 1.0).into_iter().map(|x| S::from_f64(x.into())).collect();
        Self {
            d_u: vector(len * d),
            d_delta: vector(len * (d + 1)),
            d_b: vector(len * (n + 2)),
            d_c: vector(len * n),
            d_z: vector(len * d),
            d_a: vector(n * d),
            d_d: vector(d),
            d_bias: vector(d),
            d_state: vector(n * d),
        }
    }

    /// Runs `backward` for rows `from..to`, with views of these buffers, which are as long.
    fn with<R>(
        &mut self,
        case: &Case<S>,
        write: Write,
        reads: bool,
        backward: impl FnOnce(&mut [S], GradInputs<'_, S>, &mut GradParams<'_, S>) -> R,
    ) -> R {
        let (d, n) = (case.channels, case.states);
        let d_inputs = GradInputs {
            d_u: GradRows { rows: RowsMut::new(&mut self.d_u, d), write },
            d_delta: GradRows { rows: RowsMut::columns(&mut self.d_delta, d + 1, 1, d), write },
            d_b: GradRows { rows: RowsMut::columns(&mut self.d_b, n + 2, 1, n), write },
            d_c: reads.then(|| GradRows { rows: RowsMut::new(&mut self.d_c, n), write }),
            d_z: (reads && case.gated).then(|| GradRows { rows: RowsMut::new(&mut self.d_z, d), write }),
        };
        let mut d_params = GradParams { d_a: &mut self.d_a, d_d: &mut self.d_d, d_delta_bias: &mut self.d_bias };
        backward(&mut self.d_state, d_inputs, &mut d_params)
    }

    fn named(&self) -> [(&'static str, &[S]); 9] {
        [
            ("u", &self.d_u),
            ("delta", &self.d_delta),
            ("b", &self.d_b),
            ("c", &self.d_c),
            ("z", &self.d_z),
            ("a", &self.d_a),
            ("d", &self.d_d),
            ("bias", &self.d_bias),
            ("state", &self.d_state),
        ]
    }

    fn assert_close(&self, what: &str, expected: &Grads<f64>, tolerance: f64)
    where
        S: Into<f64>,
    {
        for ((name, got), (_, expected)) in self.named().into_iter().zip(expected.named()) {
            assert_sums_close(&format!("{what}, gradient of {name}"), got, expected, 1, tolerance);
        }
    }
}

impl<S: Copy> Case<S> {
    /// The gradient of y is what `y` holds.
    fn readout(&self, from: usize, to: usize) -> Readout<'_, S> {
        let (d, stride) = (self.channels, 1 + 2 * self.states);
        Readout {
            c: Rows::columns(&self.bc[from * stride..to * stride], stride, 1 + self.states, self.states),
            z: self.gated.then(|| Rows::new(&self.z[from * d..to * d], d)),
            d_y: Rows::new(&self.y[from * d..to * d], d),
        }
    }
}

/// Runs the rows `from..to`, whose gradients `grads` holds, from `state`.
#[allow(clippy::too_many_arguments)]
fn run_part(
    level: Level,
    case: &Case<f32>,
    direction: Direction,
    (from, to): (usize, usize),
    state: &[f32],
    reads: bool,
    write: Write,
    grads: &mut Grads<f32>,
) {
    let readout = reads.then(|| case.readout(from, to));
    grads.with(case, write, reads, |d_state, d_inputs, d_params| {
        let (params, inputs) = (case.params(), case.inputs(from, to));
        cpu::backward(level, &params, direction, &inputs, state, readout.as_ref(), d_state, d_inputs, d_params);
    });
}

fn run(level: Level, case: &Case<f32>, direction: Direction, reads: bool, write: Write) -> Grads<f32> {
    let len = case.u.len() / case.channels;
    let mut grads = Grads::random(case, len);
    run_part(level, case, direction, (0, len), &case.state, reads, write, &mut grads);
    grads
}

fn run_reference(
    wide: &Case<f64>,
    mut grads: Grads<f64>,
    direction: Direction,
    reads: bool,
    write: Write,
) -> Grads<f64> {
    let len = wide.u.len() / wide.channels;
    let readout = reads.then(|| wide.readout(0, len));
    grads.with(wide, write, reads, |d_state, d_inputs, d_params| {
        let (params, inputs) = (wide.params(), wide.inputs(0, len));
        reference::backward(&params, direction, &inputs, &wide.state, readout.as_ref(), d_state, d_inputs, d_params);
    });
    grads
}

/// Σ y · dy + Σ state · dstate of the forward walk.
fn loss(case: &Case<f64>, direction: Direction, reads: bool, d_state: &[f64]) -> f64 {
    let len = case.u.len() / case.channels;
    let (mut y, mut state) = (vec![0.0; case.y.len()], case.state.clone());
    let output = reads.then(|| case.output(0, len, &mut y, Write::Set));
    reference::forward(&case.params(), direction, &case.inputs(0, len), &mut state, output);
    dot(&case.y, &y) + dot(d_state, &state)
}

#[test]
fn reference_equals_finite_differences() {
    for (len, size) in [(5, (2, 3, true)), (4, (3, 2, false)), (1, (1, 1, true))] {
        let wide = widen_case(&case(len, size));
        for direction in DIRECTIONS {
            for reads in [true, false] {
                finite_differences(&wide, Grads::random(&case(len, size), len), direction, reads);
            }
        }
    }
}

fn finite_differences(wide: &Case<f64>, start: Grads<f64>, direction: Direction, reads: bool) {
    let what = format!("{direction:?} reads {reads}");
    let d_last = start.d_state.clone();
    let zero = |x: &[f64]| vec![0.0; x.len()];
    let parameters = Grads { d_a: zero(&start.d_a), d_d: zero(&start.d_d), d_bias: zero(&start.d_bias), ..start };
    let got = run_reference(wide, parameters, direction, reads, Write::Set);
    let check = |name: &str, got: &[f64], field: fn(&mut Case<f64>) -> &mut Vec<f64>| {
        let mut case = wide.clone();
        let x = field(&mut case).clone();
        let truth = central_differences(&x, |x| {
            let mut case = wide.clone();
            *field(&mut case) = x.to_vec();
            loss(&case, direction, reads, &d_last)
        });
        assert_close(&format!("{what}, gradient of {name}"), got, &truth, 1e-8);
    };
    let strip = |x: &[f64], stride: usize, width: usize| -> Vec<f64> {
        x.chunks(stride).flat_map(|row| row[1..=width].to_vec()).collect()
    };
    let (d, n) = (wide.channels, wide.states);
    check("u", &got.d_u, |case| &mut case.u);
    check("delta", &strip(&got.d_delta, d + 1, d), |case| &mut case.delta);
    check("a", &got.d_a, |case| &mut case.a);
    check("bias", &got.d_bias, |case| &mut case.bias);
    check("state", &got.d_state, |case| &mut case.state);
    let (mut bc, c) = (Vec::new(), if reads { got.d_c } else { zero(&got.d_c) });
    for (b, c) in strip(&got.d_b, n + 2, n).chunks(n).zip(c.chunks(n)) {
        bc.extend([&[0.0], b, c].concat());
    }
    check("b and c", &bc, |case| &mut case.bc);
    check("d", &got.d_d, |case| &mut case.d);
    if reads && wide.gated {
        check("z", &got.d_z, |case| &mut case.z);
    }
}

#[test]
fn cpu_equals_reference() {
    for &size in SIZES {
        for &len in LENGTHS {
            let case = case(len, size);
            let wide = widen_case(&case);
            for direction in DIRECTIONS {
                for (reads, write) in [(true, Write::Set), (true, Write::Add), (false, Write::Set)] {
                    let start = Grads::<f64>::random(&case, len);
                    let expected = run_reference(&wide, start, direction, reads, write);
                    for level in Level::available() {
                        let what = format!("{level} {size:?} L {len} {direction:?} reads {reads} {write:?}");
                        run(level, &case, direction, reads, write).assert_close(&what, &expected, 4e-6);
                    }
                }
            }
        }
    }
}

#[test]
fn a_gradient_goes_on_over_a_cut() {
    for (len, cut, size) in [(300, 100, (17, 9, true)), (300, 1, (5, 4, false)), (1300, 769, (33, 6, true))] {
        let case = case(len, size);
        for level in Level::available() {
            for direction in DIRECTIONS {
                let whole = run(level, &case, direction, true, Write::Set);
                let (first, last) = match direction {
                    Direction::Forward => ((0, cut), (cut, len)),
                    Direction::Reverse => ((cut, len), (0, cut)),
                };
                let mut border = case.state.clone();
                cpu::forward(level, &case.params(), direction, &case.inputs(first.0, first.1), &mut border, None);
                let part = |(from, to): (usize, usize), state: &[f32], carried: Grads<f32>| {
                    let mut grads = Grads {
                        d_u: vec![0.0; (to - from) * case.channels],
                        d_delta: vec![0.0; (to - from) * (case.channels + 1)],
                        d_b: vec![0.0; (to - from) * (case.states + 2)],
                        d_c: vec![0.0; (to - from) * case.states],
                        d_z: vec![0.0; (to - from) * case.channels],
                        ..carried
                    };
                    run_part(level, &case, direction, (from, to), state, true, Write::Set, &mut grads);
                    grads
                };
                let late = part(last, &border, Grads::random(&case, len));
                let early = part(first, &case.state, late.clone());
                let (low, high) = match direction {
                    Direction::Forward => (&early, &late),
                    Direction::Reverse => (&late, &early),
                };
                let what = format!("{level} {size:?} L {len} cut at {cut} {direction:?}");
                let joined = |low: &[f32], high: &[f32]| [low, high].concat();
                assert_close(&what, &joined(&low.d_u, &high.d_u), &widen(&whole.d_u), 2e-6);
                assert_close(&what, &joined(&low.d_c, &high.d_c), &widen(&whole.d_c), 2e-6);
                assert_close(&what, &early.d_a, &widen(&whole.d_a), 2e-6);
                assert_close(&what, &early.d_d, &widen(&whole.d_d), 2e-6);
                assert_close(&what, &early.d_bias, &widen(&whole.d_bias), 2e-6);
                assert_close(&what, &early.d_state, &widen(&whole.d_state), 2e-6);
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
                pool.install(|| run(level, &case, direction, true, Write::Add))
            };
            assert_eq!(with(1), with(3));
            assert_eq!(with(1), with(1));
        }
    }
}

#[test]
fn no_rows_hand_the_gradient_of_the_state_on() {
    for level in Level::available() {
        let case = case(0, (17, 9, true));
        let grads = run(level, &case, Direction::Forward, true, Write::Set);
        assert_eq!(grads, Grads::random(&case, 0));
    }
}

#[test]
fn a_nan_reaches_what_depends_on_it() {
    let (len, width, states, stride) = (70, 17, 9, 19);
    let (t, d, n) = (66, 16, 8);
    let channel = |rows: std::ops::Range<usize>| rows.map(|t| t * width + d).collect::<Vec<_>>();
    for level in Level::available() {
        for direction in DIRECTIONS {
            let of = |spoil: &dyn Fn(&mut Case<f32>)| {
                let mut case = case(len, (width, states, true));
                spoil(&mut case);
                run(level, &case, direction, true, Write::Set)
            };
            // What the adjoint walk meets from t on, and what the states do.
            let (early, late) = match direction {
                Direction::Forward => (0..t + 1, t..len),
                Direction::Reverse => (t..len, 0..t + 1),
            };
            let grads = of(&|case| case.y[t * width + d] = f32::NAN);
            assert_eq!(nans(&grads.d_u), channel(early.clone()));
            assert_eq!(nans(&grads.d_z), channel(t..t + 1));
            assert_eq!(nans(&grads.d_c), (t * states..(t + 1) * states).collect::<Vec<_>>());
            assert_eq!((nans(&grads.d_d), nans(&grads.d_bias)), (vec![d], vec![d]));
            assert_eq!((nans(&grads.d_a), nans(&grads.d_state)), (channel(0..states), channel(0..states)));

            let grads = of(&|case| case.state[n * width + d] = f32::NAN);
            assert_eq!(nans(&grads.d_c), (0..len).map(|t| t * states + n).collect::<Vec<_>>());
            assert_eq!((nans(&grads.d_u), nans(&grads.d_state)), (vec![], vec![]));
            assert_eq!((nans(&grads.d_a), nans(&grads.d_bias)), (vec![n * width + d], vec![d]));

            let grads = of(&|case| case.u[t * width + d] = f32::NAN);
            assert_eq!((nans(&grads.d_u), nans(&grads.d_z)), (vec![], channel(late)));

            let grads = of(&|case| case.bc[t * stride + 1 + n] = f32::NAN);
            let row = (t * width..(t + 1) * width).collect::<Vec<_>>();
            assert_eq!(nans(&grads.d_u), row);
            assert_eq!(nans(&grads.d_a), (n * width..(n + 1) * width).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_retreat_is_what_backward_carries() {
    for &size in SIZES {
        for &len in LENGTHS {
            let case = case(len, size);
            let wide = widen_case(&case);
            for direction in DIRECTIONS {
                let start = Grads::<f64>::random(&case, len);
                let mut got = start.d_state.clone();
                let delta = wide.inputs(0, len).delta;
                reference::retreat(&wide.params(), direction, delta, &wide.readout(0, len), &mut got);
                let expected = run_reference(&wide, start, direction, true, Write::Set).d_state;
                assert_close(&format!("{size:?} L {len} {direction:?}"), &got, &expected, 1e-12);
                for level in Level::available() {
                    let mut got = Grads::<f32>::random(&case, len).d_state;
                    let delta = case.inputs(0, len).delta;
                    cpu::retreat(level, &case.params(), direction, delta, &case.readout(0, len), &mut got);
                    let expected = run(level, &case, direction, true, Write::Set).d_state;
                    assert_eq!(got, expected, "{level} {size:?} L {len} {direction:?}");
                }
            }
        }
    }
}
