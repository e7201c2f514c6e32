//! Each kernel at the sizes of Caduceus-Ph d 256, against its floor.
//!
//! Floors: multiply-adds at the machine's measured rate for matrix products; exponentials at theirs for the scan; for the
//! rest the bytes that have to move, at the rate that a copy of the same size reaches in the same run.

use longstrand_kernels::{
    Backend, Cpu, Direction, GradRows, Rows, RowsMut, Write, backend::Precision, causal_conv1d, gated_norm, norm,
    selective_scan, ssd,
};

use crate::report::{Report, fastest};

const LEN: usize = 4096;
const WIDTH: usize = 256;
const INNER: usize = 512;
const STATES: usize = 16;
const ROUNDS: usize = 9;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let cpu = Cpu::new(report.level);
    matrix_products(report, cpu);
    rounded_products(report, [cpu, Cpu::with_precision(report.level, Precision::Bf16)]);
    scan(report, cpu);
    scan_backward(report, cpu);
    matrix_scan(report, cpu);
    moving(report, cpu);
    Ok(())
}

/// Numbers that are not special: neither zero, nor equal, nor large.
fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1999) as f32 / 1000.0 - 1.0).collect()
}

fn matrix_products(report: &mut Report, cpu: Cpu) {
    for (name, n_in, n_out) in
        [("in_proj", WIDTH, 2 * INNER), ("out_proj", INNER, WIDTH), ("x_proj", INNER, 48), ("dt_proj", 16, INNER)]
    {
        let (x, weight, mut out) = (numbers(LEN * n_in), numbers(n_in * n_out), vec![0.0; LEN * n_out]);
        let matrix = cpu.matrix(&weight, n_in, None);
        let flops = (2 * LEN * n_in * n_out) as f64;
        let ours = fastest(ROUNDS, || {
            cpu.linear(&matrix, Rows::new(&x, n_in), RowsMut::new(&mut out, n_out), Write::Set);
        });
        let peer = fastest(ROUNDS, || gemm_crate(&x, &weight, &mut out, n_in, n_out));
        report.row(
            &format!("linear {name} [{n_in} → {n_out}]"),
            &[
                ("GFLOP/s", flops / ours / 1e9),
                ("of the FMA rate", flops / ours / report.rates.flops),
                ("times as fast as the crate gemm", peer / ours),
            ],
        );
        let mut d_weight = vec![0.0; n_in * n_out];
        let gradient = fastest(ROUNDS, || {
            cpu.weight_gradient(Rows::new(&out, n_out), Rows::new(&x, n_in), &mut d_weight, None);
        });
        report.row(
            &format!("weight gradient of {name}"),
            &[
                ("GFLOP/s", flops / gradient / 1e9),
                ("of the FMA rate", flops / gradient / report.rates.flops),
                ("times forward", gradient / ours),
            ],
        );
    }
}

/// Products of bf16 operands next to those of f32.
fn rounded_products(report: &mut Report, cpus: [Cpu; 2]) {
    for (name, n_in, n_out) in
        [("in_proj", WIDTH, 2 * INNER), ("out_proj", INNER, WIDTH), ("x_proj", INNER, 48), ("dt_proj", 16, INNER)]
    {
        let (x, weight, mut out) = (numbers(LEN * n_in), numbers(n_in * n_out), vec![0.0; LEN * n_out]);
        let (x, mut d_weight) = (Rows::new(&x, n_in), vec![0.0; n_in * n_out]);
        let flops = (2 * LEN * n_in * n_out) as f64;
        let [full, rounded] = cpus.map(|cpu| {
            let matrix = cpu.matrix(&weight, n_in, None);
            let product = fastest(ROUNDS, || cpu.linear(&matrix, x, RowsMut::new(&mut out, n_out), Write::Set));
            let gradient = fastest(ROUNDS, || cpu.weight_gradient(Rows::new(&out, n_out), x, &mut d_weight, None));
            [product, gradient]
        });
        let what = [format!("linear {name} [{n_in} → {n_out}] in bf16"), format!("weight gradient of {name} in bf16")];
        for (what, (full, rounded)) in what.iter().zip(full.into_iter().zip(rounded)) {
            report.row(what, &[("GFLOP/s", flops / rounded / 1e9), ("times as fast as f32", full / rounded)]);
        }
    }
}

/// `out = x · weightᵀ` with the crate `gemm` and all threads.
fn gemm_crate(x: &[f32], weight: &[f32], out: &mut [f32], n_in: usize, n_out: usize) {
    assert!(x.len() == LEN * n_in && weight.len() == n_in * n_out && out.len() == LEN * n_out);
    // SAFETY: the lengths have just been held against the shapes and strides that are passed.
    unsafe {
        gemm::gemm(
            LEN,
            n_out,
            n_in,
            out.as_mut_ptr(),
            1,
            n_out as isize,
            false,
            x.as_ptr(),
            1,
            n_in as isize,
            weight.as_ptr(),
            n_in as isize,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}

fn scan(report: &mut Report, cpu: Cpu) {
    let (u, delta, z) = (numbers(LEN * INNER), numbers(LEN * INNER), numbers(LEN * INNER));
    let selected = numbers(LEN * 48);
    let a: Vec<f32> = (0..STATES * INNER).map(|i| -1.0 - (i / INNER) as f32).collect();
    let (d, bias) = (numbers(INNER), vec![-4.0; INNER]);
    let params = selective_scan::Params { a: &a, d: &d, delta_bias: &bias };
    let inputs = selective_scan::Inputs {
        u: Rows::new(&u, INNER),
        delta: Rows::new(&delta, INNER),
        b: Rows::columns(&selected, 48, 16, STATES),
    };
    let (mut y, mut state) = (vec![0.0; LEN * INNER], vec![0.0; STATES * INNER]);
    let exps = (LEN * INNER * STATES) as f64;
    for direction in [Direction::Forward, Direction::Reverse] {
        for reads in [true, false] {
            let seconds = fastest(ROUNDS, || {
                let output = reads.then(|| selective_scan::Output {
                    c: Rows::columns(&selected, 48, 32, STATES),
                    z: Some(Rows::new(&z, INNER)),
                    y: RowsMut::new(&mut y, INNER),
                    write: Write::Set,
                });
                cpu.selective_scan(&params, direction, &inputs, &mut state, output);
            });
            let what = if reads { "with output" } else { "state alone" };
            report.row(
                &format!("selective scan {direction:?}, {what}"),
                &[
                    ("G elements/s", exps / seconds / 1e9),
                    ("of the exp rate", exps / seconds / report.rates.exps),
                    ("of the FMA rate (5 an element)", 5.0 * exps / seconds / report.rates.flops),
                ],
            );
        }
    }
}

/// The gradients of the scan with a gate, next to the walk they belong to.
fn scan_backward(report: &mut Report, cpu: Cpu) {
    let (u, delta, z, d_y) = (numbers(LEN * INNER), numbers(LEN * INNER), numbers(LEN * INNER), numbers(LEN * INNER));
    let selected = numbers(LEN * 48);
    let a: Vec<f32> = (0..STATES * INNER).map(|i| -1.0 - (i / INNER) as f32).collect();
    let (d, bias, state) = (numbers(INNER), vec![-4.0; INNER], vec![0.0; STATES * INNER]);
    let params = selective_scan::Params { a: &a, d: &d, delta_bias: &bias };
    let inputs = selective_scan::Inputs {
        u: Rows::new(&u, INNER),
        delta: Rows::new(&delta, INNER),
        b: Rows::columns(&selected, 48, 16, STATES),
    };
    let c = Rows::columns(&selected, 48, 32, STATES);
    let readout = selective_scan::Readout { c, z: Some(Rows::new(&z, INNER)), d_y: Rows::new(&d_y, INNER) };
    let mut wide = [vec![0.0; LEN * INNER], vec![0.0; LEN * INNER], vec![0.0; LEN * INNER]];
    let mut narrow = [vec![0.0; LEN * STATES], vec![0.0; LEN * STATES]];
    let (mut d_a, mut d_d, mut d_bias) = (vec![0.0; STATES * INNER], vec![0.0; INNER], vec![0.0; INNER]);
    let exps = (LEN * INNER * STATES) as f64;
    for direction in [Direction::Forward, Direction::Reverse] {
        let walk = fastest(ROUNDS, || {
            let y = RowsMut::new(&mut wide[0], INNER);
            let output = selective_scan::Output { c, z: readout.z, y, write: Write::Set };
            cpu.selective_scan(&params, direction, &inputs, &mut state.clone(), Some(output));
        });
        let seconds = fastest(ROUNDS, || {
            let [d_u, d_delta, d_z] = wide.each_mut().map(|d| GradRows::set(RowsMut::new(d, INNER)));
            let [d_b, d_c] = narrow.each_mut().map(|d| GradRows::set(RowsMut::new(d, STATES)));
            let d_inputs = selective_scan::GradInputs { d_u, d_delta, d_b, d_c: Some(d_c), d_z: Some(d_z) };
            let mut d_params = selective_scan::GradParams { d_a: &mut d_a, d_d: &mut d_d, d_delta_bias: &mut d_bias };
            let (state, d_state) = (&state, &mut state.clone());
            let readout = Some(&readout);
            cpu.selective_scan_backward(&params, direction, &inputs, state, readout, d_state, d_inputs, &mut d_params);
        });
        report.row(
            &format!("selective scan {direction:?}, gradients"),
            &[
                ("ns an element", seconds / exps * 1e9),
                ("of the exp rate (2 an element)", 2.0 * exps / seconds / report.rates.exps),
                ("times the time of the walk", seconds / walk),
            ],
        );
    }
}

fn matrix_scan(report: &mut Report, cpu: Cpu) {
    for (heads, head_dim, states) in [(8, 64, 64), (24, 64, 128)] {
        let inner = heads * head_dim;
        let (x, dt, bc) = (numbers(LEN * inner), numbers(LEN * heads), numbers(LEN * 2 * states));
        let (a, d, dt_bias) = (vec![-1.5; heads], vec![1.0; heads], vec![-4.0; heads]);
        let params = ssd::Params {
            heads,
            head_dim,
            states,
            groups: 1,
            a: &a,
            d: &d,
            dt_bias: &dt_bias,
            dt_limit: (0.0, f64::INFINITY),
        };
        let inputs = ssd::Inputs {
            x: Rows::new(&x, inner),
            dt: Rows::new(&dt, heads),
            b: Rows::columns(&bc, 2 * states, 0, states),
            c: Rows::columns(&bc, 2 * states, states, states),
        };
        let (mut y, mut state) = (vec![0.0; LEN * inner], vec![0.0; states * inner]);
        let seconds = fastest(ROUNDS, || {
            let output = ssd::Output { y: RowsMut::new(&mut y, inner), write: Write::Set };
            cpu.ssd(&params, Direction::Forward, 0, &inputs, &mut state, Some(output));
        });
        // What the recurrence itself needs: decay, update and readout of every state.
        let flops = (5 * LEN * inner * states) as f64;
        report.row(
            &format!("ssd, {heads} heads of {head_dim}, {states} states"),
            &[
                ("µs a position", seconds * 1e6 / LEN as f64),
                ("of the FMA rate (5 an element)", flops / seconds / report.rates.flops),
            ],
        );
        let mut d_state = numbers(states * inner);
        let [mut d_x, mut d_dt, mut d_bc] = [inner, heads, 2 * states].map(|width| vec![0.0; LEN * width]);
        let (mut d_a, mut d_d, mut d_dt_bias) = (a.clone(), d.clone(), dt_bias.clone());
        let (d_b, d_c) = d_bc.split_at_mut(LEN * states);
        let backward = fastest(ROUNDS, || {
            let d_inputs = ssd::GradInputs {
                d_x: GradRows::set(RowsMut::new(&mut d_x, inner)),
                d_dt: GradRows::set(RowsMut::new(&mut d_dt, heads)),
                d_b: GradRows::set(RowsMut::new(d_b, states)),
                d_c: GradRows::set(RowsMut::new(d_c, states)),
            };
            let mut d_params = ssd::GradParams { d_a: &mut d_a, d_d: &mut d_d, d_dt_bias: &mut d_dt_bias };
            let d_y = Some(Rows::new(&y, inner));
            let direction = Direction::Forward;
            cpu.ssd_backward(&params, direction, 0, &inputs, &state, d_y, &mut d_state, d_inputs, &mut d_params);
        });
        report.row(
            &format!("ssd-backward, {heads} heads of {head_dim}, {states} states"),
            &[("µs a position", backward * 1e6 / LEN as f64), ("times forward", backward / seconds)],
        );
    }
}

/// Kernels that do little with each number they move.
fn moving(report: &mut Report, cpu: Cpu) {
    let (x, z) = (numbers(LEN * INNER), numbers(LEN * INNER));
    let mut y = vec![0.0; LEN * INNER];
    let bytes = |buffers: usize| (buffers * LEN * INNER * size_of::<f32>()) as f64;
    let copy = bytes(2) / fastest(ROUNDS, || std::hint::black_box(&mut y).copy_from_slice(std::hint::black_box(&x)));
    report.row("copy, one thread", &[("GB/s", copy / 1e9)]);
    let mut row = |what: &str, buffers: usize, seconds: f64| {
        let rate = bytes(buffers) / seconds;
        report.row(what, &[("GB/s", rate / 1e9), ("of the copy", rate / copy)]);
    };
    let (weight, taps) = (numbers(INNER), numbers(4 * INNER));
    let mut state = vec![0.0; 3 * INNER];
    let conv = causal_conv1d::Params { weight: &taps, bias: Some(&weight) };
    let input = Rows::new(&x, INNER);
    row(
        "causal convolution with SiLU",
        2,
        fastest(ROUNDS, || cpu.causal_conv1d(&conv, Direction::Forward, input, &mut state, &mut y)),
    );
    let (mut d_x, mut d_taps, mut d_bias) = (vec![0.0; LEN * INNER], vec![0.0; 4 * INNER], vec![0.0; INNER]);
    row(
        "causal convolution with SiLU, gradients",
        3,
        fastest(ROUNDS, || {
            let d_x = GradRows::set(RowsMut::new(&mut d_x, INNER));
            let mut d_params = causal_conv1d::GradParams { d_weight: &mut d_taps, d_bias: Some(&mut d_bias) };
            let first = vec![0.0; 3 * INNER];
            cpu.causal_conv1d_backward(&conv, Direction::Forward, input, &first, &z, &mut state, d_x, &mut d_params);
        }),
    );
    let rms = norm::Params { kind: norm::Kind::Rms, epsilon: 1e-5, weight: &weight, bias: None };
    row("RMS norm", 2, fastest(ROUNDS, || cpu.norm(&rms, &x, &mut y)));
    let layer = norm::Params { kind: norm::Kind::Layer, ..rms };
    row("layer norm", 2, fastest(ROUNDS, || cpu.norm(&layer, &x, &mut y)));
    row("SiLU gate", 3, fastest(ROUNDS, || cpu.silu_gate(&mut y, Rows::new(&z, INNER))));
    let gated = gated_norm::Params { weight: &weight, epsilon: 1e-5, group: INNER };
    row("gated norm", 3, fastest(ROUNDS, || cpu.gated_norm(&gated, &mut y, Rows::new(&z, INNER))));
    let ids: Vec<u8> = (0..LEN).map(|i| 7 + (i * 31 % 4) as u8).collect();
    let table = numbers(16 * INNER);
    row("embedding", 1, fastest(ROUNDS, || cpu.embedding(&table, &ids, &mut y)));
    let mut logits = numbers(LEN * INNER);
    row("log-softmax of 16", 2, fastest(ROUNDS, || cpu.log_softmax(&mut logits, 16)));
}
