//! Masked scores with the built-in model: SNVs a second, and what part of the model's own rate that is.
//!
//! A SNV costs one window on a strand. The floor is the time of the same windows, bare passes with logits, side by side on
//! as many threads; scoring and passes take turns in one run.

use std::num::NonZeroU64;

use anyhow::ensure;
use longstrand_kernels::{Cpu, Rows};
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{Chunking, Model, Observer, Request, Tap};
use longstrand_variants::{Score, ScoreOptions, Strands};

use super::crew::side_by_side;
use super::sequence::Sequence;
use super::work::{Scored, score};
use crate::report::{Report, median, seconds};

/// Bases that a round takes through the model.
const BASES: u64 = 200 << 10;

/// An odd number, behind one that is not counted.
const ROUNDS: usize = 7;

/// The least part of the model's own rate.
const FRACTION: f64 = 0.9;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let (sequence, checkpoint) = (Sequence::open()?, Checkpoint::builtin()?);
    for context in [512, 1_024] {
        measure(report, &sequence, &checkpoint, context)?;
    }
    Ok(())
}

fn measure(report: &mut Report, sequence: &Sequence, checkpoint: &Checkpoint, context: u64) -> anyhow::Result<()> {
    let inner = sequence.span.start + context..sequence.span.end - context;
    let snvs = sequence.snvs(inner, (BASES / context) as usize)?;
    let options = ScoreOptions {
        scores: vec![Score::Masked],
        context: NonZeroU64::try_from(context)?,
        strands: Strands::Forward,
        ..ScoreOptions::default()
    };
    let windows: Vec<Vec<u8>> = snvs
        .iter()
        .map(|snv| {
            let mut ids = Vec::new();
            let start = snv.position - context / 2;
            checkpoint.vocabulary.encode(sequence.bases(start..start + context), &mut ids);
            ids
        })
        .collect();
    let model = Model::new(Cpu::new(report.level), checkpoint);
    let (mut scoring, mut passing) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let Scored { seconds, tokens, .. } = score(sequence, &snvs, checkpoint, report.level, &options)?;
        let windows_seconds = pass_all(&model, &windows);
        ensure!(tokens == snvs.len() as u64 * context, "{tokens} tokens for {} windows of {context}", snvs.len());
        if round > 0 {
            scoring.push(seconds);
            passing.push(windows_seconds);
        }
    }
    let fraction = median(scoring.iter().zip(&passing).map(|(scoring, passing)| passing / scoring).collect());
    let rate = |seconds: Vec<f64>| snvs.len() as f64 / median(seconds);
    report.row(
        &format!("masked, window {context}, one strand"),
        &[("SNVs/s", rate(scoring)), ("windows/s of the model", rate(passing)), ("of the model's rate", fraction)],
    );
    report.at_least(&format!("masked, window {context}: of the model's rate"), fraction, FRACTION);
    Ok(())
}

/// Seconds of a pass over every window.
fn pass_all(model: &Model<Cpu>, windows: &[Vec<u8>]) -> f64 {
    let request = Request { taps: &[], logits: true };
    seconds(|| {
        side_by_side(model, windows.len(), |i, scratch| {
            let _ = model.encode(&windows[i], Chunking::Auto, &request, scratch, &mut Unread);
        });
    })
}

/// Takes logits and leaves them.
struct Unread;

impl Observer<f32> for Unread {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, f32>) {}

    fn logits(&mut self, _: u64, rows: Rows<'_, f32>) {
        std::hint::black_box(rows.row(0));
    }
}
