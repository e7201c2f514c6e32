//! Peak resident memory of whole contexts, each in a process of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use longstrand_kernels::{Cpu, simd::Level};
use longstrand_model::{Chunking, Model, State};
use longstrand_seq::{genome::FastaStream, vocab::Vocabulary};
use longstrand_tests::synthetic::{self, Family, Shape};
use serde_json::{Value, json};

use crate::{
    machine,
    models::{Discard, LAST},
    report::{Report, seconds},
};

struct Case {
    shape: Shape,
    len: usize,
    /// The most that it may take, in GiB.
    bound: f64,
}

const fn case(family: Family, d_model: usize, n_layer: usize, len: usize, bound: f64) -> Case {
    Case { shape: Shape { family, d_model, n_layer }, len, bound }
}

/// Bases of human chromosome 20 (GRCh37).
const CHROMOSOME_20: usize = 63_025_520;

const CASES: &[Case] = &[
    case(Family::CaduceusPh, 256, 16, 1 << 20, 3.0),
    case(Family::CaduceusPs, 256, 16, 1 << 20, 6.0),
    case(Family::Mamba, 256, 8, 1 << 20, 1.0),
    case(Family::Mamba, 256, 8, 1 << 23, 1.0),
    case(Family::Mamba, 64, 4, CHROMOSOME_20, 1.0),
];

/// The cases that go layer after layer; the others stream.
const BIDIRECTIONAL: std::ops::Range<usize> = 0..2;

/// Positions that a causal model is fed at a time.
const PIECE: usize = 2048;

/// The FASTA file whose first record the last case reads in place of pseudo-random bases, if it is named.
const GENOME_VARIABLE: &str = "LONGSTRAND_BENCH_GENOME";

/// Contexts of bidirectional models.
pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    for index in BIDIRECTIONAL {
        measure(report, index)?;
    }
    Ok(())
}

/// Contexts of causal models, which take the same at any length.
pub(crate) fn run_streaming(report: &mut Report) -> anyhow::Result<()> {
    let peaks: Vec<f64> =
        (BIDIRECTIONAL.end..CASES.len()).map(|index| measure(report, index)).collect::<anyhow::Result<_>>()?;
    let ratio = peaks[1] / peaks[0];
    report.row("Mamba d 256, 8 layers: 8 M against 1 M", &[("times the peak", ratio)]);
    report.at_most("the peak at 8 M to that at 1 M", ratio, 1.05);
    Ok(())
}

/// Runs a case in a process of its own, reports it and returns its peak in GiB.
fn measure(report: &mut Report, index: usize) -> anyhow::Result<f64> {
    let case = &CASES[index];
    let output = Command::new(std::env::current_exe()?).arg("memory-case").arg(index.to_string()).output()?;
    ensure!(output.status.success(), "case {index}: {}", String::from_utf8_lossy(&output.stderr));
    let measured: Value = serde_json::from_slice(&output.stdout)?;
    let figure = |name: &str| measured[name].as_f64().with_context(|| format!("no {name}"));
    let (peak, seconds) = (figure("peak_gib")?, figure("seconds")?);
    let Shape { family, d_model, n_layer } = case.shape;
    report.row(
        &format!("{family:?} d {d_model}, {n_layer} layers, L {}", case.len),
        &[("GiB peak", peak), ("GiB allowed", case.bound), ("bases/s", case.len as f64 / seconds)],
    );
    report.at_most(&format!("{family:?} d {d_model}, L {}: GiB", case.len), peak, case.bound);
    Ok(peak)
}

/// Runs one case and prints what it took as JSON.
pub(crate) fn run_case(index: usize) -> anyhow::Result<()> {
    let case = CASES.get(index).context("no such case")?;
    let genome = std::env::var_os(GENOME_VARIABLE).filter(|_| index + 1 == CASES.len()).map(PathBuf::from);
    let model = Model::new(Cpu::new(Level::detect()?), &case.shape.checkpoint(1));
    let mut result = Ok(());
    let seconds = seconds(|| {
        result = match model.initial_state() {
            Some(state) => feed(&model, state, case.len, genome.as_deref()),
            None => {
                let ids = synthetic::ids(case.len, 1);
                let _ = model.encode(&ids, Chunking::Auto, &LAST, &mut model.scratch(), &mut Discard);
                Ok(())
            }
        };
    });
    result?;
    println!("{}", json!({ "seconds": seconds, "peak_gib": machine::resident("VmHWM")? / (1 << 30) as f64 }));
    Ok(())
}

/// Feeds a causal model piece by piece: neither the sequence nor anything else that grows with it is held.
fn feed(model: &Model<Cpu>, mut state: State<f32>, len: usize, genome: Option<&Path>) -> anyhow::Result<()> {
    let (vocabulary, mut scratch, mut ids) = (Vocabulary::caduceus(), model.scratch(), Vec::new());
    let mut stream = genome.map(FastaStream::open).transpose()?;
    if let Some(stream) = &mut stream {
        stream.next_contig()?.context("a record")?;
    }
    while state.position() < len as u64 {
        let wanted = PIECE.min(len - state.position() as usize);
        ids.clear();
        match &mut stream {
            Some(stream) => {
                let read = stream.read_ids(&vocabulary, wanted, &mut ids)?;
                ensure!(read > 0, "the record ends after {} of {len} bases", state.position());
            }
            None => ids = synthetic::ids(wanted, state.position()),
        }
        let _ = model.feed(&mut state, &ids, &LAST, &mut scratch, &mut Discard);
    }
    Ok(())
}
