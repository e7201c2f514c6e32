//! The built-in model on the windows that its card measures it on, against what the card says.

use std::{num::NonZeroUsize, path::PathBuf};

use anyhow::{Context, ensure};
use longstrand_model::{Unwatched, checkpoint::Checkpoint};
use longstrand_pretrain::evaluate::{Class, Evaluation, Input, Total};

use crate::report::{Report, seconds};

/// The file of token ids and labels: 4,096 windows of hg19 chr21 with their masks.
const TOKENS_VARIABLE: &str = "LONGSTRAND_BENCH_VALIDATION";

const WINDOWS: u64 = 4096;

/// What `data/longstrand-ph-d256-l4-grch37.md` says: mean losses in nats a base.
const EXPECTED: [(Class, &str, f64); 3] =
    [(Class::All, "all", 1.08499), (Class::Masked, "[MASK]", 1.16065), (Class::Visible, "visible", 0.76458)];

const TOLERANCE: f64 = 1e-4;

/// Asks for every target, if the file is named.
pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let Some(path) = std::env::var_os(TOKENS_VARIABLE).map(PathBuf::from) else {
        println!("{TOKENS_VARIABLE} does not name the file of validation windows: nothing is measured");
        return Ok(());
    };
    let threads = NonZeroUsize::new(rayon::current_num_threads()).context("threads")?;
    let evaluation = Evaluation { input: Input::Tokens(path), limit: None, threads };
    let checkpoint = Checkpoint::builtin()?;
    let mut measured = None;
    let seconds = seconds(|| measured = Some(evaluation.run(&checkpoint, report.level, &Unwatched)));
    let measured = &measured.context("a result")??[0];
    ensure!(measured.windows == WINDOWS, "expected {WINDOWS} windows, found {}", measured.windows);
    let bases = (measured.windows * measured.length) as f64;
    report.row("built-in model on its validation windows", &[("bases/s", bases / seconds)]);
    for (class, name, expected) in EXPECTED {
        let loss = Total::mean_loss(measured.tally.total(class));
        report.row(&format!("nats a base, {name}"), &[("found", loss), ("expected", expected)]);
        report.at_most(&format!("{name}: the difference to {expected}"), (loss - expected).abs(), TOLERANCE);
    }
    Ok(())
}
