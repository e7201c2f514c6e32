//! The scans against fixtures made by the published reference code.

use longstrand_kernels::{
    Backend, Cpu, Direction, Reference, Rows, RowsMut, Write, backend::Scalar, selective_scan, simd::Level, ssd,
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

fn check_scan<B: Backend>(backend: &B, what: &str, tolerance: f64) {
    for_each_case("op-selective-scan", |case, sizes| {
        let (d, n) = (size(sizes, "dim"), size(sizes, "dstate"));
        let split = size(sizes, "split");
        let [u, delta] = ["u", "delta"].map(|name| case.matrix::<B::Scalar>(name, true));
        let z = sizes["z"].as_bool().expect("z").then(|| case.matrix::<B::Scalar>("z", true));
        let [b, c] = ["B", "C"].map(|name| case.matrix::<B::Scalar>(name, true));
        let [skip, bias] = ["D", "delta_bias"].map(|name| case.shared::<B::Scalar>(name, false));
        let a = case.shared::<B::Scalar>("A", true);
        let params = selective_scan::Params { a: &a, d: &skip, delta_bias: &bias };
        let run = |from: usize, to: usize, state: &mut [B::Scalar]| {
            let mut y = vec![B::Scalar::default(); (to - from) * d];
            let part = |x: &'_ [B::Scalar], width: usize| x[from * width..to * width].to_vec();
            let (u, delta, b, c) = (part(&u, d), part(&delta, d), part(&b, n), part(&c, n));
            let z = z.as_ref().map(|z| part(z, d));
            let inputs =
                selective_scan::Inputs { u: Rows::new(&u, d), delta: Rows::new(&delta, d), b: Rows::new(&b, n) };
            let output = selective_scan::Output {
                c: Rows::new(&c, n),
                z: z.as_ref().map(|z| Rows::new(z, d)),
                y: RowsMut::new(&mut y, d),
                write: Write::Set,
            };
            backend.selective_scan(&params, Direction::Forward, &inputs, state, Some(output));
            y
        };
        let len = size(sizes, "L");
        for start in ["zero", "init"] {
            let mut state = match start {
                "init" => case.matrix("h0", true),
                _ => vec![B::Scalar::default(); n * d],
            };
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

#[test]
fn selective_scan_agrees_with_the_fixtures() {
    check_scan(&Reference, "f64", 1e-10);
    for level in Level::available() {
        check_scan(&Cpu::new(level), &level.to_string(), 4e-6);
    }
}

#[test]
fn ssd_agrees_with_the_fixtures() {
    check_ssd(&Reference, "f64", 1e-10);
    for level in Level::available() {
        check_ssd(&Cpu::new(level), &level.to_string(), 4e-6);
    }
}
