//! `longstrand kernels`: the GPU kernels in this program.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use longstrand_kernels::cuda::check::{self, Row};
use longstrand_kernels::cuda::{Architecture, CudaError, Nvrtc};

use crate::failure::{say, write_stdout};

/// The table in a checkout of the source.
const TABLE: &str = "kernels/resources.tsv";

/// Options of `longstrand kernels`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand kernels check                    compile every kernel, and see what each takes")]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with the kernels.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Compile every kernel and compare what it takes with the table; no GPU is needed, NVRTC is
    Check(CheckOptions),
}

/// Options of `longstrand kernels check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand kernels check
  longstrand kernels check --arch sm_90
  LONGSTRAND_CUDA_PATH=venv longstrand kernels check      with NVRTC of a Python environment
  longstrand kernels check --update                       write the table, in a checkout of the source")]
pub struct CheckOptions {
    /// Compile for these architectures [default: sm_80,sm_90,sm_100,sm_120]
    #[arg(long, value_name = "NAME", value_delimiter = ',', conflicts_with = "update")]
    pub arch: Vec<Architecture>,
    /// Write what was found to kernels/resources.tsv instead
    #[arg(long)]
    pub update: bool,
}

/// Does it.
///
/// # Errors
///
/// - There is no NVRTC.
/// - A kernel does not compile, spills, or takes more than the table says.
/// - The table cannot be read or written.
pub fn run(options: Options) -> anyhow::Result<()> {
    match options.action {
        Action::Check(options) => check(&options),
    }
}

fn check(options: &CheckOptions) -> anyhow::Result<()> {
    if options.update && !Path::new(TABLE).is_file() {
        bail!("there is no {TABLE} here; run this at the root of a checkout of the source");
    }
    let nvrtc = Nvrtc::open(None)?;
    let architectures = match options.arch.is_empty() {
        true => Architecture::CHECKED.to_vec(),
        false => options.arch.iter().map(|architecture| Architecture::sm(architecture.capability)).collect(),
    };
    let (rows, failures) = parted(check::measure(&nvrtc, &architectures));
    let mut differences: Vec<String> = failures.iter().map(CudaError::to_string).collect();
    if options.update && differences.is_empty() {
        return update(&rows);
    }
    let table = check::read_table(check::TABLE)?;
    if let Some(other) = check::other_nvrtc(&rows, &table) {
        say(&format!("the table was made with NVRTC {other}, this is {}: only spills are compared", nvrtc.version()));
    }
    if failures.is_empty() {
        differences.extend(check::differences(&rows, &table));
    }
    let text = differences.iter().fold(String::new(), |text, line| format!("{text}{line}\n"));
    write_stdout(text.as_bytes())?;
    if !differences.is_empty() {
        bail!("{} of the kernels' resources are not as they should be", differences.len());
    }
    say(&format!("{} kernels compiled by NVRTC {} take no more than the table says", rows.len(), nvrtc.version()));
    Ok(())
}

fn parted(results: Vec<Result<Row, CudaError>>) -> (Vec<Row>, Vec<CudaError>) {
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(row) => rows.push(row),
            Err(error) => failures.push(error),
        }
    }
    (rows, failures)
}

fn update(rows: &[Row]) -> anyhow::Result<()> {
    for row in rows.iter().filter(|row| row.resources.spill_bytes > 0) {
        let (name, spilled) = (&row.resources.kernel, row.resources.spill_bytes);
        say(&format!("warning: {name} spills {spilled} bytes on {}", row.architecture));
    }
    fs::write(TABLE, check::write_table(rows)).with_context(|| format!("cannot write {TABLE}"))?;
    say(&format!("wrote {} rows to {TABLE}", rows.len()));
    Ok(())
}
