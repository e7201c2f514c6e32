//! Mamba's scan: an exponential an element forward, and two for the gradients, which make the states again.

use longstrand_kernels::{Backend, Cpu, Direction, GradRows, Rows, RowsMut, Write, elapsed, selective_scan};

use super::{INNER, LEN, ROUNDS, STATES, numbers};
use crate::report::{Report, fastest};

pub(super) fn run(report: &mut Report, cpu: Cpu) {
    forward(report, cpu);
    backward(report, cpu);
}

fn forward(report: &mut Report, cpu: Cpu) {
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
fn backward(report: &mut Report, cpu: Cpu) {
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
                ("times forward", seconds / walk),
            ],
        );
        // What a stretch of a sequence tells the one before it.
        let seconds = fastest(ROUNDS, || {
            let steps = elapsed::Steps { bias: &bias, limit: elapsed::UNLIMITED, delta: inputs.delta };
            cpu.elapsed(&steps, &mut vec![0.0; INNER]);
            cpu.selective_scan_retreat(&params, direction, inputs.delta, &readout, &mut state.clone());
        });
        report.row(
            &format!("selective scan {direction:?}, time elapsed and gradient of the state alone"),
            &[
                ("ns an element", seconds / exps * 1e9),
                ("of the exp rate", exps / seconds / report.rates.exps),
                ("times forward", seconds / walk),
            ],
        );
    }
}
