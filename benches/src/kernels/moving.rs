//! Kernels that do little with each number they move.

use std::hint::black_box;

use longstrand_kernels::{
    Backend, Cpu, Direction, GradRows, Rows, RowsMut, Write, causal_conv1d, cross_entropy, gated_norm, norm,
};

use super::{INNER, LEN, ROUNDS, numbers};
use crate::report::{Report, fastest};

/// Tokens of a vocabulary.
const TOKENS: usize = 16;

/// Buffers of `[LEN, INNER]`.
struct Buffers {
    x: Vec<f32>,
    z: Vec<f32>,
    d_out: Vec<f32>,
    out: Vec<f32>,
    d_x: Vec<f32>,
    d_z: Vec<f32>,
    /// `[INNER]`
    weight: Vec<f32>,
    /// `[INNER]`
    d_weight: Vec<f32>,
}

/// Rows of a report, as fractions of the rate of a copy.
struct Moving<'a> {
    report: &'a mut Report,
    cpu: Cpu,
    /// Bytes a second.
    copy: f64,
}

pub(super) fn run(report: &mut Report, cpu: Cpu) {
    let numbers = || numbers(LEN * INNER);
    let mut buffers = Buffers {
        x: numbers(),
        z: numbers(),
        d_out: numbers(),
        out: numbers(),
        d_x: numbers(),
        d_z: numbers(),
        weight: super::numbers(INNER),
        d_weight: vec![0.0; INNER],
    };
    let Buffers { x, out, .. } = &mut buffers;
    let copy = bytes(2) / fastest(ROUNDS, || black_box(&mut *out).copy_from_slice(black_box(x)));
    report.row("copy, one thread", &[("GB/s", copy / 1e9)]);
    let mut moving = Moving { report, cpu, copy };
    moving.convolution(&mut buffers);
    moving.norms(&mut buffers);
    moving.gates(&mut buffers);
    moving.ends(&mut buffers);
}

fn bytes(buffers: usize) -> f64 {
    (buffers * LEN * INNER * size_of::<f32>()) as f64
}

impl Moving<'_> {
    /// Reports a kernel that moves so many buffers, and its gradients.
    fn pair(&mut self, what: &str, forward: (usize, f64), backward: (usize, f64)) {
        self.row(what, forward, &[]);
        self.row(&format!("{what}, gradients"), backward, &[("times forward", backward.1 / forward.1)]);
    }

    fn row(&mut self, what: &str, (buffers, seconds): (usize, f64), more: &[(&str, f64)]) {
        let rate = bytes(buffers) / seconds;
        self.report.row(what, &[&[("GB/s", rate / 1e9), ("of the copy", rate / self.copy)], more].concat());
    }

    fn convolution(&mut self, buffers: &mut Buffers) {
        let Buffers { x, d_out, out, d_x, weight, d_weight, .. } = buffers;
        let (cpu, taps, input) = (self.cpu, numbers(4 * INNER), Rows::new(x, INNER));
        let (mut state, mut d_taps) = (vec![0.0; 3 * INNER], vec![0.0; 4 * INNER]);
        let conv = causal_conv1d::Params { weight: &taps, bias: Some(weight) };
        let forward = fastest(ROUNDS, || cpu.causal_conv1d(&conv, Direction::Forward, input, &mut state, out));
        let first = vec![0.0; 3 * INNER];
        let backward = fastest(ROUNDS, || {
            let d_x = GradRows::set(RowsMut::new(d_x, INNER));
            let mut d_params = causal_conv1d::GradParams { d_weight: &mut d_taps, d_bias: Some(d_weight) };
            cpu.causal_conv1d_backward(&conv, Direction::Forward, input, &first, d_out, &mut state, d_x, &mut d_params);
        });
        self.pair("causal convolution with SiLU", (2, forward), (3, backward));
    }

    fn norms(&mut self, buffers: &mut Buffers) {
        let Buffers { x, d_out, out, d_x, weight, d_weight, .. } = buffers;
        let cpu = self.cpu;
        for (what, kind) in [("RMS norm", norm::Kind::Rms), ("layer norm", norm::Kind::Layer)] {
            let params = norm::Params { kind, epsilon: 1e-5, weight, bias: None };
            let forward = fastest(ROUNDS, || cpu.norm(&params, x, out));
            let backward = fastest(ROUNDS, || {
                let mut d_params = norm::GradParams { d_weight, d_bias: None };
                cpu.norm_backward(&params, x, d_out, d_x, Write::Set, &mut d_params);
            });
            self.pair(what, (2, forward), (3, backward));
        }
    }

    fn gates(&mut self, buffers: &mut Buffers) {
        let Buffers { x, z, d_out, out, d_x, d_z, weight, d_weight } = buffers;
        let (cpu, z) = (self.cpu, Rows::new(z, INNER));
        let forward = fastest(ROUNDS, || cpu.silu_gate(out, z));
        let backward = fastest(ROUNDS, || cpu.silu_gate_backward(x, z, d_out, d_x, RowsMut::new(d_z, INNER)));
        self.pair("SiLU gate", (3, forward), (5, backward));
        let params = gated_norm::Params { weight, epsilon: 1e-5, group: INNER };
        let forward = fastest(ROUNDS, || cpu.gated_norm(&params, out, z));
        let backward = fastest(ROUNDS, || {
            let d_inputs = gated_norm::GradInputs { d_x, d_z: RowsMut::new(d_z, INNER) };
            cpu.gated_norm_backward(&params, x, z, d_out, d_inputs, d_weight);
        });
        self.pair("gated norm", (3, forward), (5, backward));
    }

    /// What a model begins and ends with.
    fn ends(&mut self, buffers: &mut Buffers) {
        let Buffers { x, d_out, out, d_x, .. } = buffers;
        let (cpu, mut table) = (self.cpu, numbers(TOKENS * INNER));
        let ids: Vec<u8> = (0..LEN).map(|i| 7 + (i * 31 % 4) as u8).collect();
        let forward = fastest(ROUNDS, || cpu.embedding(&table, &ids, out));
        let backward = fastest(ROUNDS, || cpu.embedding_backward(&ids, d_out, &mut table));
        self.pair("embedding", (1, forward), (1, backward));
        out.copy_from_slice(x);
        let seconds = fastest(ROUNDS, || cpu.log_softmax(out, TOKENS));
        self.row(&format!("log-softmax of {TOKENS}"), (2, seconds), &[]);
        let labels: Vec<u8> = (0..LEN * INNER / TOKENS).map(|i| 7 + (i * 31 % 4) as u8).collect();
        let targets = cross_entropy::Targets { labels: &labels, weights: None };
        let forward = fastest(ROUNDS, || _ = black_box(cpu.cross_entropy(x, TOKENS, &targets, None)));
        let backward = fastest(ROUNDS, || cpu.cross_entropy_backward(x, TOKENS, &targets, 1.0, d_x));
        self.pair(&format!("cross-entropy of {TOKENS}"), (1, forward), (2, backward));
    }
}
