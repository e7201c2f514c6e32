//! What outputs say of their origin.

use std::ops::ControlFlow;
use std::path::Path;

use longstrand_kernels::simd::Level;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_seq::digest;
use longstrand_seq::input::is_stream;
use longstrand_table::Metadata;
use serde_json::{Value, json};

use crate::error::ScoreError;
use crate::options::ScoreOptions;
use crate::watch::Watch;

/// All that decides a run's scores: the program, the model, the inputs' names and digests, and the options.
#[derive(Clone, Debug)]
pub(crate) struct Identity(Metadata);

impl Identity {
    /// Takes the inputs' digests; the watch follows them and may stop them.
    ///
    /// # Errors
    ///
    /// - an input cannot be read;
    /// - the watch stops the run.
    pub(crate) fn new(
        command: &str,
        checkpoint: &Checkpoint,
        level: Level,
        inputs: &[&Path],
        options: Value,
        watch: &dyn Watch,
    ) -> Result<Self, ScoreError> {
        let inputs: Vec<Value> = digests(inputs, watch)?;
        Ok(Self(vec![
            ("longstrand.version".into(), env!("CARGO_PKG_VERSION").into()),
            ("longstrand.command".into(), command.into()),
            ("longstrand.simd".into(), level.to_string()),
            ("longstrand.model.name".into(), checkpoint.name.clone()),
            ("longstrand.model.digest".into(), checkpoint.digest.clone()),
            ("longstrand.model.family".into(), checkpoint.config.family.to_string()),
            ("longstrand.inputs".into(), Value::from(inputs).to_string()),
            ("longstrand.options".into(), options.to_string()),
        ]))
    }

    /// For the footer of a table.
    pub(crate) fn metadata(&self) -> Metadata {
        self.0.clone()
    }

    /// In a line, JSON.
    pub(crate) fn line(&self) -> String {
        let members = self.0.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
        Value::Object(members.collect()).to_string()
    }
}

/// What of the options decides scores.
pub(crate) fn options(options: &ScoreOptions) -> Value {
    let scores: Vec<&str> = options.scores.iter().map(|score| score.name()).collect();
    json!({
        "score": scores,
        "context": options.context.get(),
        "strand": options.strands.to_string(),
        "anchor": options.anchor.to_string(),
        "tail": options.tail,
        "pool_radius": options.pool_radius,
        "ref_mismatch": options.ref_mismatch.to_string(),
    })
}

/// The files' names without their folders, and their SHA-256. Standard input and pipes are `-`.
fn digests(files: &[&Path], watch: &dyn Watch) -> Result<Vec<Value>, ScoreError> {
    let sizes = files.iter().filter(|path| !is_stream(path)).filter_map(|path| path.metadata().ok());
    let total = sizes.map(|file| file.len()).sum();
    let mut done = 0;
    let mut advanced = |bytes| {
        done += bytes;
        watch.digested(done, total);
        if watch.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut input = |path: &Path| {
        if is_stream(path) {
            return Ok(json!({ "name": "-" }));
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let sha256 = digest::sha256(path, &mut advanced)
            .map_err(|source| ScoreError::Digest { path: path.into(), source })?
            .ok_or(ScoreError::Cancelled)?;
        Ok(json!({ "name": name, "sha256": sha256 }))
    };
    files.iter().map(|path| input(path)).collect()
}
