//! What the footer says of a table's origin.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use longstrand_kernels::simd::Level;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_seq::input::is_stream;
use longstrand_table::{Metadata, Precision, TableError};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::error::EmbedError;
use crate::input::Selection;
use crate::options::Equivariant;
use crate::plan::Job;
use crate::run::Counts;

/// What computes: the vector instructions, which decide the last bits, and the model.
pub(crate) fn model(checkpoint: &Checkpoint, level: Level) -> Metadata {
    vec![
        ("longstrand.simd".into(), level.to_string()),
        ("longstrand.model.name".into(), checkpoint.name.clone()),
        ("longstrand.model.digest".into(), checkpoint.digest.clone()),
        ("longstrand.model.family".into(), checkpoint.config.family.to_string()),
    ]
}

/// All that decides the rows: the program, the model, the inputs' names and digests, and the options.
pub(crate) fn identity(
    job: &Job,
    model: &Metadata,
    selection: &Selection,
    equivariant: Option<Equivariant>,
) -> Result<Metadata, EmbedError> {
    let inputs: Vec<Value> = job.input.files().map(input).collect::<Result<_, _>>()?;
    let mut identity: Metadata = vec![
        ("longstrand.version".into(), env!("CARGO_PKG_VERSION").into()),
        ("longstrand.command".into(), "embed".into()),
    ];
    identity.extend(model.iter().cloned());
    identity.extend([
        ("longstrand.inputs".into(), Value::from(inputs).to_string()),
        ("longstrand.options".into(), options(job, selection, equivariant).to_string()),
        ("longstrand.layers".into(), job.embed.layers.to_string()),
        ("longstrand.pool".into(), job.embed.pool.to_string()),
    ]);
    Ok(identity)
}

/// What is known at the end.
pub(crate) fn end(counts: &Counts) -> Metadata {
    vec![("longstrand.counts".into(), counts.json().to_string())]
}

/// A file's name without its folders, and its SHA-256. Standard input and pipes are `-`: they have been read, or are not to be
/// read yet.
fn input(path: &Path) -> Result<Value, EmbedError> {
    if is_stream(path) {
        return Ok(json!({ "name": "-" }));
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let sha256 = digest(path).map_err(|source| EmbedError::Digest { path: path.into(), source })?;
    Ok(json!({ "name": name, "sha256": sha256 }))
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => digest.update(&buffer[..n]),
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
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

/// The error of a run that is not the earlier one; of all options it tells the first that differs.
pub(crate) fn narrowed(error: TableError) -> TableError {
    let TableError::Differs { path, key, expected: Some(expected), found: Some(found) } = error else { return error };
    let (key, expected, found) = match first_difference(&expected, &found) {
        Some((option, expected, found)) => (format!("{key}.{option}"), expected, found),
        None => (key, expected, found),
    };
    TableError::Differs { path, key, expected: Some(expected), found: Some(found) }
}

/// The first member in which two JSON objects differ, and its values.
fn first_difference(expected: &str, found: &str) -> Option<(String, String, String)> {
    let object = |text| serde_json::from_str::<Map<String, Value>>(text).ok();
    let (expected, mut found) = (object(expected)?, object(found)?);
    expected.into_iter().find_map(|(name, expected)| {
        let found = found.remove(&name).unwrap_or_default();
        (expected != found).then(|| (name, expected.to_string(), found.to_string()))
    })
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
            let key = "longstrand.options".to_string();
            let error = TableError::Differs {
                path: "o.parquet".into(),
                key,
                expected: Some(expected.into()),
                found: Some(found.into()),
            };
            narrowed(error).to_string().split_once("different run: ").unwrap().1.to_string()
        };
        assert_eq!(
            narrowed(r#"{"last":"keep","window":5}"#, r#"{"last":"keep","window":1024}"#),
            "longstrand.options.window: expected 5, found 1024"
        );
        assert_eq!(narrowed("mean", "max"), "longstrand.options: expected mean, found max");
    }
}
