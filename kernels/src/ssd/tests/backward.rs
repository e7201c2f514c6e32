use super::{Case, DIRECTIONS, FREE, MARGIN, SIZES, Size, case};
use crate::{
    Backend, Cpu,
    Direction::{self, Forward, Reverse},
    GradRows, Reference, Rows, RowsMut, TILE, Write,
    backend::Scalar,
    simd::Level,
    ssd::{GradInputs, GradParams, cpu::BLOCK},
    testing::{LENGTHS, Random, assert_close, central_differences, dot, nans, widen},
};

/// What is less may be zero in f32, as the gradient of the initial state behind a long sequence.
const FORGOTTEN: f64 = 1e-30;

/// A first position off the grid.
const START: u64 = 3;

/// Elements of the states at all positions, which the reference keeps.
const MOST_STATES: usize = 1 << 24;

/// A case and the gradients of what comes out of it.
#[derive(Clone)]
struct Backward<S> {
    case: Case<S>,
    /// As y of the case
    d_y: Option<Vec<S>>,
    d_state: Vec<S>,
    /// What the gradients hold before.
    former: Gradients<S>,
}

/// All gradients, in the layouts of the case.
#[derive(Clone, Debug, PartialEq)]
struct Gradients<S> {
    x: Vec<S>,
    dt: Vec<S>,
    b: Vec<S>,
    c: Vec<S>,
    state: Vec<S>,
    a: Vec<S>,
    d: Vec<S>,
    dt_bias: Vec<S>,
}

impl<S> Gradients<S> {
    fn activations(&self) -> [(&'static str, &Vec<S>); 5] {
        [("x", &self.x), ("dt", &self.dt), ("b", &self.b), ("c", &self.c), ("state", &self.state)]
    }

    fn parameters(&self) -> [(&'static str, &Vec<S>); 3] {
        [("a", &self.a), ("d", &self.d), ("dt_bias", &self.dt_bias)]
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &Vec<S>)> {
        self.activations().into_iter().chain(self.parameters())
    }
}

impl Gradients<f32> {
    /// Holds all to `expected`. The gradients of parameters are sums over the sequence that may all but cancel: they are
    /// held to the largest sum of magnitudes.
    fn assert_close(&self, what: &str, expected: &Gradients<f64>, magnitudes: &[f64; 3]) {
        for ((name, found), (_, expected)) in self.activations().into_iter().zip(expected.activations()) {
            if expected.iter().all(|x| x.abs() < FORGOTTEN) {
                assert!(found.iter().all(|&x| f64::from(x).abs() < FORGOTTEN), "{what}: {name} is not forgotten");
            } else {
                assert_close(&format!("{what}: {name}"), found, expected, 4e-6);
            }
        }
        for (((name, found), (_, expected)), magnitude) in
            self.parameters().into_iter().zip(expected.parameters()).zip(magnitudes)
        {
            for (&found, expected) in found.iter().zip(expected) {
                let error = (f64::from(found) - expected).abs();
                assert!(error <= 2e-6 * magnitude, "{what}: {name}: {found} is {error:e} from {expected}");
            }
        }
    }

    fn widen(&self) -> Gradients<f64> {
        Gradients {
            x: widen(&self.x),
            dt: widen(&self.dt),
            b: widen(&self.b),
            c: widen(&self.c),
            state: widen(&self.state),
            a: widen(&self.a),
            d: widen(&self.d),
            dt_bias: widen(&self.dt_bias),
        }
    }
}

fn backward(len: usize, size: Size, reads: bool) -> Backward<f32> {
    let case = case(len, size);
    let mut random = Random::new(len as u64 + 77);
    let mut like = |x: &[f32]| random.vector(x.len(), -1.0, 1.0);
    Backward {
        d_y: reads.then(|| like(&case.y)),
        d_state: like(&case.state),
        former: Gradients {
            x: like(&case.x),
            dt: like(&case.dt),
            b: like(&case.b),
            c: like(&case.c),
            state: Vec::new(),
            a: like(&case.a),
            d: like(&case.d),
            dt_bias: like(&case.dt_bias),
        },
        case,
    }
}

impl Backward<f32> {
    fn widen(&self) -> Backward<f64> {
        Backward {
            case: self.case.widen(),
            d_y: self.d_y.as_deref().map(widen),
            d_state: widen(&self.d_state),
            former: self.former.widen(),
        }
    }
}

impl<S: Scalar> Backward<S> {
    fn len(&self) -> usize {
        self.case.dt.len() / self.case.size.0
    }

    /// Runs all rows.
    fn run<B: Backend<Scalar = S>>(&self, backend: &B, direction: Direction, start: u64, write: Write) -> Gradients<S> {
        let mut gradients = self.former.clone();
        gradients.state = self.d_state.clone();
        self.run_rows(backend, direction, start, write, (0, self.len()), &self.case.state, &mut gradients);
        gradients
    }

    /// Runs rows `from..to` as if row 0 were at `start`.
    #[allow(clippy::too_many_arguments, reason = "what differs from call to call")]
    fn run_rows<B: Backend<Scalar = S>>(
        &self,
        backend: &B,
        direction: Direction,
        start: u64,
        write: Write,
        (from, to): (usize, usize),
        state: &[S],
        gradients: &mut Gradients<S>,
    ) {
        let Size(heads, head_dim, states, groups, _) = self.case.size;
        let (width, shared) = (heads * head_dim, groups * states);
        let stride = width + MARGIN;
        let d_y = self.d_y.as_ref().map(|d_y| Rows::columns(&d_y[from * stride..to * stride], stride, 1, width));
        let Gradients { x, dt, b, c, state: d_state, a, d, dt_bias } = gradients;
        let rows = |x| GradRows { rows: x, write };
        let d_inputs = GradInputs {
            d_x: rows(RowsMut::columns(&mut x[from * stride..to * stride], stride, 2, width)),
            d_dt: rows(RowsMut::new(&mut dt[from * heads..to * heads], heads)),
            d_b: rows(RowsMut::new(&mut b[from * shared..to * shared], shared)),
            d_c: rows(RowsMut::new(&mut c[from * shared..to * shared], shared)),
        };
        let mut d_params = GradParams { d_a: a, d_d: d, d_dt_bias: dt_bias };
        let (params, inputs) = (self.case.params(), self.case.inputs(from, to));
        let start = start + from as u64;
        backend.ssd_backward(&params, direction, start, &inputs, state, d_y, d_state, d_inputs, &mut d_params);
    }

    /// Runs rows up to `cut` and from there on as two calls, those that the walk meets last first.
    fn run_in_two<B: Backend<Scalar = S>>(
        &self,
        backend: &B,
        direction: Direction,
        start: u64,
        cut: usize,
    ) -> Gradients<S> {
        let (first, last) = match direction {
            Forward => ((0, cut), (cut, self.len())),
            Reverse => ((cut, self.len()), (0, cut)),
        };
        let mut state = self.case.state.clone();
        let at = start + first.0 as u64;
        backend.ssd(&self.case.params(), direction, at, &self.case.inputs(first.0, first.1), &mut state, None);
        let mut gradients = self.former.clone();
        gradients.state = self.d_state.clone();
        for (rows, state) in [(last, &state), (first, &self.case.state)] {
            self.run_rows(backend, direction, start, Write::Add, rows, state, &mut gradients);
        }
        gradients
    }
}

impl Backward<f64> {
    /// The largest Σ_t |what row t adds| to each of the parameters' gradients, and what they held before.
    fn magnitudes(&self, direction: Direction) -> [f64; 3] {
        let mut state = self.case.state.clone();
        let mut rows = Vec::new();
        for step in 0..self.len() {
            let t = if direction == Forward { step } else { self.len() - 1 - step };
            rows.push((t, state.clone()));
            Reference.ssd(&self.case.params(), direction, 0, &self.case.inputs(t, t + 1), &mut state, None);
        }
        let mut sums = self.former.parameters().map(|(_, former)| former.iter().map(|x| x.abs()).collect::<Vec<_>>());
        let mut gradients = Gradients { state: self.d_state.clone(), ..self.former.clone() };
        for (t, state) in rows.into_iter().rev() {
            for parameter in [&mut gradients.a, &mut gradients.d, &mut gradients.dt_bias] {
                parameter.fill(0.0);
            }
            self.run_rows(&Reference, direction, 0, Write::Set, (t, t + 1), &state, &mut gradients);
            for (sums, (_, parts)) in sums.iter_mut().zip(gradients.parameters()) {
                sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part.abs());
            }
        }
        sums.map(|sums| sums.into_iter().fold(0.0, f64::max))
    }
}

/// Σ y · d_y + Σ S · d_state with the final state S.
fn loss(case: &Case<f64>, direction: Direction, d_y: Option<&[f64]>, d_state: &[f64]) -> f64 {
    let (mut y, mut state) = (vec![0.0; case.y.len()], case.state.clone());
    let len = case.dt.len() / case.size.0;
    let output = case.output(&mut y, Write::Set);
    Reference.ssd(&case.params(), direction, 0, &case.inputs(0, len), &mut state, Some(output));
    d_y.map_or(0.0, |d_y| dot(&y, d_y)) + dot(&state, d_state)
}

#[test]
fn the_reference_is_the_derivative_of_the_forward_pass() {
    for &size in &SIZES[..4] {
        for (len, reads) in [(1, true), (2, true), (5, true), (4, false)] {
            let mut given = backward(len, size, reads).widen();
            for former in [&mut given.former.x, &mut given.former.a, &mut given.former.d, &mut given.former.dt_bias] {
                former.fill(0.0);
            }
            for direction in DIRECTIONS {
                let found = given.run(&Reference, direction, 3, Write::Set);
                let case = &given.case;
                let (d_y, d_state) = (given.d_y.as_deref(), &given.d_state);
                macro_rules! check {
                    ($($field:ident)*) => {$(
                        let expected = central_differences(&case.$field, |x| {
                            loss(&Case { $field: x.to_vec(), ..case.clone() }, direction, d_y, d_state)
                        });
                        let what = format!("{size:?} L {len} {direction:?} {}", stringify!($field));
                        assert_close(&what, &found.$field, &expected, 1e-8);
                    )*};
                }
                check!(x dt b c state a d dt_bias);
            }
        }
    }
}

#[test]
fn cpu_equals_reference() {
    for &size in SIZES {
        let Size(heads, head_dim, states, ..) = size;
        for &len in LENGTHS.iter().chain(&[BLOCK - 1, BLOCK, BLOCK + 1]) {
            if len * heads * head_dim * states > MOST_STATES {
                continue;
            }
            check_cpu(&backward(len, size, true), &[(Forward, Write::Set), (Reverse, Write::Add)]);
        }
        check_cpu(&backward(257, size, false), &[(Forward, Write::Add), (Reverse, Write::Set)]);
    }
}

#[test]
fn sequences_of_several_strips_equal_the_reference() {
    check_cpu(&backward(3 * 64 * BLOCK + 5, SIZES[3], true), &[(Forward, Write::Set), (Reverse, Write::Set)]);
    check_cpu(&backward(64 * BLOCK, SIZES[0], true), &[(Forward, Write::Set)]);
}

fn check_cpu(given: &Backward<f32>, ways: &[(Direction, Write)]) {
    let wide = given.widen();
    for &(direction, write) in ways {
        let expected = wide.run(&Reference, direction, 0, write);
        let magnitudes = wide.magnitudes(direction);
        for level in Level::available() {
            let what = format!("{level} {:?} L {} {direction:?} {write:?}", given.case.size, given.len());
            given.run(&Cpu::new(level), direction, 0, write).assert_close(&what, &expected, &magnitudes);
        }
    }
}

#[test]
fn hard_decay_leaves_what_little_passes_a_step_exact() {
    let mut given = backward(500, Size(2, 16, 16, 1, FREE), true);
    given.case.a.fill(-16.0);
    given.case.dt_bias.fill(0.0);
    given.case.dt.iter_mut().for_each(|dt| *dt = 2.0 + dt.abs());
    given.former.a.fill(0.0);
    check_cpu(&given, &[(Forward, Write::Set), (Reverse, Write::Set)]);
}

#[test]
fn a_rate_or_a_step_beyond_f32_has_finite_gradients() {
    let mut given = backward(300, Size(2, 16, 16, 1, FREE), true);
    given.case.a = vec![f32::NEG_INFINITY, -0.01];
    for t in (5..300).step_by(20) {
        given.case.dt[2 * t] = -200.0;
        given.case.dt[2 * t + 1] = 1e37;
        let stride = 2 * 16 + MARGIN;
        given.case.x[t * stride..(t + 1) * stride].fill(0.0);
    }
    for level in Level::available() {
        let found = given.run(&Cpu::new(level), Forward, 0, Write::Set);
        for (name, values) in found.all().filter(|(name, _)| *name != "x") {
            assert!(values.iter().all(|x| x.is_finite()), "{level}: {name}");
        }
        assert_eq!(nans(&found.x), [], "{level}");
    }
}

#[test]
fn cuts_on_the_grid_change_no_bit_and_others_only_the_rounding() {
    for &size in SIZES {
        let given = backward(1100, size, true);
        let magnitudes = DIRECTIONS.map(|direction| given.widen().magnitudes(direction));
        for level in Level::available() {
            let cpu = Cpu::new(level);
            for (direction, magnitudes) in DIRECTIONS.into_iter().zip(&magnitudes) {
                let whole = given.run(&cpu, direction, 0, Write::Add);
                for cut in [TILE, 4 * TILE, 1, 7, 769] {
                    let what = format!("{level} {size:?} {direction:?} cut at {cut}");
                    let parts = given.run_in_two(&cpu, direction, 0, cut);
                    if cut.is_multiple_of(TILE) {
                        assert!(parts.activations() == whole.activations(), "{what}");
                    }
                    parts.assert_close(&what, &whole.widen(), magnitudes);
                }
            }
        }
    }
}

#[test]
fn the_reference_carries_its_gradient_too() {
    let given = backward(40, SIZES[1], true).widen();
    for direction in DIRECTIONS {
        let whole = given.run(&Reference, direction, 0, Write::Add);
        let parts = given.run_in_two(&Reference, direction, 0, 13);
        for ((name, parts), (_, whole)) in parts.all().zip(whole.all()) {
            assert_close(name, parts, whole, 1e-12);
        }
    }
}

#[test]
fn neither_runs_nor_threads_change_a_bit() {
    for (len, size) in [(769, SIZES[6]), (5000, SIZES[3])] {
        let given = backward(len, size, true);
        for level in Level::available() {
            for direction in DIRECTIONS {
                let run = || given.run(&Cpu::new(level), direction, 0, Write::Add);
                let first = run();
                assert!(first == run(), "{level}: two runs");
                for threads in [1, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    assert!(first == pool.install(run), "{level}: {threads} threads");
                }
            }
        }
    }
}

#[test]
fn a_limit_lets_the_gradient_pass_at_itself_and_not_beyond() {
    for limit in [(0.0, 25.0), (25.0, 50.0)] {
        let mut given = backward(3, Size(1, 2, 2, 1, limit), true);
        given.case.dt_bias[0] = 1.0;
        given.case.dt = vec![24.0, 24.5, 23.5];
        let blocked = if limit.0 == 0.0 { 1 } else { 2 };
        for direction in DIRECTIONS {
            let mut found = vec![given.widen().run(&Reference, direction, 0, Write::Set).dt];
            let levels = Level::available().into_iter();
            found.extend(levels.map(|level| widen(&given.run(&Cpu::new(level), direction, 0, Write::Set).dt)));
            for d_dt in found {
                for (t, d_dt) in d_dt.into_iter().enumerate() {
                    assert_eq!(d_dt == 0.0, t == blocked, "{limit:?} {direction:?} {t}");
                }
            }
        }
    }
}

#[test]
fn without_an_output_the_gradient_of_c_is_set_to_zero_and_that_of_d_left_alone() {
    let given = backward(100, SIZES[2], false);
    for level in Level::available() {
        let found = given.run(&Cpu::new(level), Forward, 0, Write::Set);
        assert!(found.c.iter().all(|&c| c == 0.0) && found.d == given.former.d, "{level}");
        let found = given.run(&Cpu::new(level), Forward, 0, Write::Add);
        assert!(found.c == given.former.c && found.d == given.former.d, "{level}");
    }
}

#[test]
fn what_lies_beside_the_columns_is_left_alone() {
    let given = backward(70, SIZES[1], true);
    let stride = 2 * 3 + MARGIN;
    for level in Level::available() {
        let found = given.run(&Cpu::new(level), Forward, 0, Write::Set);
        for (i, (found, former)) in found.x.iter().zip(&given.former.x).enumerate() {
            assert_eq!(found == former, !(2..2 + 6).contains(&(i % stride)), "{level}: {i}");
        }
    }
}

#[test]
fn no_rows_leave_all_gradients_alone() {
    let given = backward(0, SIZES[1], true);
    let mut expected = given.former.clone();
    expected.state = given.d_state.clone();
    for level in Level::available() {
        for direction in DIRECTIONS {
            assert_eq!(given.run(&Cpu::new(level), direction, 5, Write::Set), expected);
        }
    }
}

/// Puts a NaN somewhere.
type Spoil = fn(&mut Backward<f32>);

#[test]
fn a_nan_reaches_all_that_depends_on_it_and_no_other_group() {
    let size = Size(2, 17, 5, 2, (0.001, 4.0));
    let (t, head) = (77, 1);
    let spoils: [(&str, Spoil); 8] = [
        ("x", |given| given.case.x[77 * (34 + MARGIN) + 2 + 17 + 3] = f32::NAN),
        ("dt", |given| given.case.dt[77 * 2 + 1] = f32::NAN),
        ("b", |given| given.case.b[77 * 10 + 5] = f32::NAN),
        ("c", |given| given.case.c[77 * 10 + 9] = f32::NAN),
        ("state", |given| given.case.state[5 * 17 + 20] = f32::NAN),
        ("a", |given| given.case.a[1] = f32::NAN),
        ("d_y", |given| given.d_y.as_mut().unwrap()[77 * (34 + MARGIN) + 1 + 17 + 16] = f32::NAN),
        ("d_state", |given| given.d_state[5 * 17 + 20] = f32::NAN),
    ];
    for (name, spoil) in spoils {
        let mut given = backward(150, size, true);
        spoil(&mut given);
        for direction in DIRECTIONS {
            let expected = given.widen().run(&Reference, direction, 0, Write::Set);
            for level in Level::available() {
                let what = format!("{level} {direction:?} NaN in {name} at {t}");
                let found = given.run(&Cpu::new(level), direction, 0, Write::Set);
                for ((of, found), (_, expected)) in found.all().zip(expected.all()) {
                    let found = nans(found);
                    assert!(nans(expected).iter().all(|i| found.contains(i)), "{what}: too few in {of}");
                    let of_group = |&i: &usize| match of {
                        "x" => i % (34 + MARGIN) >= 2 + 17,
                        "dt" => i % 2 == head,
                        "b" | "c" => i % 10 >= 5,
                        "state" => i >= 5 * 17,
                        _ => i == head,
                    };
                    assert!(found.iter().all(of_group), "{what}: too many in {of}");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "shape of d_y")]
fn a_gradient_of_another_shape_is_refused() {
    let mut given = backward(3, SIZES[0], true);
    given.d_y.as_mut().unwrap().truncate(2 * (1 + MARGIN));
    let mut gradients = given.former.clone();
    gradients.state = given.d_state.clone();
    let d_y = given.d_y.clone().unwrap();
    let d_inputs = GradInputs {
        d_x: GradRows::set(RowsMut::columns(&mut gradients.x, 1 + MARGIN, 2, 1)),
        d_dt: GradRows::set(RowsMut::new(&mut gradients.dt, 1)),
        d_b: GradRows::set(RowsMut::new(&mut gradients.b, 1)),
        d_c: GradRows::set(RowsMut::new(&mut gradients.c, 1)),
    };
    let mut d_params = GradParams { d_a: &mut gradients.a, d_d: &mut gradients.d, d_dt_bias: &mut gradients.dt_bias };
    Cpu::new(Level::PORTABLE).ssd_backward(
        &given.case.params(),
        Forward,
        0,
        &given.case.inputs(0, 3),
        &given.case.state,
        Some(Rows::columns(&d_y, 1 + MARGIN, 1, 1)),
        &mut gradients.state,
        d_inputs,
        &mut d_params,
    );
}

/// The gradient of the initial state alone.
fn retreat<B: Backend>(backend: &B, given: &Backward<B::Scalar>, direction: Direction) -> Vec<B::Scalar> {
    let Size(heads, head_dim, ..) = given.case.size;
    let stride = heads * head_dim + MARGIN;
    let d_y = Rows::columns(given.d_y.as_ref().unwrap(), stride, 1, heads * head_dim);
    let mut d_state = given.d_state.clone();
    backend.ssd_retreat(&given.case.params(), direction, START, &given.case.inputs(0, given.len()), d_y, &mut d_state);
    d_state
}

#[test]
fn a_retreat_is_what_backward_carries() {
    for (&size, len) in SIZES[..6].iter().flat_map(|size| [1, 2, 33, 769].map(|len| (size, len))) {
        let given = backward(len, size, true);
        for direction in DIRECTIONS {
            let what = format!("{size:?} L {len} {direction:?}");
            let wide = given.widen();
            let expected = wide.run(&Reference, direction, START, Write::Set).state;
            let got = retreat(&Reference, &wide, direction);
            let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
            assert!(got.iter().zip(&expected).all(|(got, x)| (got - x).abs() <= 1e-12 * largest), "{what}");
            for level in Level::available() {
                let cpu = Cpu::new(level);
                let expected = given.run(&cpu, direction, START, Write::Set).state;
                assert_eq!(retreat(&cpu, &given, direction), expected, "{level} {what}");
            }
        }
    }
}
