//! A buffer of more than 2^31 elements through the kernels.

use anyhow::ensure;
use longstrand_kernels::{Backend, Cpu, Direction, Rows, causal_conv1d, norm};
use longstrand_tests::synthetic;

use crate::report::{Report, seconds};

const WIDTH: usize = 256;
/// Just past 2^31 elements.
const LEN: usize = (1 << 31) / WIDTH + 1000;
/// Rows at the end that are computed again by themselves.
const TAIL: usize = 500;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let cpu = Cpu::new(report.level);
    let table: Vec<f32> = (0..16 * WIDTH).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    let ids = synthetic::ids(LEN, 1);
    let mut x = vec![0.0; LEN * WIDTH];
    let mut y = vec![0.0; LEN * WIDTH];
    let tail = (LEN - TAIL) * WIDTH;

    let time = seconds(|| cpu.embedding(&table, &ids, &mut x));
    let mut expected = vec![0.0; TAIL * WIDTH];
    cpu.embedding(&table, &ids[LEN - TAIL..], &mut expected);
    check(report, "embedding", time, &x[tail..], &expected)?;

    let weight = vec![0.5; WIDTH];
    let params = norm::Params { kind: norm::Kind::Rms, epsilon: 1e-5, weight: &weight, bias: None };
    let time = seconds(|| cpu.norm(&params, &x, &mut y));
    let mut expected = vec![0.0; TAIL * WIDTH];
    cpu.norm(&params, &x[tail..], &mut expected);
    check(report, "norm", time, &y[tail..], &expected)?;

    let taps: Vec<f32> = (0..4 * WIDTH).map(|i| (i % 7) as f32 / 7.0).collect();
    let params = causal_conv1d::Params { weight: &taps, bias: None };
    let mut state = vec![0.0; 3 * WIDTH];
    let input = Rows::new(&x, WIDTH);
    let time = seconds(|| cpu.causal_conv1d(&params, Direction::Forward, input, &mut state, &mut y));
    let mut state = x[tail - 3 * WIDTH..tail].to_vec();
    let mut expected = vec![0.0; TAIL * WIDTH];
    let input = Rows::new(&x[tail..], WIDTH);
    cpu.causal_conv1d(&params, Direction::Forward, input, &mut state, &mut expected);
    check(report, "causal convolution", time, &y[tail..], &expected)?;

    let time = seconds(|| cpu.silu_gate(&mut x, Rows::new(&y, WIDTH)));
    let mut expected = vec![0.0; TAIL * WIDTH];
    cpu.embedding(&table, &ids[LEN - TAIL..], &mut expected);
    cpu.silu_gate(&mut expected, Rows::new(&y[tail..], WIDTH));
    check(report, "gate", time, &x[tail..], &expected)
}

/// The rows beyond element 2^31 must be those of the same computation on them alone.
fn check(report: &mut Report, what: &str, seconds: f64, got: &[f32], expected: &[f32]) -> anyhow::Result<()> {
    ensure!(got == expected, "{what}: rows beyond 2^31 elements differ from the same rows by themselves");
    ensure!(got.iter().any(|x| *x != 0.0), "{what}: all zero");
    let elements = (LEN * WIDTH) as f64;
    report.row(
        &format!("{what}, [{LEN}, {WIDTH}]"),
        &[("elements", elements), ("ns an element", seconds * 1e9 / elements)],
    );
    Ok(())
}
