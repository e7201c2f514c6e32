//! What a base costs in a long context, as a ratio to a short one in the same run.

use longstrand_kernels::Cpu;
use longstrand_model::{Chunking, Model};
use longstrand_tests::synthetic::{self, Family, Shape};

use crate::{
    models::{Discard, LAST},
    report::{Report, fastest, seconds},
};

const SHORT: usize = 8192;
const LONG: usize = 1 << 20;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    for family in [Family::Mamba, Family::CaduceusPh, Family::CaduceusPs] {
        let model = Model::new(Cpu::new(report.level), &Shape { family, d_model: 256, n_layer: 4 }.checkpoint(1));
        let (ids, mut scratch) = (synthetic::ids(LONG, 1), model.scratch());
        let mut encode = |len: usize| {
            let _ = model.encode(&ids[..len], Chunking::Auto, &LAST, &mut scratch, &mut Discard);
        };
        // Short passes before and after the long one, so that a machine that changes its pace is seen.
        let before = fastest(5, || encode(SHORT)) / SHORT as f64;
        let long = seconds(|| encode(LONG)) / LONG as f64;
        let after = fastest(5, || encode(SHORT)) / SHORT as f64;
        report.row(
            &format!("{family:?} d 256, 4 layers"),
            &[
                ("bases/s at 8,192", 1.0 / before.min(after)),
                ("bases/s at 1,048,576", 1.0 / long),
                ("times the cost of a base", long / ((before + after) / 2.0)),
            ],
        );
    }
    Ok(())
}
