//! `longstrand track`: surprisal and entropy along a genome.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Instant;

use longstrand_kernels::simd::Level;
use longstrand_seq::GenomeOptions;
use longstrand_table::{Existing, remove_temporaries};
use longstrand_variants::{Strands, Track};

use crate::args::number::size;
use crate::args::{GeneralOptions, ModelArgs};
use crate::commands::scoring;
use crate::failure::say;
use crate::interrupt::Interrupt;
use crate::machine::memory::Memory;
use crate::progress::{Progress, format_bases};
use crate::shown::Shown;

/// Options of `longstrand track`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand track genome.fa.gz --surprisal surprisal.bw --entropy entropy.bw
  longstrand track genome.2bit --region 20:1-2,000,000 --entropy entropy.bedgraph.gz --context 8192
  longstrand track genome.fa --region I --model mamba/ --strand forward --surprisal - | head")]
pub struct Options {
    /// FASTA (plain, gzip, bgzip) or 2bit; - for standard input
    pub input: PathBuf,
    /// Where -log2 p(base) goes: *.bw, *.bigwig, *.bedgraph or *.bedgraph.gz; - for bedGraph to standard output
    #[arg(long, value_name = "FILE")]
    surprisal: Option<PathBuf>,
    /// Where the entropy of the distribution over A, C, G and T goes, in bits
    #[arg(long, value_name = "FILE")]
    entropy: Option<PathBuf>,
    /// Only a region, 1-based and closed [repeatable; default: everything]
    #[arg(short, long = "region", visible_alias = "regions", value_name = "REGION")]
    regions: Vec<String>,
    /// Bases of a window, an even number; of a block for a causal model, which has read one to two blocks before a base
    #[arg(long, value_name = "N", default_value = "1024", value_parser = size, allow_negative_numbers = true)]
    context: NonZeroU64,
    /// Strands that the model reads: forward, reverse, or both and their mean
    #[arg(long, value_name = "STRANDS", default_value = "both")]
    strand: Strands,
    /// FASTA records named contig:start-end stand for that interval of the contig
    #[arg(long)]
    sliced_reference: bool,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// Writes the tracks.
///
/// # Errors
///
/// - Options that do not go together or with the model.
/// - The model or the genome cannot be read, or does not have a region.
/// - An output exists or cannot be written.
/// - Ctrl-C.
pub fn run(options: Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let checkpoint = options.model.load()?;
    let outputs = [options.surprisal.clone(), options.entropy.clone()];
    let job = Track {
        reference: options.input,
        genome: GenomeOptions { sliced_reference: options.sliced_reference },
        regions: options.regions,
        context: options.context,
        strands: options.strand,
        surprisal: options.surprisal,
        entropy: options.entropy,
        existing: if options.force { Existing::Replace } else { Existing::Refuse },
        threads: general.threads(),
        available_memory: Memory::detect().map(|memory| memory.available),
    };
    let interrupt = Interrupt::listen(general.quiet)?;
    interrupt.before_exit(move || outputs.iter().flatten().for_each(|path| remove_temporaries(path)));
    let progress = Progress::counting("bases", general.quiet);
    let started = Instant::now();
    let watch = Shown { progress: &progress, interrupt: &interrupt };
    let result = job.run(&checkpoint, Level::detect()?, &watch);
    progress.finish();
    let tracked = result.map_err(|error| scoring::told(error, false))?;
    if !general.quiet {
        let seconds = started.elapsed().as_secs_f64();
        let bases = format_bases(tracked.bases as f64);
        say(&format!("{bases}, {} bases without a surprisal, {seconds:.1} s", tracked.n_ambiguous));
    }
    Ok(())
}
