//! `longstrand track`: surprisal and entropy along a genome.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Instant;

use longstrand_seq::GenomeOptions;
use longstrand_table::{Existing, remove_temporaries};
use longstrand_variants::{Strands, Track, TrackPlan};

use crate::args::number::size;
use crate::args::region::regions;
use crate::args::{GeneralOptions, ModelArgs};
use crate::commands::scoring;
use crate::failure::{say, write_stdout};
use crate::interrupt::Interrupt;
use crate::machine::memory::Memory;
use crate::machine::standard_output;
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
    /// Only a region, 1-based and closed, as 20:1,000-2,000; 20:1000 is from there to the contig's end, as for samtools
    /// [repeatable, or several with commas; default: everything]
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
    /// Print what would be done and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Writes the tracks, or says what would be written.
///
/// # Errors
///
/// - Options that do not go together or with the model.
/// - The model or the genome cannot be read, or does not have a region.
/// - An output exists or cannot be written.
/// - Ctrl-C.
pub fn run(options: Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let checkpoint = options.model.load()?;
    let job = options.job(general);
    let chosen = options.model.processor(&checkpoint)?;
    let plan = job.plan(&checkpoint, chosen.processor.clone()).map_err(|error| scoring::told(error, false))?;
    if options.dry_run {
        return write_stdout(options.describe(&plan, general, &checkpoint.name, &chosen.shown).as_bytes());
    }
    standard_output::check(options.outputs().iter().map(PathBuf::as_path))?;
    let interrupt = Interrupt::listen(general.quiet)?;
    interrupt.before_exit({
        let outputs = options.outputs();
        move || outputs.iter().for_each(|path| remove_temporaries(path))
    });
    let progress = Progress::counting("bases", general.quiet);
    chosen.tell(general);
    let started = Instant::now();
    let result = plan.run(&Shown { progress: &progress, interrupt: &interrupt });
    progress.finish();
    let tracked = result.map_err(|error| scoring::told(error, false))?;
    if !general.quiet {
        let seconds = started.elapsed().as_secs_f64();
        let bases = format_bases(tracked.bases as f64);
        say(&format!("{bases}, {} bases without a surprisal, {seconds:.1} s", tracked.n_ambiguous));
    }
    Ok(())
}

impl Options {
    fn job(&self, general: &GeneralOptions) -> Track {
        Track {
            reference: self.input.clone(),
            genome: GenomeOptions { sliced_reference: self.sliced_reference },
            regions: regions(&self.regions),
            context: self.context,
            strands: self.strand,
            surprisal: self.surprisal.clone(),
            entropy: self.entropy.clone(),
            existing: if self.force { Existing::Replace } else { Existing::Refuse },
            threads: general.threads(),
            available_memory: Memory::detect().map(|memory| memory.available),
        }
    }

    fn outputs(&self) -> Vec<PathBuf> {
        [&self.surprisal, &self.entropy].into_iter().flatten().cloned().collect()
    }

    fn describe(&self, plan: &TrackPlan<'_>, general: &GeneralOptions, model: &str, device: &str) -> String {
        let regions = match &*self.regions {
            [] => "everything".to_owned(),
            texts => regions(texts).join(" "),
        };
        let tracks = [("surprisal", &self.surprisal), ("entropy", &self.entropy)];
        let outputs = tracks.iter().filter_map(|(name, path)| Some(format!("{name} to {}", path.as_ref()?.display())));
        scoring::table(&[
            ("genome", self.input.display().to_string()),
            ("regions", regions),
            ("bases", plan.bases().to_string()),
            ("model", model.to_owned()),
            ("context", format!("{} bases", self.context)),
            ("strand", self.strand.to_string()),
            ("device", device.to_owned()),
            ("threads", general.threads().to_string()),
            ("outputs", outputs.collect::<Vec<_>>().join(", ")),
        ])
    }
}
