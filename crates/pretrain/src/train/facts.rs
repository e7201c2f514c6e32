//! `run.json`: what a run was begun with.

use std::{
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use longstrand_kernels::backend::Precision;
use longstrand_model::Watch;
use longstrand_seq::digest::{FileDigest, digests};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Plan, TrainError, TrainingProcessor};
use crate::config::Settings;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The files that a run reads, with what tells whether they are the same ones.
pub(super) struct Inputs(Vec<(PathBuf, FileDigest)>);

/// What of `run.json` a run that goes on is compared with.
#[derive(Deserialize)]
struct Facts {
    version: String,
    processor: String,
    ranks: usize,
    #[serde(default = "one")]
    context_ranks: usize,
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    sha256: Option<String>,
}

impl Inputs {
    /// Takes the digests of genomes and BED files.
    pub(super) fn read(settings: &Settings, watch: &dyn Watch) -> Result<Self, TrainError> {
        let paths = files(settings);
        let mut told = |done, total| {
            watch.digested(done, total);
            if watch.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let found = digests(&paths, &mut told)?.ok_or(TrainError::Cancelled { resumable: false })?;
        Ok(Self(paths.into_iter().map(Path::to_path_buf).zip(found).collect()))
    }

    /// The digests in the order of the files.
    pub(super) fn digests(&self) -> String {
        self.0.iter().map(|(_, file)| format!("{}\n", file.sha256.as_deref().unwrap_or("-"))).collect()
    }

    /// Compares them with those that a run was begun with, and warns of what would change the last bits.
    pub(super) fn check(
        &self,
        facts: &Path,
        processor: &TrainingProcessor,
        plan: &Plan,
        watch: &dyn Watch,
    ) -> Result<(), TrainError> {
        let text = fs::read(facts).map_err(TrainError::io("read", facts))?;
        let before: Facts = serde_json::from_slice(&text)
            .map_err(|error| TrainError::io("read", facts)(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        if before.inputs.len() != self.0.len() {
            let (expected, found) = (before.inputs.len(), self.0.len());
            let message = format!("expected the {expected} genomes and BED files of the run, found {found}");
            return Err(TrainError::Usage(format!("{}: {message}", facts.display())));
        }
        let sums = before.inputs.iter().map(|input| &input.sha256);
        for ((path, file), expected) in self.0.iter().zip(sums) {
            let (expected, found) = (expected.as_deref(), file.sha256.as_deref());
            if let Some((expected, found)) = expected.zip(found).filter(|(expected, found)| expected != found) {
                let (expected, found) = (expected.into(), found.into());
                return Err(TrainError::Input { path: path.clone(), expected, found });
            }
        }
        let changes = [
            (format!("longstrand {}", before.version), format!("longstrand {VERSION}")),
            (before.processor, processor.to_string()),
            (ranks(before.ranks, before.context_ranks), ranks(plan.ranks, plan.context)),
        ];
        for (begun_with, goes_on) in changes.iter().filter(|(before, now)| before != now) {
            watch.warn(&format!(
                "the run was begun with {begun_with} and goes on with {goes_on}: the last bits of its weights will not be \
                 those of a run that was not stopped"
            ));
        }
        Ok(())
    }
}

/// The genomes and BED files of a run.
pub(super) fn files(settings: &Settings) -> Vec<&Path> {
    let data = &settings.data;
    let beds = [&data.include, &data.exclude, &data.split.bed].into_iter().flatten();
    data.genomes.iter().chain(beds).map(PathBuf::as_path).collect()
}

/// Windows of a run begun before several ranks could own one.
fn one() -> usize {
    1
}

fn ranks(ranks: usize, context: usize) -> String {
    if context == 1 { format!("{ranks} ranks") } else { format!("{ranks} ranks, {context} to a window") }
}

/// The text of `run.json`.
pub(super) fn text(plan: &Plan, inputs: &Inputs, processor: &TrainingProcessor) -> String {
    let input = |(path, file): &(PathBuf, FileDigest)| json!({ "path": path, "sha256": file.sha256 });
    let splits: Value = plan.data.splits.iter().map(|(split, size)| (split.to_string(), Value::from(*size))).collect();
    let pool = |pool: &crate::sample::PoolSummary| {
        json!({
            "length": pool.length,
            "windows": pool.n_windows,
            "intervals": pool.intervals,
            "bases": pool.bases,
            "skipped_contigs": pool.skipped_contigs,
            "skipped_intervals": pool.skipped_intervals,
            "skipped_bases": pool.skipped_bases,
        })
    };
    let precision = match processor.precision() {
        Precision::Full => "f32",
        Precision::Bf16 => "bf16",
    };
    let facts = json!({
        "program": "longstrand",
        "version": VERSION,
        "processor": processor.to_string(),
        "precision": precision,
        "ranks": plan.ranks,
        "context_ranks": plan.context,
        "parameters": plan.parameters,
        "memory": plan.memory.total(),
        "inputs": inputs.0.iter().map(input).collect::<Vec<_>>(),
        "data": {
            "contigs": plan.data.contigs,
            "bases": plan.data.bases,
            "splits": splits,
            "training_windows": plan.data.pools.iter().map(pool).collect::<Vec<_>>(),
        },
    });
    format!("{facts:#}\n")
}
