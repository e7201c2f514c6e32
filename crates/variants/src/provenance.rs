//! What outputs say of their origin.

use std::path::Path;

use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{Processor, Watch};
use longstrand_seq::digest::{DigestError, digests};
use longstrand_table::Metadata;
use serde_json::{Value, json};

use crate::error::ScoreError;
use crate::options::ScoreOptions;

/// What outputs and warnings say of a model.
#[derive(Clone, Debug)]
pub(crate) struct ModelFacts {
    pub(crate) name: String,
    /// Bases of the windows that it was trained at, where that is known.
    pub(crate) trained_context: Option<u64>,
    provenance: Metadata,
}

impl ModelFacts {
    pub(crate) fn of(checkpoint: &Checkpoint, processor: &Processor) -> Self {
        Self {
            name: checkpoint.name.clone(),
            trained_context: checkpoint.config.trained_context,
            provenance: checkpoint.provenance(processor),
        }
    }
}

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
        model: &ModelFacts,
        inputs: &[&Path],
        options: Value,
        watch: &dyn Watch,
    ) -> Result<Self, ScoreError> {
        let inputs: Vec<Value> = self::inputs(inputs, watch)?;
        let mut identity: Metadata = vec![
            ("longstrand.version".into(), env!("CARGO_PKG_VERSION").into()),
            ("longstrand.command".into(), command.into()),
        ];
        identity.extend(model.provenance.iter().cloned());
        identity.push(("longstrand.inputs".into(), Value::from(inputs).to_string()));
        identity.push(("longstrand.options".into(), options.to_string()));
        Ok(Self(identity))
    }

    /// For the footer of a table.
    pub(crate) fn metadata(&self) -> Metadata {
        self.0.clone()
    }

    /// In a line, JSON.
    pub(crate) fn line(&self) -> String {
        let members = self.0.iter().map(|(key, value)| (key.clone(), structured(value)));
        Value::Object(members.collect()).to_string()
    }

    /// For a structured line of a VCF's header: names and values.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.strip_prefix("longstrand.").unwrap_or(key), value.as_str()))
    }
}

/// A value as JSON: what is an object or a list in a text is one here.
fn structured(text: &str) -> Value {
    let parsed = serde_json::from_str(text).ok();
    parsed.filter(|value: &Value| value.is_object() || value.is_array()).unwrap_or_else(|| Value::from(text))
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

/// The inputs' names and digests.
fn inputs(files: &[&Path], watch: &dyn Watch) -> Result<Vec<Value>, ScoreError> {
    let mut advanced = |done, total| {
        watch.digested(done, total);
        watch.flow()
    };
    let files = digests(files, &mut advanced)
        .map_err(|DigestError { path, source }| ScoreError::Digest { path, source })?
        .ok_or(ScoreError::Cancelled)?;
    Ok(files.iter().map(|file| file.fields().collect()).collect())
}
