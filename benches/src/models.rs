//! Whole models at 8,192 bases.
//!
//! The floor of a forward pass is the time that its multiply-adds and exponentials take at the machine's measured rates,
//! one after the other (both run on the same units). What a layer of inner width I does for a base and direction:
//! projections as matrix products, I · N exponentials in the scan, and I exponentials each in the convolution's SiLU and
//! in softplus; once a layer I for the gate.

use longstrand_kernels::{Cpu, Rows};
use longstrand_model::{Chunking, Model, Observer, Request, Tap};
use longstrand_tests::synthetic::{self, Family, Shape};

use crate::report::{Report, fastest};

/// Looks at what it gets so that it is computed, and keeps nothing.
pub(crate) struct Discard;

impl Observer<f32> for Discard {
    fn hidden(&mut self, _: Tap, _: u64, rows: Rows<'_, f32>) {
        std::hint::black_box(rows.row(0));
    }
}

pub(crate) const LAST: Request<'static> = Request { taps: &[Tap::Last], logits: false };

/// Multiply-adds (two operations each) and exponentials of a base, without the norms.
pub(crate) fn work_of_a_base(shape: Shape) -> (f64, f64) {
    let (d, inner, states, rank) =
        (shape.d_model as f64, 2.0 * shape.d_model as f64, 16.0, shape.d_model as f64 / 16.0);
    let directions = if shape.family == Family::Mamba { 1.0 } else { 2.0 };
    let strands = if shape.family == Family::CaduceusPs { 2.0 } else { 1.0 };
    let shared = 2.0 * (d * 2.0 * inner + inner * d);
    let each = 2.0 * (inner * (rank + 2.0 * states) + rank * inner + 4.0 * inner) + 5.0 * inner * states;
    let exponentials = directions * inner * (states + 2.0) + inner;
    let times = strands * shape.n_layer as f64;
    (times * (shared + directions * each), times * exponentials)
}

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    const LEN: usize = 8192;
    for family in [Family::CaduceusPh, Family::CaduceusPs, Family::Mamba] {
        let shape = Shape { family, d_model: 256, n_layer: 4 };
        let model = Model::new(Cpu::new(report.level), &shape.checkpoint(1));
        let (ids, mut scratch) = (synthetic::ids(LEN, 1), model.scratch());
        let seconds = fastest(7, || {
            let _ = model.encode(&ids, Chunking::Auto, &LAST, &mut scratch, &mut Discard);
        });
        let (flops, exps) = work_of_a_base(shape);
        let floor = LEN as f64 * (flops / report.rates.flops + exps / report.rates.exps);
        report.row(
            &format!("{family:?} d 256, 4 layers, L {LEN}"),
            &[
                ("bases/s", LEN as f64 / seconds),
                ("of the floor", floor / seconds),
                ("of the FMA rate", LEN as f64 * flops / seconds / report.rates.flops),
                ("of the exp rate", LEN as f64 * exps / seconds / report.rates.exps),
            ],
        );
        if let Some(bound) = least_bases_per_second(family) {
            report.at_least(&format!("{family:?}: bases a second"), LEN as f64 / seconds, bound);
        }
    }
    Ok(())
}

/// What two threads of one core must reach; nothing is asked of a single thread.
fn least_bases_per_second(family: Family) -> Option<f64> {
    let bound = match family {
        Family::CaduceusPh => 9_000.0,
        Family::CaduceusPs => 4_500.0,
        Family::Mamba | Family::Mamba2 => return None,
    };
    (rayon::current_num_threads() >= 2).then_some(bound)
}
