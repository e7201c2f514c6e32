//! `longstrand mutagenesis`: every substitution of a region.

use std::path::PathBuf;
use std::time::Instant;

use longstrand_kernels::simd::Level;
use longstrand_seq::GenomeOptions;
use longstrand_variants::Mutagenesis;

use crate::args::score::ScoreArgs;
use crate::args::{GeneralOptions, ModelArgs, OutputOptions};
use crate::commands::scoring;
use crate::failure::say;
use crate::interrupt::Interrupt;
use crate::machine::memory::Memory;
use crate::progress::Progress;
use crate::shown::Shown;

/// Options of `longstrand mutagenesis`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand mutagenesis genome.fa.gz --region 17:41,276,000-41,276,200 -o scores.parquet --svg scores.svg
  longstrand mutagenesis genome.2bit --region chr7:27,200,001-27,201,000 -o scores.parquet --score wildtype --context 8192
  longstrand mutagenesis genome.fa --region I:1-5000 -o scores.parquet --model mamba/ --anchor block")]
pub struct Options {
    /// FASTA (plain, gzip, bgzip) or 2bit
    pub input: PathBuf,
    /// The region to mutate, 1-based and closed
    #[arg(short, long, value_name = "REGION")]
    region: String,
    #[command(flatten)]
    output: OutputOptions,
    /// The same rows as text; *.gz is bgzip; - for standard output
    #[arg(long, value_name = "FILE")]
    tsv: Option<PathBuf>,
    /// Draw a heat map of the first score, with the sequence along it (regions of up to 20,000 bases)
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// FASTA records named contig:start-end stand for that interval of the contig
    #[arg(long)]
    sliced_reference: bool,
    #[command(flatten)]
    scores: ScoreArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// Scores all substitutions.
///
/// # Errors
///
/// - Options that do not go together or with the model.
/// - The model or the genome cannot be read, or does not have the region.
/// - An output exists or cannot be written.
/// - Ctrl-C.
pub fn run(options: Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let checkpoint = options.model.load()?;
    let job = Mutagenesis {
        reference: options.input,
        genome: GenomeOptions { sliced_reference: options.sliced_reference },
        region: options.region,
        options: options.scores.options(),
        parquet: options.output.destination(),
        tsv: options.tsv,
        svg: options.svg,
        existing: options.output.existing(),
        threads: general.threads(),
        available_memory: Memory::detect().map(|memory| memory.available),
    };
    let interrupt = Interrupt::listen(general.quiet)?;
    interrupt.before_exit({
        let job = job.clone();
        move || job.remove_temporaries()
    });
    let progress = Progress::counting("positions", general.quiet);
    let started = Instant::now();
    let watch = Shown { progress: &progress, interrupt: &interrupt };
    let result = job.run(&checkpoint, Level::detect()?, &watch);
    progress.finish();
    let counts = result.map_err(|error| scoring::told(error, job.is_resumable()))?;
    if !general.quiet {
        let (seconds, output) = (started.elapsed().as_secs_f64(), options.output.output.display());
        match counts {
            Some(counts) => say(&format!("{} substitutions, {seconds:.1} s, {output}", counts.alleles)),
            None => say("the output is complete already"),
        }
    }
    Ok(())
}
