//! What the footer says of a table's origin.

use std::path::Path;

use longstrand_model::{Difference, Watch};
use longstrand_seq::digest::{DigestError, digests};
use longstrand_seq::window::Shard;
use longstrand_table::{Destination, Metadata, Precision, TableError};
use serde_json::{Map, Value, json};

use crate::error::EmbedError;
use crate::input::Selection;
use crate::options::Equivariant;
use crate::plan::Job;
use crate::run::Counts;

/// The key under which the options stand.
const OPTIONS: &str = "longstrand.options";

/// All that decides the rows: the program, the model, the inputs' names and digests, and the options. The watch follows the
/// digests and may stop them.
pub(crate) fn identity(
    job: &Job,
    model: &Metadata,
    selection: &Selection,
    equivariant: Option<Equivariant>,
    watch: &dyn Watch,
) -> Result<Metadata, EmbedError> {
    let files: Vec<&Path> = job.input.files().collect();
    let inputs = inputs(&files, watch)?;
    let mut identity: Metadata = vec![
        ("longstrand.version".into(), env!("CARGO_PKG_VERSION").into()),
        ("longstrand.command".into(), "embed".into()),
    ];
    identity.extend(model.iter().cloned());
    identity.extend([
        ("longstrand.inputs".into(), Value::from(inputs).to_string()),
        (OPTIONS.into(), options(job, selection, equivariant).to_string()),
        ("longstrand.layers".into(), job.embed.layers.to_string()),
        ("longstrand.pool".into(), job.embed.pool.to_string()),
    ]);
    Ok(identity)
}

/// What is known at the end.
pub(crate) fn end(counts: &Counts) -> Metadata {
    vec![("longstrand.counts".into(), counts.json().to_string())]
}

/// The inputs' names and digests.
fn inputs(files: &[&Path], watch: &dyn Watch) -> Result<Vec<Value>, EmbedError> {
    let mut advanced = |done, total| {
        watch.digested(done, total);
        watch.flow()
    };
    let files = digests(files, &mut advanced)
        .map_err(|DigestError { path, source }| EmbedError::Digest { path, source })?
        .ok_or(EmbedError::Cancelled)?;
    Ok(files.iter().map(|file| file.fields().collect()).collect())
}

fn options(job: &Job, selection: &Selection, equivariant: Option<Equivariant>) -> Value {
    let (input, embed) = (&job.input, &job.embed);
    let mut options: Map<String, Value> = selection.json();
    let others = [
        ("max_n", json!(input.max_ambiguous)),
        ("sliced_reference", json!(input.sliced_reference)),
        ("shard", json!(input.shard.to_string())),
        ("soft_mask", json!(job.output.soft_masked)),
        ("strand", json!(embed.strands.to_string())),
        ("equivariant", json!(equivariant.map(|form| form.to_string()))),
        ("special_tokens", json!(embed.special_tokens.to_string())),
        ("dtype", json!(dtype(job.output.precision))),
    ];
    options.extend(others.map(|(name, choice)| (name.into(), choice)));
    options.into()
}

/// The error of an output that is there already: where it holds another shard, that is what it says.
pub(crate) fn narrowed(error: TableError, destination: &Destination, shard: Shard) -> EmbedError {
    let there = matches!(error, TableError::Exists(_) | TableError::Unfinished { .. } | TableError::Differs { .. });
    let found = if there && shard != Shard::WHOLE { shard_in(destination) } else { None };
    match found.filter(|found| *found != shard && *found != Shard::WHOLE) {
        Some(found) => EmbedError::OtherShard { path: destination.path().into(), expected: shard, found },
        None => first_option(error).into(),
    }
}

/// The shard that an output, or a part of it, was written as.
fn shard_in(destination: &Destination) -> Option<Shard> {
    let metadata = destination.metadata()?;
    let (_, options) = metadata.iter().find(|(key, _)| key == OPTIONS)?;
    let options: Map<String, Value> = serde_json::from_str(options).ok()?;
    options.get("shard")?.as_str()?.parse().ok()
}

/// Of all options that differ from an earlier run's, the first.
fn first_option(error: TableError) -> TableError {
    let TableError::Differs { path, key, expected: Some(expected), found: Some(found) } = error else { return error };
    let Difference { key, expected, found } = Difference::between(&key, &expected, &found);
    TableError::Differs { path, key, expected: Some(expected), found: Some(found) }
}

fn dtype(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::F16 => "f16",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_options_the_one_that_differs_is_told() {
        let narrowed = |expected: &str, found: &str| {
            let key = OPTIONS.to_string();
            let error = TableError::Differs {
                path: "o.parquet".into(),
                key,
                expected: Some(expected.into()),
                found: Some(found.into()),
            };
            first_option(error).to_string().split_once("different run: ").unwrap().1.to_string()
        };
        assert_eq!(
            narrowed(r#"{"last":"keep","window":5}"#, r#"{"last":"keep","window":1024}"#),
            "longstrand.options.window: expected 5, found 1024"
        );
        assert_eq!(narrowed("mean", "max"), "longstrand.options: expected mean, found max");
    }
}
