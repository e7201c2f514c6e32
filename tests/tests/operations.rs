//! The scans against fixtures made by the published reference code.

use std::{cell::RefCell, collections::BTreeMap};

use longstrand_kernels::{
    Backend, Cpu, Direction, GradRows, Reference, Rows, RowsMut, Write, backend::Scalar, selective_scan, simd::Level,
    ssd,
};
use longstrand_tests::fixture::{self, Expected, assert_close, read_json};
use serde_json::Value;

/// One sequence of a batch in the layout of the kernels.
struct Transposed<'a> {
    expected: &'a Expected,
    case: &'a str,
    batch: usize,
}

impl Transposed<'_> {
    /// Sequence `batch` of a tensor `[B, rows, columns]`, as `[columns, rows]` if `swap`.
    fn matrix<S: Scalar>(&self, name: &str, swap: bool) -> Vec<S> {
        let (values, shape) = self.expected.require(&format!("{}.{name}", self.case));
        let len: usize = shape[1..].iter().product();
        let values = &values[self.batch * len..][..len];
        convert(values, shape[1], swap)
    }

    /// A tensor without a batch axis.
    fn shared<S: Scalar>(&self, name: &str, swap: bool) -> Vec<S> {
        let (values, shape) = self.expected.require(&format!("{}.{name}", self.case));
        convert(&values, shape[0], swap)
    }

    /// `[B, H, P, N]` as `[H, N, P]`.
    fn head_states<S: Scalar>(&self, name: &str) -> Vec<S> {
        let (values, shape) = self.expected.require(&format!("{}.{name}", self.case));
        let (heads, dim, states) = (shape[1], shape[2], shape[3]);
        let values = &values[self.batch * heads * dim * states..][..heads * dim * states];
        values.chunks_exact(dim * states).flat_map(|head| convert(head, dim, true)).collect()
    }
}

fn convert<S: Scalar>(values: &[f64], rows: usize, swap: bool) -> Vec<S> {
    let columns = values.len() / rows;
    let order: Box<dyn Iterator<Item = usize>> = if swap {
        Box::new((0..columns).flat_map(move |c| (0..rows).map(move |r| r * columns + c)))
    } else {
        Box::new(0..values.len())
    };
    order.map(|i| S::from_f64(values[i])).collect()
}

fn widen<S: Scalar>(values: &[S]) -> Vec<f64> {
    values.iter().map(|x| x.to_f64()).collect()
}

/// The cases that each operation has in the repository.
const FEWEST_CASES: usize = 4;

/// Runs a test for each case of an operation's fixture and each sequence of its batch, of which there must be some.
fn for_each_case(operation: &str, test: impl Fn(&Transposed<'_>, &Value)) {
    let folder = fixture::root().join(operation);
    let expected = Expected::read(&folder);
    let cases = read_json(&folder.join("tolerance.json")).expect("the sizes of the cases");
    let cases = cases.as_object().expect("an object of cases");
    assert!(cases.len() >= FEWEST_CASES, "{operation} has only {} cases", cases.len());
    for (case, sizes) in cases {
        let batch = size(sizes, "batch");
        assert!(batch > 0, "{operation} {case} has no sequence");
        for batch in 0..batch {
            test(&Transposed { expected: &expected, case, batch }, sizes);
        }
    }
}

fn size(sizes: &Value, key: &str) -> usize {
    sizes[key].as_u64().unwrap_or_else(|| panic!("no size {key}")) as usize
}

/// What a scan is given in a case, for one sequence.
struct Scan<S> {
    channels: usize,
    states: usize,
    u: Vec<S>,
    delta: Vec<S>,
    z: Option<Vec<S>>,
    b: Vec<S>,
    c: Vec<S>,
    a: Vec<S>,
    d: Vec<S>,
    bias: Vec<S>,
}

impl<S: Scalar> Scan<S> {
    fn read(case: &Transposed<'_>, sizes: &Value) -> Self {
        let [u, delta, b, c] = ["u", "delta", "B", "C"].map(|name| case.matrix(name, true));
        let z = sizes["z"].as_bool().expect("z").then(|| case.matrix("z", true));
        let [d, bias] = ["D", "delta_bias"].map(|name| case.shared(name, false));
        let a = case.shared("A", true);
        Self { channels: size(sizes, "dim"), states: size(sizes, "dstate"), u, delta, z, b, c, a, d, bias }
    }

    fn params(&self) -> selective_scan::Params<'_, S> {
        selective_scan::Params { a: &self.a, d: &self.d, delta_bias: &self.bias }
    }

    fn inputs(&self, from: usize, to: usize) -> selective_scan::Inputs<'_, S> {
        let rows = |x, width| part(x, width, from, to);
        let (d, n) = (self.channels, self.states);
        selective_scan::Inputs { u: rows(&self.u, d), delta: rows(&self.delta, d), b: rows(&self.b, n) }
    }

    /// The initial state that a run starts from.
    fn state(&self, case: &Transposed<'_>, start: &str) -> Vec<S> {
        match start {
            "init" => case.matrix("h0", true),
            _ => vec![S::default(); self.states * self.channels],
        }
    }
}

/// Rows `from..to` of a dense buffer.
fn part<S>(x: &[S], width: usize, from: usize, to: usize) -> Rows<'_, S> {
    Rows::new(&x[from * width..to * width], width)
}

fn check_scan<B: Backend>(backend: &B, what: &str, tolerance: f64) {
    for_each_case("op-selective-scan", |case, sizes| {
        let scan = Scan::<B::Scalar>::read(case, sizes);
        let (d, n) = (scan.channels, scan.states);
        let split = size(sizes, "split");
        let run = |from: usize, to: usize, state: &mut [B::Scalar]| {
            let mut y = vec![B::Scalar::default(); (to - from) * d];
            let output = selective_scan::Output {
                c: part(&scan.c, n, from, to),
                z: scan.z.as_ref().map(|z| part(z, d, from, to)),
                y: RowsMut::new(&mut y, d),
                write: Write::Set,
            };
            backend.selective_scan(&scan.params(), Direction::Forward, &scan.inputs(from, to), state, Some(output));
            y
        };
        let len = size(sizes, "L");
        for start in ["zero", "init"] {
            let mut state = scan.state(case, start);
            let y = run(0, len, &mut state);
            let what = format!("{what} {}.{start}[{}]", case.case, case.batch);
            assert_close(&format!("{what} y"), &widen(&y), &case.matrix(&format!("{start}.y"), true), tolerance);
            let last = case.matrix(&format!("{start}.last_state"), true);
            assert_close(&format!("{what} state"), &widen(&state), &last, tolerance);
        }
        if split > 0 {
            let mut state = case.matrix("h0", true);
            run(0, split, &mut state);
            let truth = case.matrix("chain.state_at_split", true);
            assert_close(&format!("{what} {} state at {split}", case.case), &widen(&state), &truth, tolerance);
        }
    });
}

/// Gradients of Σ y · dy + Σ last_state · dlast_state; those of the parameters are summed over the batch.
fn check_scan_gradients<B: Backend>(backend: &B, what: &str, tolerance: f64) {
    for_each_case("op-selective-scan", |first, sizes| {
        if first.batch > 0 {
            return;
        }
        for start in ["zero", "init"] {
            let what = format!("{what} {}.{start}", first.case);
            let (d, n) = (size(sizes, "dim"), size(sizes, "dstate"));
            let zeros = |len: usize| vec![B::Scalar::default(); len];
            let (mut d_a, mut d_d, mut d_bias) = (zeros(n * d), zeros(d), zeros(d));
            for batch in 0..size(sizes, "batch") {
                let case = Transposed { batch, ..*first };
                let mut d_params =
                    selective_scan::GradParams { d_a: &mut d_a, d_d: &mut d_d, d_delta_bias: &mut d_bias };
                for (name, got) in scan_gradients(backend, &case, sizes, start, &mut d_params) {
                    let name = format!("{start}.grad_{name}");
                    match case.expected.get(&format!("{}.{name}", case.case)) {
                        Some(_) => {
                            assert_close(
                                &format!("{what} {name}[{batch}]"),
                                &got,
                                &case.matrix(&name, true),
                                tolerance,
                            );
                        }
                        // A scan from zero has no gradient of h0, and the long cases keep only one start's activations.
                        None => assert!(name == "zero.grad_h0" || start == "init" && size(sizes, "L") > 1000, "{name}"),
                    }
                }
            }
            for (name, got, swap) in [("A", &d_a, true), ("D", &d_d, false), ("delta_bias", &d_bias, false)] {
                let expected = first.shared(&format!("{start}.grad_{name}"), swap);
                assert_close(&format!("{what} {name}"), &widen(got), &expected, tolerance);
            }
        }
    });
}

/// Adds to the gradients of the parameters and returns those of one sequence.
fn scan_gradients<B: Backend>(
    backend: &B,
    case: &Transposed<'_>,
    sizes: &Value,
    start: &str,
    d_params: &mut selective_scan::GradParams<'_, B::Scalar>,
) -> Vec<(&'static str, Vec<f64>)> {
    let scan = Scan::<B::Scalar>::read(case, sizes);
    let (d, n, len) = (scan.channels, scan.states, size(sizes, "L"));
    let (d_y, mut d_state) = (case.matrix("dy", true), case.matrix("dlast_state", true));
    let readout = selective_scan::Readout {
        c: Rows::new(&scan.c, n),
        z: scan.z.as_ref().map(|z| Rows::new(z, d)),
        d_y: Rows::new(&d_y, d),
    };
    let zeros = |width: usize| vec![B::Scalar::default(); len * width];
    let (mut d_u, mut d_delta, mut d_b, mut d_c, mut d_z) = (zeros(d), zeros(d), zeros(n), zeros(n), zeros(d));
    let d_inputs = selective_scan::GradInputs {
        d_u: GradRows::set(RowsMut::new(&mut d_u, d)),
        d_delta: GradRows::set(RowsMut::new(&mut d_delta, d)),
        d_b: GradRows::set(RowsMut::new(&mut d_b, n)),
        d_c: Some(GradRows::set(RowsMut::new(&mut d_c, n))),
        d_z: scan.z.as_ref().map(|_| GradRows::set(RowsMut::new(&mut d_z, d))),
    };
    backend.selective_scan_backward(
        &scan.params(),
        Direction::Forward,
        &scan.inputs(0, len),
        &scan.state(case, start),
        Some(&readout),
        &mut d_state,
        d_inputs,
        d_params,
    );
    let mut all = vec![("u", d_u), ("delta", d_delta), ("B", d_b), ("C", d_c), ("h0", d_state)];
    all.extend(scan.z.is_some().then_some(("z", d_z)));
    all.into_iter().map(|(name, x)| (name, widen(&x))).collect()
}

fn check_ssd<B: Backend>(backend: &B, what: &str, tolerance: f64) {
    for_each_case("op-ssd", |case, sizes| {
        let (heads, head_dim) = (size(sizes, "heads"), size(sizes, "headdim"));
        let (groups, states) = (size(sizes, "groups"), size(sizes, "dstate"));
        let limit = &sizes["dt_limit"];
        let [a, d, dt_bias] = ["A", "D", "dt_bias"].map(|name| case.shared::<B::Scalar>(name, false));
        let params = ssd::Params {
            heads,
            head_dim,
            states,
            groups,
            a: &a,
            d: &d,
            dt_bias: &dt_bias,
            dt_limit: (limit[0].as_f64().expect("a bound"), limit[1].as_f64().unwrap_or(f64::INFINITY)),
        };
        let [x, dt, b, c] = ["x", "dt", "B", "C"].map(|name| case.matrix::<B::Scalar>(name, false));
        let (width, shared) = (heads * head_dim, groups * states);
        let run = |from: usize, to: usize, state: &mut [B::Scalar]| {
            let mut y = vec![B::Scalar::default(); (to - from) * width];
            let inputs = ssd::Inputs {
                x: Rows::new(&x[from * width..to * width], width),
                dt: Rows::new(&dt[from * heads..to * heads], heads),
                b: Rows::new(&b[from * shared..to * shared], shared),
                c: Rows::new(&c[from * shared..to * shared], shared),
            };
            let output = ssd::Output { y: RowsMut::new(&mut y, width), write: Write::Set };
            backend.ssd(&params, Direction::Forward, from as u64, &inputs, state, Some(output));
            y
        };
        let len = size(sizes, "L");
        for start in ["zero", "init"] {
            let mut state = match start {
                "init" => case.head_states("h0"),
                _ => vec![B::Scalar::default(); width * states],
            };
            let y = run(0, len, &mut state);
            let what = format!("{what} {}.{start}[{}]", case.case, case.batch);
            assert_close(&format!("{what} y"), &widen(&y), &case.matrix(&format!("{start}.y"), false), tolerance);
            let last = case.head_states(&format!("{start}.last_state"));
            assert_close(&format!("{what} state"), &widen(&state), &last, tolerance);
        }
        let split = size(sizes, "split");
        if split > 0 {
            let mut state = case.head_states("h0");
            run(0, split, &mut state);
            let truth = case.head_states("chain.state_at_split");
            assert_close(&format!("{what} {} state at {split}", case.case), &widen(&state), &truth, tolerance);
        }
    });
}

/// Gradients of three parameters, summed over the sequences of a case, by case and start.
type Totals<S> = RefCell<BTreeMap<String, [Vec<S>; 3]>>;

fn check_ssd_backward<B: Backend>(backend: &B, what: &str, tolerance: f64) {
    let totals: Totals<B::Scalar> = RefCell::default();
    for_each_case("op-ssd", |case, sizes| {
        let (heads, head_dim) = (size(sizes, "heads"), size(sizes, "headdim"));
        let (groups, states) = (size(sizes, "groups"), size(sizes, "dstate"));
        let (width, shared, len) = (heads * head_dim, groups * states, size(sizes, "L"));
        let limit = &sizes["dt_limit"];
        let [a, d, dt_bias] = ["A", "D", "dt_bias"].map(|name| case.shared::<B::Scalar>(name, false));
        let dt_limit = (limit[0].as_f64().expect("a bound"), limit[1].as_f64().unwrap_or(f64::INFINITY));
        let params = ssd::Params { heads, head_dim, states, groups, a: &a, d: &d, dt_bias: &dt_bias, dt_limit };
        let [x, dt, b, c, d_y] = ["x", "dt", "B", "C", "dy"].map(|name| case.matrix::<B::Scalar>(name, false));
        let inputs = ssd::Inputs {
            x: Rows::new(&x, width),
            dt: Rows::new(&dt, heads),
            b: Rows::new(&b, shared),
            c: Rows::new(&c, shared),
        };
        for start in ["zero", "init"] {
            let state = match start {
                "init" => case.head_states("h0"),
                _ => vec![B::Scalar::default(); width * states],
            };
            let mut d_state = case.head_states("dlast_state");
            let [mut d_x, mut d_dt, mut d_b, mut d_c] =
                [width, heads, shared, shared].map(|width| vec![B::Scalar::default(); len * width]);
            let d_inputs = ssd::GradInputs {
                d_x: GradRows::set(RowsMut::new(&mut d_x, width)),
                d_dt: GradRows::set(RowsMut::new(&mut d_dt, heads)),
                d_b: GradRows::set(RowsMut::new(&mut d_b, shared)),
                d_c: GradRows::set(RowsMut::new(&mut d_c, shared)),
            };
            let what = format!("{what} {}.{start}", case.case);
            let mut totals = totals.borrow_mut();
            let [d_a, d_d, d_dt_bias] = totals
                .entry(format!("{}.{start}", case.case))
                .or_insert_with(|| std::array::from_fn(|_| vec![B::Scalar::default(); heads]));
            let mut d_params = ssd::GradParams { d_a, d_d, d_dt_bias };
            let (direction, d_y) = (Direction::Forward, Some(Rows::new(&d_y, width)));
            backend.ssd_backward(&params, direction, 0, &inputs, &state, d_y, &mut d_state, d_inputs, &mut d_params);
            for (name, found) in [("x", &d_x), ("dt", &d_dt), ("B", &d_b), ("C", &d_c)] {
                let name = format!("{start}.grad_{name}");
                // The longest case keeps those of its start from zero alone.
                if start == "zero" || len <= 1000 {
                    let what = format!("{what}[{}] {name}", case.batch);
                    assert_close(&what, &widen(found), &case.matrix(&name, false), tolerance);
                }
            }
            if start == "init" {
                let truth = case.head_states("init.grad_h0");
                assert_close(&format!("{what}[{}] h0", case.batch), &widen(&d_state), &truth, tolerance);
            }
            if case.batch + 1 == size(sizes, "batch") {
                for (name, found) in [("A", &*d_params.d_a), ("D", &*d_params.d_d), ("dt_bias", &*d_params.d_dt_bias)] {
                    let truth = case.shared(&format!("{start}.grad_{name}"), false);
                    assert_close(&format!("{what} {name}"), &widen(found), &truth, tolerance);
                }
            }
        }
    });
}

#[test]
fn selective_scan_agrees_with_the_fixtures() {
    check_scan(&Reference, "f64", 1e-10);
    for level in Level::available() {
        check_scan(&Cpu::new(level), &level.to_string(), 4e-6);
    }
}

#[test]
fn gradients_of_the_selective_scan_agree_with_the_fixtures() {
    check_scan_gradients(&Reference, "f64", 1e-10);
    for level in Level::available() {
        check_scan_gradients(&Cpu::new(level), &level.to_string(), 4e-6);
    }
}

#[test]
fn ssd_agrees_with_the_fixtures() {
    check_ssd(&Reference, "f64", 1e-10);
    for level in Level::available() {
        check_ssd(&Cpu::new(level), &level.to_string(), 4e-6);
    }
}

#[test]
fn ssd_gradients_agree_with_the_fixtures() {
    check_ssd_backward(&Reference, "f64", 1e-10);
    for level in Level::available() {
        check_ssd_backward(&Cpu::new(level), &level.to_string(), 4e-6);
    }
}
