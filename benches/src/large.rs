//! A buffer of more than 2^31 elements through the kernels.

use anyhow::ensure;
use longstrand_kernels::{
    Backend, Cpu, Direction, Rows, RowsMut, TILE, Write, causal_conv1d, gated_norm, norm, selective_scan, ssd,
};
use longstrand_tests::synthetic;

use crate::report::{Report, seconds};

const WIDTH: usize = 256;
/// Just past 2^31 elements.
const LEN: usize = (1 << 31) / WIDTH + 1000;
/// Rows of each stretch that is computed again by itself.
const STRETCH: usize = 500;
/// Where these stretches begin: at the first row, around element 2^31, and so that they end with the last row.
const STRETCHES: [usize; 3] = [0, (1 << 31) / WIDTH - STRETCH / 2, LEN - STRETCH];
/// Rows before a stretch that are computed with it, at the least: a scan forgets in them that it began with an empty state.
const BEFORE: usize = 8 * TILE;

const STATES: usize = 16;
const HEADS: usize = 4;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let cpu = Cpu::new(report.level);
    // Filled with ones, so that no page is touched for the first time inside a measurement.
    let mut large = Large { report, x: vec![1.0; LEN * WIDTH], y: vec![1.0; LEN * WIDTH] };
    embed(&mut large, cpu)?;
    std::mem::swap(&mut large.x, &mut large.y);
    position_by_position(&mut large, cpu)?;
    products(&mut large, cpu)?;
    convolve(&mut large, cpu)?;
    scan(&mut large, cpu)?;
    matrix_scan(&mut large, cpu)
}

/// The report and two buffers `[LEN, WIDTH]`.
struct Large<'a> {
    report: &'a mut Report,
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Large<'_> {
    /// Measures `work`, which is given rows of x, the number of the first one, and the same rows of y, with a copy of x in
    /// them. Stretches of y must be what `work` makes of them by themselves.
    fn measure(&mut self, what: &str, work: impl Fn(&[f32], usize, &mut [f32])) -> anyhow::Result<()> {
        self.y.copy_from_slice(&self.x);
        let seconds = seconds(|| work(&self.x, 0, &mut self.y));
        for start in STRETCHES {
            let from = start.saturating_sub(BEFORE) / TILE * TILE;
            let x = &self.x[from * WIDTH..(start + STRETCH) * WIDTH];
            let mut expected = x.to_vec();
            work(x, from, &mut expected);
            let got = &self.y[start * WIDTH..][..STRETCH * WIDTH];
            let same = got == &expected[(start - from) * WIDTH..];
            ensure!(same, "{what}: rows from {start} on differ from the same rows by themselves");
            ensure!(got.iter().any(|x| *x != 0.0), "{what}: rows from {start} on are all zero");
        }
        let elements = (LEN * WIDTH) as f64;
        self.report.row(
            &format!("{what}, [{LEN}, {WIDTH}]"),
            &[("elements", elements), ("ns an element", seconds * 1e9 / elements)],
        );
        Ok(())
    }
}

/// Numbers that are not special: neither zero, nor equal, nor large.
fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 % 101) as f32 - 50.5) / 50.0).collect()
}

fn embed(large: &mut Large<'_>, cpu: Cpu) -> anyhow::Result<()> {
    let (table, ids) = (numbers(16 * WIDTH), synthetic::ids(LEN, 1));
    large.measure("embedding", |x, first, y| cpu.embedding(&table, &ids[first..][..x.len() / WIDTH], y))
}

fn position_by_position(large: &mut Large<'_>, cpu: Cpu) -> anyhow::Result<()> {
    let weight = vec![0.5; WIDTH];
    let rms = norm::Params { kind: norm::Kind::Rms, epsilon: 1e-5, weight: &weight, bias: None };
    large.measure("norm", |x, _, y| cpu.norm(&rms, x, y))?;
    let gated = gated_norm::Params { weight: &weight, epsilon: 1e-5, group: WIDTH };
    large.measure("gated norm", |x, _, y| cpu.gated_norm(&gated, y, Rows::new(x, WIDTH)))?;
    large.measure("gate", |x, _, y| cpu.silu_gate(y, Rows::new(x, WIDTH)))?;
    large.measure("sum", |x, _, y| cpu.add(y, x))?;
    large.measure("product", |x, _, y| cpu.multiply(y, x))?;
    large.measure("log-softmax of 16", |_, _, y| cpu.log_softmax(y, 16))
}

/// Matrix products from the large buffer into 16 columns, and from 16 columns into a large buffer.
fn products(large: &mut Large<'_>, cpu: Cpu) -> anyhow::Result<()> {
    let weight = numbers(WIDTH * STATES);
    let narrowing = cpu.matrix(&weight, WIDTH, None);
    large.measure("linear [256 → 16]", |x, _, y| {
        cpu.linear(&narrowing, Rows::new(x, WIDTH), RowsMut::columns(y, WIDTH, 0, STATES), Write::Set);
    })?;
    let widening = cpu.matrix(&weight, STATES, None);
    large.measure("linear [16 → 256]", |x, _, y| {
        cpu.linear(&widening, Rows::columns(x, WIDTH, 0, STATES), RowsMut::new(y, WIDTH), Write::Set);
    })
}

fn convolve(large: &mut Large<'_>, cpu: Cpu) -> anyhow::Result<()> {
    let taps = numbers(4 * WIDTH);
    let params = causal_conv1d::Params { weight: &taps, bias: None };
    large.measure("causal convolution", |x, _, y| {
        let mut state = vec![0.0; 3 * WIDTH];
        cpu.causal_conv1d(&params, Direction::Forward, Rows::new(x, WIDTH), &mut state, y);
    })
}

/// The scan with u, Δ, z, B and C out of the same buffer.
fn scan(large: &mut Large<'_>, cpu: Cpu) -> anyhow::Result<()> {
    let a: Vec<f32> = (0..STATES * WIDTH).map(|i| -1.0 - (i / WIDTH) as f32).collect();
    let (d, delta_bias) = (numbers(WIDTH), vec![-0.5; WIDTH]);
    let params = selective_scan::Params { a: &a, d: &d, delta_bias: &delta_bias };
    large.measure("selective scan, 16 states", |x, _, y| {
        let rows = Rows::new(x, WIDTH);
        let inputs = selective_scan::Inputs { u: rows, delta: rows, b: Rows::columns(x, WIDTH, 0, STATES) };
        let output = selective_scan::Output {
            c: Rows::columns(x, WIDTH, STATES, STATES),
            z: Some(rows),
            y: RowsMut::new(y, WIDTH),
            write: Write::Set,
        };
        let mut state = vec![0.0; STATES * WIDTH];
        cpu.selective_scan(&params, Direction::Forward, &inputs, &mut state, Some(output));
    })
}

/// SSD with x, Δ, B and C out of the same buffer.
fn matrix_scan(large: &mut Large<'_>, cpu: Cpu) -> anyhow::Result<()> {
    const STATES: usize = 64;
    let (a, d, dt_bias) = (vec![-1.5; HEADS], vec![1.0; HEADS], vec![-0.5; HEADS]);
    let params = ssd::Params {
        heads: HEADS,
        head_dim: WIDTH / HEADS,
        states: STATES,
        groups: 1,
        a: &a,
        d: &d,
        dt_bias: &dt_bias,
        dt_limit: (0.0, f64::INFINITY),
    };
    large.measure("ssd, 4 heads of 64, 64 states", |x, first, y| {
        let inputs = ssd::Inputs {
            x: Rows::new(x, WIDTH),
            dt: Rows::columns(x, WIDTH, 2 * STATES, HEADS),
            b: Rows::columns(x, WIDTH, 0, STATES),
            c: Rows::columns(x, WIDTH, STATES, STATES),
        };
        let output = ssd::Output { y: RowsMut::new(y, WIDTH), write: Write::Set };
        let mut state = vec![0.0; STATES * WIDTH];
        cpu.ssd(&params, Direction::Forward, first as u64, &inputs, &mut state, Some(output));
    })
}
