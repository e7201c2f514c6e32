//! What a base costs in a long context, as a ratio to a short one in the same run.

use longstrand_kernels::Cpu;
use longstrand_model::{Chunking, Model};
use longstrand_tests::synthetic::{self, Family, Shape};

use crate::{
    models::{Discard, LAST},
    report::{Report, median, seconds},
};

const SHORT: usize = 8192;
const LONG: usize = 1 << 20;

/// Short passes before the long one, and one fewer after it.
const ROUNDS: usize = 9;

/// The most that a base may cost in a long context, to a short one.
const CAUSAL: f64 = 1.1;
const BIDIRECTIONAL: f64 = 1.5;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    for family in [Family::Mamba, Family::CaduceusPh, Family::CaduceusPs] {
        let model = Model::new(Cpu::new(report.level), &Shape { family, d_model: 256, n_layer: 4 }.checkpoint(1));
        let (ids, mut scratch) = (synthetic::ids(LONG, 1), model.scratch());
        let mut encode = |len: usize| {
            let _ = model.encode(&ids[..len], Chunking::Auto, &LAST, &mut scratch, &mut Discard);
        };
        // Short passes before and after the long one, so that a machine that changes its pace is seen.
        let mut short: Vec<f64> = Vec::new();
        encode(SHORT);
        short.extend((0..ROUNDS).map(|_| seconds(|| encode(SHORT)) / SHORT as f64));
        let long = seconds(|| encode(LONG)) / LONG as f64;
        short.extend((1..ROUNDS).map(|_| seconds(|| encode(SHORT)) / SHORT as f64));
        let fastest = short.iter().copied().fold(f64::INFINITY, f64::min);
        let median = median(short);
        report.row(
            &format!("{family:?} d 256, 4 layers"),
            &[
                ("bases/s at 8,192 (median)", 1.0 / median),
                ("bases/s at 8,192 (fastest)", 1.0 / fastest),
                ("bases/s at 1,048,576", 1.0 / long),
                ("times the cost of a base (to the median)", long / median),
            ],
        );
        let bound = if family == Family::Mamba { CAUSAL } else { BIDIRECTIONAL };
        report.at_most(&format!("{family:?}: the cost of a base at 1,048,576 to that at 8,192"), long / median, bound);
    }
    Ok(())
}
