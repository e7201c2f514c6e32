//! `longstrand mutagenesis`: every substitution of a region.

use std::path::PathBuf;
use std::time::Instant;

use longstrand_seq::GenomeOptions;
use longstrand_table::Destination;
use longstrand_variants::{Mutagenesis, MutagenesisPlan};

use crate::args::output::{table, tsv};
use crate::args::region::closed_region;
use crate::args::score::ScoreArgs;
use crate::args::{ExistingArgs, GeneralOptions, ModelArgs};
use crate::commands::scoring;
use crate::failure::{say, write_stdout};
use crate::interrupt::Interrupt;
use crate::machine::memory::Memory;
use crate::machine::standard_output;
use crate::progress::Progress;
use crate::shown::Shown;

/// Options of `longstrand mutagenesis`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand mutagenesis genome.fa.gz --region 17:41,276,000-41,276,200 -o scores.parquet --svg scores.svg
  longstrand mutagenesis genome.2bit --region chr7:27,200,001-27,201,000 -o scores.parquet --score wildtype --context 8192
  longstrand mutagenesis genome.fa --region I:1-5000 --tsv scores.tsv.gz --model mamba/ --anchor block")]
pub struct Options {
    /// FASTA (plain, gzip, bgzip) or 2bit
    pub input: PathBuf,
    /// The region to mutate, 1-based and closed, with both ends: 20:1000 alone would be all to the contig's end
    #[arg(short, long, value_name = "REGION", value_parser = closed_region)]
    region: String,
    #[command(flatten)]
    outputs: OutputArgs,
    /// FASTA records named contig:start-end stand for that interval of the contig
    #[arg(long)]
    sliced_reference: bool,
    #[command(flatten)]
    scores: ScoreArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Print what would be done and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Outputs (at least one)")]
struct OutputArgs {
    /// One row a substitution: a file named *.parquet (or *.pq), or else a folder of parts
    #[arg(short, long, value_name = "PATH", value_parser = table())]
    output: Option<PathBuf>,
    /// The same rows as text with tabs; *.gz is bgzip; - for standard output
    #[arg(long, value_name = "FILE", value_parser = tsv())]
    tsv: Option<PathBuf>,
    /// Draw a heat map of the first score, with the sequence along it (regions of up to 20,000 bases)
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    existing: ExistingArgs,
}

/// Scores all substitutions, or says what would be scored.
///
/// # Errors
///
/// - Options that do not go together or with the model.
/// - The model or the genome cannot be read, or does not have the region.
/// - An output exists or cannot be written.
/// - Ctrl-C.
pub fn run(options: Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let checkpoint = options.model.load()?;
    let job = options.job(general);
    let chosen = options.model.processor(&checkpoint)?;
    let plan = job.plan(&checkpoint, chosen.processor.clone()).map_err(|error| scoring::told(error, false))?;
    options.scores.check(plan.options())?;
    if options.dry_run {
        return write_stdout(options.describe(&plan, general, &checkpoint.name, &chosen.shown)?.as_bytes());
    }
    standard_output::check(options.outputs.tsv.as_deref())?;
    let interrupt = Interrupt::listen(general.quiet)?;
    interrupt.before_exit({
        let job = job.clone();
        move || job.remove_temporaries()
    });
    let progress = Progress::counting("positions", general.quiet);
    chosen.tell(general);
    let started = Instant::now();
    let result = plan.run(&Shown { progress: &progress, interrupt: &interrupt });
    progress.finish();
    let counts = result.map_err(|error| scoring::told(error, job.is_resumable()))?;
    if !general.quiet {
        let seconds = started.elapsed().as_secs_f64();
        match counts {
            Some(counts) => {
                say(&format!("{} substitutions, {seconds:.1} s, {}", counts.alleles, options.outputs.shown()));
            }
            None => say("the output is complete already"),
        }
    }
    Ok(())
}

impl Options {
    fn job(&self, general: &GeneralOptions) -> Mutagenesis {
        let outputs = &self.outputs;
        Mutagenesis {
            reference: self.input.clone(),
            genome: GenomeOptions { sliced_reference: self.sliced_reference },
            region: self.region.clone(),
            options: self.scores.options(),
            parquet: outputs.output.as_ref().map(Destination::from_path),
            tsv: outputs.tsv.clone(),
            svg: outputs.svg.clone(),
            existing: outputs.existing.existing(),
            threads: general.threads(),
            available_memory: Memory::detect().map(|memory| memory.available),
        }
    }

    fn describe(
        &self,
        plan: &MutagenesisPlan<'_>,
        general: &GeneralOptions,
        model: &str,
        device: &str,
    ) -> anyhow::Result<String> {
        let sites = plan.sites().map_err(|error| scoring::told(error, false))?;
        let mut rows = vec![
            ("genome", self.input.display().to_string()),
            ("region", self.region.clone()),
            ("sites", format!("{sites} of {} bases are A, C, G or T", plan.bases())),
            ("model", model.to_owned()),
        ];
        rows.extend(ScoreArgs::describe(plan.options(), &plan.columns()));
        rows.push(("device", device.to_owned()));
        rows.push(("threads", general.threads().to_string()));
        rows.push(("outputs", self.outputs.shown()));
        Ok(scoring::table(&rows))
    }
}

impl OutputArgs {
    /// The outputs, for a user.
    fn shown(&self) -> String {
        let outputs = [&self.output, &self.tsv, &self.svg].into_iter().flatten();
        outputs.map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}
