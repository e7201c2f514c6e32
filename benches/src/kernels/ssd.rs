//! Mamba-2's scan. What the plain recurrence needs is counted; the matrix form does other work.
//!
//! A state takes 5 operations forward: decay, update (two), readout (two); and 14 for the gradients: decay and update
//! to make it again (three), its own gradient (three), and two each for its share in those of B, C, x and the decay.

use longstrand_kernels::{Backend, Cpu, Direction, GradRows, Rows, RowsMut, Write, ssd};

use super::{LEN, ROUNDS, numbers};
use crate::report::{Report, fastest};

pub(super) fn run(report: &mut Report, cpu: Cpu) {
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
            &format!("ssd, gradients, {heads} heads of {head_dim}, {states} states"),
            &[
                ("µs a position", backward * 1e6 / LEN as f64),
                ("of the FMA rate (14 an element)", 14.0 / 5.0 * flops / backward / report.rates.flops),
                ("times forward", backward / seconds),
            ],
        );
    }
}
