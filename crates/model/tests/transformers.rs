//! transformers loads what is saved here and computes the same logits.
//!
//! Needs a `python3` that imports torch and transformers (pip install torch transformers), so it is not run by default:
//!
//! ```text
//! LONGSTRAND_REQUIRE_TRANSFORMERS=1 cargo test -p longstrand-model --test transformers -- --ignored
//! ```
//!
//! Without the variable a machine without the two is skipped; with it, it fails. `LONGSTRAND_PYTHON` names another Python.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use longstrand_kernels::{Reference, Rows};
use longstrand_model::checkpoint::{Checkpoint, Existing};
use longstrand_model::{Chunking, Model, Observer, Request, Tap};
use serde_json::{Value, json};

/// Largest difference of two logits, relative to the largest logit: the rounding of f32 in transformers.
const TOLERANCE: f64 = 1e-5;

const BASES: &str = "ACGTNACGTTGCAacgtnGATTACARYACGGTCA";

#[test]
#[ignore = "needs a Python with torch and transformers"]
fn transformers_loads_mamba_and_agrees() {
    check("hf-mamba", "MambaForCausalLM");
    check("hf-mamba-variant", "MambaForCausalLM");
}

#[test]
#[ignore = "needs a Python with torch and transformers"]
fn transformers_loads_mamba2_and_agrees() {
    check("hf-mamba2", "Mamba2ForCausalLM");
    check("hf-mamba2-groups", "Mamba2ForCausalLM");
}

fn check(case: &str, class: &str) {
    if !is_available() {
        return;
    }
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(case);
    let checkpoint = Checkpoint::load(fixture).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join(case);
    checkpoint.save(&saved, Existing::Refuse).unwrap();
    let mut ids = Vec::new();
    checkpoint.vocabulary.encode(BASES.as_bytes(), &mut ids);

    let answer = ask(&saved, &json!({"ids": ids, "text": BASES}));
    assert_eq!(answer["class"], class);
    assert_eq!(answer["tokens"], json!(ids), "{case}: the tokenizer");
    let theirs: Vec<f64> = answer["logits"].as_array().unwrap().iter().flat_map(row).collect();
    let ours = logits(&checkpoint, &ids);
    assert_eq!(ours.len(), theirs.len(), "{case}");
    let largest = theirs.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let difference = ours.iter().zip(&theirs).fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()));
    assert!(difference <= TOLERANCE * largest, "{case}: {difference} of {largest}");
}

fn row(row: &Value) -> Vec<f64> {
    row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn python() -> Command {
    Command::new(env::var_os("LONGSTRAND_PYTHON").unwrap_or("python3".into()))
}

/// Whether Python has both libraries.
fn is_available() -> bool {
    let found = python().args(["-c", "import torch, transformers"]).stderr(Stdio::null()).status();
    let is_available = found.is_ok_and(|status| status.success());
    let is_required = env::var_os("LONGSTRAND_REQUIRE_TRANSFORMERS").is_some_and(|value| value == "1");
    assert!(is_available || !is_required, "no Python that imports torch and transformers");
    is_available
}

/// Runs the script on a folder.
fn ask(folder: &Path, request: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/load_in_transformers.py");
    let input = folder.with_extension("json");
    fs::write(&input, request.to_string()).unwrap();
    let output = python()
        .arg(script)
        .arg(folder)
        .env("HF_HUB_OFFLINE", "1")
        .stdin(fs::File::open(&input).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The logits of all positions, in f64.
struct Logits(Vec<f64>);

impl Observer<f64> for Logits {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, f64>) {}

    fn logits(&mut self, _: u64, rows: Rows<'_, f64>) {
        self.0.extend((0..rows.len()).flat_map(|t| rows.row(t)));
    }
}

fn logits(checkpoint: &Checkpoint, ids: &[u8]) -> Vec<f64> {
    let model = Model::new(Reference, checkpoint);
    let request = Request { taps: &[], logits: true };
    let mut logits = Logits(Vec::new());
    let flow = model.encode(ids, Chunking::Auto, &request, &mut model.scratch(), &mut logits);
    assert!(flow.is_continue());
    logits.0
}
