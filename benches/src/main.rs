//! Benchmarks of the Longstrand workspace.
//!
//! ```text
//! cargo run --release -p longstrand-benches -- models
//! cargo run --release -p longstrand-benches -- all --record benches/record/DEVICE/DATE
//! ```
//!
//! Every benchmark prints a table and, with `--record`, writes what it measured as JSON beside what it ran on. One that
//! misses a bound writes its record too, and then fails.

#![allow(clippy::print_stdout, reason = "a benchmark's output")]

mod cuda;
mod evaluate;
mod kernels;
mod large;
mod length;
mod machine;
mod memory;
mod models;
mod plan;
mod reading;
mod report;
mod training;
mod variants;
mod whole;

use std::path::PathBuf;

use anyhow::ensure;
use clap::{Parser, Subcommand};

use report::Report;

/// Benchmarks of the Longstrand workspace.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
    /// Write what was measured into this folder, one file a benchmark.
    #[arg(long, global = true)]
    record: Option<PathBuf>,
}

#[derive(Clone, Copy, Subcommand)]
enum Benchmark {
    /// Each kernel against the machine's multiply-add rate and against the crate `gemm`.
    Kernels,
    /// Caduceus-Ph and -PS of 4 layers at 8,192 bases, against the machine's multiply-add and exponential rates.
    Models,
    /// The cost of a base at 1,048,576 bases against that at 8,192 (minutes).
    Length,
    /// Peak memory of bidirectional models of 16 layers at 1,048,576 bases (ten minutes).
    Memory,
    /// Peak memory of causal models over up to 63 million bases as one context (ten minutes).
    Streaming,
    /// Plain FASTA to token ids from the page cache.
    Reading,
    /// A buffer of more than 2^31 elements through the kernels (needs 17 GiB).
    Large,
    /// 1,048,576 real bases through the built-in model, in chunks and in one piece (needs 14 GiB).
    Whole,
    /// Likelihoods behind anchors with shared prefixes against whole windows (a quarter of an hour).
    VariantsPrefix,
    /// Masked scores a second against the model's own passes (minutes).
    VariantsMasked,
    /// Bases a second of a step of training, and the whole of the preset `tiny` on yeast (minutes).
    Training,
    /// What a rank's stretch of a window costs more than a window of its own, and what it exchanges (a minute).
    TrainingStretch,
    /// Peak memory of a step at up to 1,048,576 bases against what a plan foresees (a quarter of an hour).
    TrainingMemory,
    /// Memory and time that `longstrand plan` foresees, against those of the runs (minutes).
    Plan,
    /// The built-in model's loss on its 4,096 validation windows, if LONGSTRAND_BENCH_VALIDATION names them (minutes).
    Evaluate,
    /// The selective scan on a GPU.
    CudaScan,
    /// Passes and gradients of whole models on a GPU.
    CudaModels,
    /// Bases drawn from causal models on a GPU.
    CudaGenerate,
    /// How long one sequence may be whose gradients fit on a GPU.
    CudaLongest,
    /// Everything that needs no GPU.
    All,
    /// One case of `memory` or `streaming`, in a process of its own.
    #[command(hide = true)]
    MemoryCase {
        /// Index of the case.
        index: usize,
    },
    /// One case of `training-memory`, in a process of its own.
    #[command(hide = true)]
    TrainingMemoryCase {
        /// Index of the case.
        index: usize,
    },
}

/// A benchmark.
type Run = fn(&mut Report) -> anyhow::Result<()>;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.benchmark {
        Benchmark::MemoryCase { index } => return memory::run_case(index),
        Benchmark::TrainingMemoryCase { index } => return training::memory::run_case(index),
        _ => {}
    }
    let all: [(&str, Run); 19] = [
        ("kernels", kernels::run),
        ("models", models::run),
        ("length", length::run),
        ("memory", memory::run),
        ("streaming", memory::run_streaming),
        ("reading", reading::run),
        ("large", large::run),
        ("whole", whole::run),
        ("variants-prefix", variants::prefix::run),
        ("variants-masked", variants::masked::run),
        ("training", training::speed::run),
        ("training-stretch", training::stretch::run),
        ("training-memory", training::memory::run),
        ("plan", plan::run),
        ("evaluate", evaluate::run),
        ("cuda-scan", cuda::scan::run),
        ("cuda-models", cuda::models::run),
        ("cuda-generate", cuda::generate::run),
        ("cuda-longest", cuda::longest::run),
    ];
    let load = machine::load_average();
    let mut failed = Vec::new();
    for (name, run) in all.into_iter().filter(|(name, _)| wanted(arguments.benchmark, name)) {
        let mut report = Report::new(name, load)?;
        let outcome = run(&mut report).and_then(|()| report.finish(arguments.record.as_deref()));
        failed.extend(outcome.err().map(|error| format!("{error:#}")));
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn wanted(benchmark: Benchmark, name: &str) -> bool {
    match benchmark {
        Benchmark::Kernels => name == "kernels",
        Benchmark::Models => name == "models",
        Benchmark::Length => name == "length",
        Benchmark::Memory => name == "memory",
        Benchmark::Streaming => name == "streaming",
        Benchmark::Reading => name == "reading",
        Benchmark::Large => name == "large",
        Benchmark::Whole => name == "whole",
        Benchmark::VariantsPrefix => name == "variants-prefix",
        Benchmark::VariantsMasked => name == "variants-masked",
        Benchmark::Training => name == "training",
        Benchmark::TrainingStretch => name == "training-stretch",
        Benchmark::TrainingMemory => name == "training-memory",
        Benchmark::Plan => name == "plan",
        Benchmark::Evaluate => name == "evaluate",
        Benchmark::CudaScan => name == "cuda-scan",
        Benchmark::CudaModels => name == "cuda-models",
        Benchmark::CudaGenerate => name == "cuda-generate",
        Benchmark::CudaLongest => name == "cuda-longest",
        Benchmark::All => !name.starts_with("cuda"),
        Benchmark::MemoryCase { .. } | Benchmark::TrainingMemoryCase { .. } => false,
    }
}
