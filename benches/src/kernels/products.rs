//! Matrix products: projections, and the gradients of their input and of their weight, each with as many multiply-adds.

use longstrand_kernels::{Backend, Cpu, Rows, RowsMut, Write, backend::Precision};

use super::{INNER, LEN, ROUNDS, WIDTH, numbers};
use crate::report::{Report, fastest};

/// Names, and columns in and out.
const PROJECTIONS: [(&str, usize, usize); 4] =
    [("in_proj", WIDTH, 2 * INNER), ("out_proj", INNER, WIDTH), ("x_proj", INNER, 48), ("dt_proj", 16, INNER)];

pub(super) fn run(report: &mut Report, cpu: Cpu) {
    for (name, n_in, n_out) in PROJECTIONS {
        projection(report, cpu, name, n_in, n_out);
    }
    rounded(report, [cpu, Cpu::with_precision(report.level, Precision::Bf16)]);
}

fn projection(report: &mut Report, cpu: Cpu, name: &str, n_in: usize, n_out: usize) {
    let (mut x, weight, mut out) = (numbers(LEN * n_in), numbers(n_in * n_out), vec![0.0; LEN * n_out]);
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
    let of_weight = fastest(ROUNDS, || {
        cpu.weight_gradient(Rows::new(&out, n_out), Rows::new(&x, n_in), &mut d_weight, None);
    });
    let transposed = cpu.transposed_matrix(&weight, n_in);
    let of_input = fastest(ROUNDS, || {
        cpu.linear(&transposed, Rows::new(&out, n_out), RowsMut::new(&mut x, n_in), Write::Set);
    });
    for (what, seconds) in [("input", of_input), ("weight", of_weight)] {
        report.row(
            &format!("linear {name}, gradient of the {what}"),
            &[
                ("GFLOP/s", flops / seconds / 1e9),
                ("of the FMA rate", flops / seconds / report.rates.flops),
                ("times forward", seconds / ours),
            ],
        );
    }
}

/// Products of bf16 operands next to those of f32.
fn rounded(report: &mut Report, cpus: [Cpu; 2]) {
    for (name, n_in, n_out) in PROJECTIONS {
        let (x, weight, mut out) = (numbers(LEN * n_in), numbers(n_in * n_out), vec![0.0; LEN * n_out]);
        let (x, mut d_weight) = (Rows::new(&x, n_in), vec![0.0; n_in * n_out]);
        let flops = (2 * LEN * n_in * n_out) as f64;
        let [full, rounded] = cpus.map(|cpu| {
            let matrix = cpu.matrix(&weight, n_in, None);
            let product = fastest(ROUNDS, || cpu.linear(&matrix, x, RowsMut::new(&mut out, n_out), Write::Set));
            let gradient = fastest(ROUNDS, || cpu.weight_gradient(Rows::new(&out, n_out), x, &mut d_weight, None));
            [product, gradient]
        });
        for (what, (full, rounded)) in ["", ", gradient of the weight"].iter().zip(full.into_iter().zip(rounded)) {
            let what = format!("linear {name} [{n_in} → {n_out}] in bf16{what}");
            report.row(&what, &[("GFLOP/s", flops / rounded / 1e9), ("times as fast as f32", full / rounded)]);
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
