//! Likelihoods of a causal model behind anchors: prefixes shared, against each allele's whole sequence from its anchor.
//!
//! What a pass costs is its tokens. Whole windows take 2 · (distance to the anchor + tail) for a SNV. Shared, a block's
//! reference is read once, from the anchor to the last variant's tail, and a SNV adds its tail and what lies between it and the
//! point before it at which states are taken.

use std::num::NonZeroU64;
use std::ops::Range;
use std::time::Instant;

use longstrand_kernels::{Cpu, Rows};
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{Chunking, Model, Observer, Request, Scratch, Tap};
use longstrand_tests::synthetic::{Family, Shape};
use longstrand_variants::{Anchor, Score, ScoreOptions, Strands};
use serde_json::json;

use super::crew::side_by_side;
use super::sequence::{Sequence, Snv};
use super::work::score;
use crate::report::Report;

const CONTEXTS: [u64; 3] = [1_024, 16_384, 131_072];
const VARIANTS: [usize; 3] = [1, 10, 1_000];
const MEGABASE: u64 = 1_000_000;

/// Variants whose two windows are computed whole, unless there are fewer.
const SAMPLE: usize = 20;

/// Windows up to this length are computed side by side, longer ones each by all threads, as scoring does.
const SIDE_BY_SIDE: u64 = 16_384;

/// The most that a score may differ from that of whole windows, to |log p|.
const DIFFERENCE: f64 = 1e-6;
/// The least number of tokens of whole windows to those of shared prefixes at the longest context and most variants.
const FEWER: f64 = 50.0;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let mamba = Bench::new(report, Family::Mamba)?;
    for context in CONTEXTS {
        for variants in VARIANTS {
            mamba.measure(report, context, variants)?;
        }
    }
    // The scan of Mamba-2 sums in blocks, so that rounding could depend on where a pass was cut.
    Bench::new(report, Family::Mamba2)?.measure(report, CONTEXTS[1], VARIANTS[1])
}

struct Bench {
    family: Family,
    sequence: Sequence,
    checkpoint: Checkpoint,
    model: Model<Cpu>,
}

/// What whole windows give, and the time they took.
struct Whole {
    /// log p of the reference and of the alternate sequence, by variant.
    log_p: Vec<[f64; 2]>,
    tokens: u64,
    seconds: f64,
}

impl Bench {
    fn new(report: &Report, family: Family) -> anyhow::Result<Self> {
        let checkpoint = Shape { family, d_model: 256, n_layer: 4 }.checkpoint(1);
        let model = Model::new(Cpu::new(report.level), &checkpoint);
        Ok(Self { family, sequence: Sequence::open()?, checkpoint, model })
    }

    fn measure(&self, report: &mut Report, context: u64, variants: usize) -> anyhow::Result<()> {
        let end = self.sequence.span.end - ScoreOptions::DEFAULT_TAIL - 1;
        let snvs = self.sequence.snvs(end - MEGABASE..end, variants)?;
        let options = options(context)?;
        let shared = score(&self.sequence, &snvs, &self.checkpoint, report.level, &options)?;
        let all: Vec<[Window; 2]> = snvs.iter().map(|snv| self.windows(snv, &options)).collect();
        let sampled: Vec<usize> = (0..variants).step_by(variants.div_ceil(SAMPLE)).collect();
        let whole = self.whole(&sampled.iter().flat_map(|&i| &all[i]).collect::<Vec<_>>());
        let tokens = all.iter().flatten().map(Window::tokens).sum::<u64>() as f64;
        let seconds = whole.seconds * tokens / whole.tokens as f64;
        let difference = largest_difference(&sampled, &shared.scores, &whole);
        let fewer = tokens / shared.tokens as f64;
        let what = format!("{:?}, context {context}, {variants} a megabase", self.family);
        report.marked_row(
            &what,
            &[
                ("tokens", shared.tokens as f64),
                ("tokens of whole windows", tokens),
                ("times fewer tokens", fewer),
                ("s", shared.seconds),
                ("s of whole windows", seconds),
                ("times as fast", seconds / shared.seconds),
                ("largest difference to |log p|", difference),
            ],
            &[("windows_timed", json!(2 * sampled.len())), ("scaled", json!(sampled.len() < variants))],
        );
        report.at_most(&format!("{what}: largest difference to |log p|"), difference, DIFFERENCE);
        let is_hardest = (context, variants) == (CONTEXTS[2], VARIANTS[2]);
        report.at_least(&format!("{what}: times fewer tokens"), fewer, if is_hardest { FEWER } else { 1.0 });
        Ok(())
    }

    /// The reference and the alternate sequence of a SNV: from its anchor, the start of the block before its own, to
    /// the end of its tail.
    fn windows(&self, snv: &Snv, options: &ScoreOptions) -> [Window; 2] {
        let (block, span) = (options.context.get(), &self.sequence.span);
        let anchor = (snv.position / block).saturating_sub(1) * block;
        let range = anchor.max(span.start)..(snv.position + 1 + options.tail).min(span.end);
        [None, Some(snv.alternate)].map(|base| Window { range: range.clone(), position: snv.position, base })
    }

    fn whole(&self, windows: &[&Window]) -> Whole {
        let tokens = windows.iter().map(|window| window.tokens()).sum();
        let is_short = windows.iter().all(|window| window.tokens() <= SIDE_BY_SIDE);
        let log_p = |i: usize, scratch: &mut Scratch<f32>| self.log_p(windows[i], scratch);
        let start = Instant::now();
        let each = match is_short {
            true => side_by_side(&self.model, windows.len(), log_p),
            false => {
                let mut scratch = self.model.scratch();
                (0..windows.len()).map(|i| log_p(i, &mut scratch)).collect()
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        Whole { log_p: each.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect(), tokens, seconds }
    }

    /// log p of the SNV's base and of its tail.
    fn log_p(&self, window: &Window, scratch: &mut Scratch<f32>) -> f64 {
        let mut ids = Vec::new();
        self.checkpoint.vocabulary.encode(self.sequence.bases(window.range.clone()), &mut ids);
        let site = (window.position - window.range.start) as usize;
        if let Some(base) = window.base {
            ids[site] = self.checkpoint.vocabulary.id(base);
        }
        let mut likelihood = Likelihood { ids: &ids, from: site, sum: 0.0 };
        let request = Request { taps: &[], logits: true };
        // What follows the last base is not asked for.
        let fed = &ids[..ids.len() - 1];
        let _ = self.model.encode(fed, Chunking::Auto, &request, scratch, &mut likelihood);
        likelihood.sum
    }
}

fn options(context: u64) -> anyhow::Result<ScoreOptions> {
    Ok(ScoreOptions {
        scores: vec![Score::Likelihood],
        context: NonZeroU64::try_from(context)?,
        strands: Strands::Forward,
        anchor: Anchor::Block,
        ..ScoreOptions::default()
    })
}

/// One sequence of a SNV, from its anchor to the end of its tail.
struct Window {
    /// 0-based, half-open.
    range: Range<u64>,
    position: u64,
    /// What stands at the position in place of the reference's base.
    base: Option<u8>,
}

impl Window {
    /// Positions that go through the model.
    fn tokens(&self) -> u64 {
        self.range.end - self.range.start - 1
    }
}

/// Σ log p of a sequence's bases from one on.
struct Likelihood<'a> {
    ids: &'a [u8],
    from: usize,
    sum: f64,
}

impl Observer<f32> for Likelihood<'_> {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, f32>) {}

    fn logits(&mut self, start: u64, rows: Rows<'_, f32>) {
        for t in 0..rows.len() {
            let next = start as usize + t + 1;
            if next >= self.from {
                self.sum += log_probability(rows.row(t), self.ids[next]);
            }
        }
    }
}

/// log p of an id under a row of logits, in f64.
fn log_probability(row: &[f32], id: u8) -> f64 {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let total: f64 = row.iter().map(|&x| (f64::from(x) - largest).exp()).sum();
    f64::from(row[usize::from(id)]) - largest - total.ln()
}

/// The largest |score − score of whole windows|, to |log p| of the reference.
fn largest_difference(sampled: &[usize], scores: &[f64], whole: &Whole) -> f64 {
    let difference = |(&i, [reference, alternate]): (&usize, &[f64; 2])| {
        (scores[i] - (alternate - reference)).abs() / reference.abs()
    };
    sampled.iter().zip(&whole.log_p).map(difference).max_by(f64::total_cmp).unwrap_or(f64::NAN)
}
