//! What the footer says of a table's origin.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use longstrand_model::checkpoint::Checkpoint;
use longstrand_seq::window::{Partial, WindowSize};
use longstrand_table::{Metadata, Precision};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::EmbedError;
use crate::input::InputOptions;
use crate::options::Equivariant;
use crate::plan::Job;
use crate::run::Counts;

/// What identifies the model.
pub(crate) fn model(checkpoint: &Checkpoint) -> Metadata {
    vec![
        ("longstrand.model.name".into(), checkpoint.name.clone()),
        ("longstrand.model.digest".into(), checkpoint.digest.clone()),
        ("longstrand.model.family".into(), checkpoint.config.family.to_string()),
    ]
}

/// All that decides the rows: the program, the model, the inputs' names and digests, and the options.
pub(crate) fn identity(job: &Job, model: &Metadata, equivariant: Option<Equivariant>) -> Result<Metadata, EmbedError> {
    let inputs: Vec<Value> = job.input.files().map(input).collect::<Result<_, _>>()?;
    let mut identity: Metadata = vec![
        ("longstrand.version".into(), env!("CARGO_PKG_VERSION").into()),
        ("longstrand.command".into(), "embed".into()),
    ];
    identity.extend(model.iter().cloned());
    identity.extend([
        ("longstrand.inputs".into(), Value::from(inputs).to_string()),
        ("longstrand.options".into(), options(job, equivariant).to_string()),
        ("longstrand.layers".into(), job.embed.layers.to_string()),
        ("longstrand.pool".into(), job.embed.pool.to_string()),
    ]);
    Ok(identity)
}

/// What is known at the end.
pub(crate) fn end(counts: &Counts) -> Metadata {
    vec![("longstrand.counts".into(), counts.json().to_string())]
}

/// A file's name without its folders, and its SHA-256; standard input has none.
fn input(path: &Path) -> Result<Value, EmbedError> {
    if path.as_os_str() == "-" {
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

fn options(job: &Job, equivariant: Option<Equivariant>) -> Value {
    let (input, embed) = (&job.input, &job.embed);
    let reads = &input.reads;
    json!({
        "regions": input.regions,
        "window": input.window.map(window),
        "stride": input.stride,
        "last": partial(input),
        "max_n": input.max_ambiguous,
        "sliced_reference": input.sliced_reference,
        "min_mapq": reads.min_mapping_quality,
        "require_flags": reads.required_flags,
        "exclude_flags": reads.excluded_flags,
        "primary_only": reads.primary_only,
        "shard": input.shard.to_string(),
        "soft_mask": job.output.soft_masked,
        "strand": embed.strands.to_string(),
        "equivariant": equivariant.map(|form| form.to_string()),
        "special_tokens": embed.special_tokens.to_string(),
        "dtype": match job.output.precision {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
        },
    })
}

fn window(size: WindowSize) -> Value {
    match size {
        WindowSize::Bases(bases) => json!(bases),
        WindowSize::Contig => json!("contig"),
        WindowSize::Interval => json!("interval"),
    }
}

fn partial(input: &InputOptions) -> &'static str {
    match input.partial.unwrap_or_default() {
        Partial::Keep => "keep",
        Partial::Drop => "drop",
        Partial::Pad => "pad",
    }
}
