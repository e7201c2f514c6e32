//! Peak resident memory of one step of training against what a plan foresees, each case in a process of its own.
//!
//! A case's peak is the most memory that its process has held, less what it held after a step of a model of the same family
//! that is next to nothing: the pages of the program that training runs through, its threads and their stacks. What is
//! foreseen is [`PlannedMemory::of_step`], which does not know of these.

use std::process::Command;

use anyhow::{Context, ensure};
use longstrand_kernels::simd::Level;
use longstrand_pretrain::{
    config::{Flag, Settings},
    train::PlannedMemory,
};
use serde_json::{Value, json};

use super::{Steps, settings, threads};
use crate::{
    machine,
    report::{Report, seconds},
};

/// By how much a peak, or what a base adds to it, may differ from what is foreseen.
const SLACK: f64 = 0.15;

/// Width and layers.
const SHAPE: (u32, u32) = (128, 4);

/// Those of a model that is next to nothing.
const SMALLEST: (u32, u32) = (16, 1);

const FAMILIES: [&str; 3] = ["mamba", "caduceus-ph", "caduceus-ps"];

const LENGTHS: [u32; 7] = [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 17, 1 << 18, 1 << 20];

/// From this length on, no chunk is shorter than it would be of a longer sequence: what is added is the sequence's alone.
const FULL_CHUNKS: u32 = 1 << 16;

/// What a case took and what was foreseen, in bytes.
struct Measured {
    length: u32,
    peak: f64,
    planned: f64,
}

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    for (i, family) in FAMILIES.iter().enumerate() {
        let cases = (0..LENGTHS.len()).map(|j| measure(report, i * LENGTHS.len() + j));
        let measured: Vec<Measured> = cases.collect::<anyhow::Result<_>>()?;
        for pair in measured.windows(2).filter(|pair| pair[0].length >= FULL_CHUNKS) {
            slope(report, family, &pair[0], &pair[1]);
        }
    }
    Ok(())
}

/// Reports what a base adds between two lengths.
fn slope(report: &mut Report, family: &str, short: &Measured, long: &Measured) {
    let bases = f64::from(long.length - short.length);
    let (found, planned) = ((long.peak - short.peak) / bases, (long.planned - short.planned) / bases);
    let what = format!("{family}, L {} to {}", short.length, long.length);
    report.row(&what, &[("bytes a base", found), ("foreseen", planned), ("found to foreseen", found / planned)]);
    within(report, &format!("{what}: bytes a base to those foreseen"), found / planned);
}

/// Runs a case in a process of its own and reports it.
fn measure(report: &mut Report, index: usize) -> anyhow::Result<Measured> {
    const MIB: f64 = 1048576.0;
    let (family, length) = case(index)?;
    let output = Command::new(std::env::current_exe()?).arg("training-memory-case").arg(index.to_string()).output()?;
    ensure!(output.status.success(), "{family}, L {length}: {}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let figure = |name: &str| found[name].as_f64().with_context(|| format!("no {name}"));
    let (baseline, peak, planned) = (figure("baseline")?, figure("peak")?, figure("planned")?);
    let peak = peak - baseline;
    report.row(
        &format!("{family} d {}, {} layers, L {length}", SHAPE.0, SHAPE.1),
        &[
            ("MiB peak", peak / MIB),
            ("MiB foreseen", planned / MIB),
            ("found to foreseen", peak / planned),
            ("MiB before", baseline / MIB),
            ("bases/s", f64::from(length) / figure("seconds")?),
        ],
    );
    within(report, &format!("{family}, L {length}: the peak to what was foreseen"), peak / planned);
    Ok(Measured { length, peak, planned })
}

fn within(report: &mut Report, what: &str, ratio: f64) {
    report.at_least(what, ratio, 1.0 - SLACK);
    report.at_most(what, ratio, 1.0 + SLACK);
}

/// Runs one case and prints what it took as JSON.
pub(crate) fn run_case(index: usize) -> anyhow::Result<()> {
    let (family, length) = case(index)?;
    let (threads, level) = (threads(), Level::detect()?);
    Steps::new(&settings_of(family, SMALLEST, 64)?, 1, level)?.step()?;
    let baseline = machine::resident("VmRSS")?;
    let mut steps = Steps::new(&settings_of(family, SHAPE, length)?, 1, level)?;
    let mut stepped = Ok(());
    let seconds = seconds(|| stepped = steps.step());
    stepped?;
    let Steps { learner, division, .. } = &steps;
    let parameters = learner.weights().parameter_count();
    let planned = PlannedMemory::of_step(learner.config(), learner.processor(), parameters, *division, threads).total();
    let peak = machine::resident("VmHWM")?;
    println!("{}", json!({ "baseline": baseline, "peak": peak, "planned": planned, "seconds": seconds }));
    Ok(())
}

fn case(index: usize) -> anyhow::Result<(&'static str, u32)> {
    let family = FAMILIES.get(index / LENGTHS.len()).context("no such case")?;
    Ok((family, LENGTHS[index % LENGTHS.len()]))
}

fn settings_of(family: &str, (d_model, n_layer): (u32, u32), length: u32) -> anyhow::Result<Settings> {
    let kind = if family == "mamba" { "causal" } else { "masked" };
    let sizes = [("model.d_model", d_model), ("model.n_layer", n_layer), ("data.length", length)];
    let words = [("model.family", family), ("objective.kind", kind)];
    let flags: Vec<Flag> = sizes
        .map(|(key, size)| Flag::new(key, size))
        .into_iter()
        .chain(words.map(|(key, word)| Flag::new(key, word)))
        .collect();
    settings(None, &flags)
}
