//! A run of `longstrand score`, measured.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use longstrand_kernels::simd::Level;
use longstrand_model::Watch;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_seq::window::Shard;
use longstrand_table::Existing;
use longstrand_variants::{Job, Outputs, Plan, Prefix, ScoreOptions};

use super::sequence::{self, Sequence, Snv, read_column, write_vcf};

/// What a run took and gave.
pub(super) struct Scored {
    /// From the opened inputs to the finished table.
    pub(super) seconds: f64,
    /// Positions that went through the model.
    pub(super) tokens: u64,
    /// A score for each SNV.
    pub(super) scores: Vec<f64>,
}

/// Adds up the positions that a run reports.
#[derive(Default)]
struct Tokens(AtomicU64);

impl Watch for Tokens {
    fn advanced(&self, bases: u64) {
        self.0.fetch_add(bases, Ordering::Relaxed);
    }
}

/// Scores SNVs with all threads; `options` name one score.
pub(super) fn score(
    sequence: &Sequence,
    snvs: &[Snv],
    checkpoint: &Checkpoint,
    level: Level,
    options: &ScoreOptions,
) -> anyhow::Result<Scored> {
    let folder = tempfile::tempdir()?;
    let (variants, table) = (folder.path().join("variants.vcf"), folder.path().join("scores.tsv"));
    write_vcf(&variants, snvs)?;
    let job = Job {
        variants,
        regions: Vec::new(),
        reference: sequence.path.clone(),
        genome: sequence::OPTIONS,
        options: options.clone(),
        shard: Shard::WHOLE,
        outputs: Outputs { tsv: Some(table.clone()), ..Outputs::default() },
        existing: Existing::Refuse,
        threads: NonZeroUsize::new(rayon::current_num_threads()).context("no threads")?,
        available_memory: None,
        prefix: Prefix::default(),
        command: String::new(),
    };
    let plan = Plan::new(job, checkpoint, level)?;
    let (column, tokens) = (plan.columns()[0], Tokens::default());
    let start = Instant::now();
    plan.run(&tokens)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Scored { seconds, tokens: tokens.0.into_inner(), scores: read_column(&table, column, snvs.len())? })
}
