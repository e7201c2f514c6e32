//! `longstrand embed`: windows or reads to embeddings in Parquet.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Instant;

use clap::builder::TypedValueParser;
use longstrand_embed::{
    ComputeOptions, EmbedError, EmbedOptions, Equivariant, InputOptions, Job, Layers, Outcome, OutputOptions as To,
    Plan, Pool, ReadOptions, SpecialTokens, Strands,
};
use longstrand_model::checkpoint::Checkpoint;
use longstrand_seq::window::{Partial, Shard, WindowSize};
use longstrand_table::{Destination, Precision, WriteOptions};

use crate::args::flags::sam_flags;
use crate::args::number::{above_zero, size};
use crate::args::region::regions;
use crate::args::{GeneralOptions, ModelArgs, OutputOptions};
use crate::commands::plan;
use crate::failure::{Usage, say, write_stdout};
use crate::interrupt::{Interrupt, Interrupted};
use crate::machine::memory::Memory;
use crate::progress::{Progress, format_bases};
use crate::shown::Shown;

/// Options of `longstrand embed`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand embed genome.fa.gz -o out.parquet                          windows of 1,024 bases
  longstrand embed genome.fa.gz -o out.parquet --bed peaks.bed          one row an interval
  longstrand embed genome.2bit -o out.parquet --region 20:1-1048576 --pool bins:1024
  longstrand embed genome.fa -o parts_3/ --window 8192 --shard 3/8 --resume
  longstrand embed reads.bam -o out.parquet --region 20:9,999,900-10,002,000 --min-mapq 20")]
pub struct Options {
    /// FASTA (plain, gzip, bgzip), 2bit, BAM or CRAM, told by content; - for standard input
    pub input: PathBuf,
    #[command(flatten)]
    output: OutputOptions,
    #[command(flatten)]
    windows: WindowArgs,
    #[command(flatten)]
    reads: ReadArgs,
    #[command(flatten)]
    embedding: EmbeddingArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    work: WorkArgs,
    #[command(flatten)]
    advanced: AdvancedArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Windows")]
struct WindowArgs {
    /// Embed only the intervals of a BED file, each as one window; '-' rows as their reverse complement [repeatable]
    #[arg(long, value_name = "FILE", conflicts_with = "regions")]
    bed: Vec<PathBuf>,
    /// Embed only a region, 1-based and closed, as 20:1,000-2,000; 20:1000 is from there to the contig's end, as for samtools
    /// [repeatable, or several with commas]
    #[arg(short, long = "region", visible_alias = "regions", id = "regions", value_name = "REGION")]
    regions: Vec<String>,
    /// Bases of a window, or `contig` for whole contigs; centred on BED intervals. Of sizes, k, M and G stand for 1,000,
    /// 1,000,000 and 1,000,000,000 [default: 1024 over contigs, a region or interval as it is]
    #[arg(long, value_name = "N|contig", value_parser = window, allow_negative_numbers = true)]
    window: Option<WindowSize>,
    /// Bases from one window's start to the next one's [default: the window]
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    stride: Option<NonZeroU64>,
    /// What becomes of a last window that is shorter [default: keep] [possible values: keep, drop, pad]
    #[arg(long, value_name = "POLICY")]
    last: Option<Partial>,
    /// Leave out windows of which more than this fraction is not A, C, G or T
    #[arg(long, value_name = "FRACTION", default_value = "1", value_parser = fraction, allow_negative_numbers = true)]
    max_n: f64,
    /// Add the column n_soft_masked
    #[arg(long)]
    soft_mask: bool,
    /// FASTA records named contig:start-end stand for that interval of the contig
    #[arg(long)]
    sliced_reference: bool,
    /// Embed only the i-th of n parts of equal bases
    #[arg(long, value_name = "I/N", default_value = "1/1", allow_negative_numbers = true)]
    shard: Shard,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reads (BAM, CRAM)")]
struct ReadArgs {
    /// The genome that a CRAM file is stored against
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// The lowest mapping quality
    #[arg(long, value_name = "Q", allow_negative_numbers = true)]
    min_mapq: Option<u8>,
    /// SAM flags of which a read must have all, as 0x2 or PROPER_PAIR
    #[arg(long, value_name = "FLAGS", value_parser = sam_flags, allow_negative_numbers = true)]
    require_flags: Option<u16>,
    /// SAM flags of which a read must have none, as 0x400 or DUP,QCFAIL [default: SECONDARY,SUPPLEMENTARY]
    #[arg(long, value_name = "FLAGS", value_parser = sam_flags, allow_negative_numbers = true)]
    exclude_flags: Option<u16>,
    /// No secondary and supplementary alignments, whatever --exclude-flags says
    #[arg(long)]
    primary_only: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Embedding")]
struct EmbeddingArgs {
    /// `last` (output of the final norm), n (residual stream after block n), or several with commas
    #[arg(long, value_name = "LAYERS", default_value = "last", allow_hyphen_values = true)]
    layer: Layers,
    /// mean, max, last, center:W, bins:N or none (one row a base)
    #[arg(long, value_name = "POOL", default_value = "mean", allow_negative_numbers = true)]
    pool: Pool,
    /// forward, average or concat with the reverse complement
    #[arg(long, value_name = "STRANDS", default_value = "forward")]
    strand: Strands,
    /// Halves of a reverse-complement equivariant model: published, conjoined or split [default: published]
    #[arg(long, value_name = "FORM")]
    equivariant: Option<Equivariant>,
    /// Special tokens: none, or those of the published tokenizer
    #[arg(long, value_name = "TOKENS", default_value = "none")]
    special_tokens: SpecialTokens,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Table")]
struct TableArgs {
    /// Bits of a number
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = precision())]
    dtype: Precision,
    /// Rows of a row group [default: 64 MiB of vectors, at most 2048]
    #[arg(long, value_name = "ROWS", value_parser = above_zero::<NonZeroUsize>, allow_negative_numbers = true)]
    row_group: Option<NonZeroUsize>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Work")]
struct WorkArgs {
    /// Tokens of short windows that are worked on together, or auto, from the available memory
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = auto, allow_negative_numbers = true)]
    batch_tokens: BatchTokens,
    /// Print what would be done and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Advanced")]
struct AdvancedArgs {
    /// Positions that a pass works on at a time, a multiple of 256; fewer take less memory, and the result is the same
    /// [default: what suits the model]
    #[arg(long, value_name = "POSITIONS", value_parser = above_zero::<NonZeroUsize>, allow_negative_numbers = true)]
    chunk: Option<NonZeroUsize>,
}

/// `--batch-tokens`; none is auto.
#[derive(Clone, Copy, Debug)]
struct BatchTokens(Option<NonZeroUsize>);

/// Embeds, or says what would be embedded.
///
/// # Errors
///
/// - Options that do not go together, with the input or with the model.
/// - The model, the input or a BED file cannot be read, or there is no window.
/// - The output exists or cannot be written.
/// - Ctrl-C.
pub fn run(options: Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let checkpoint = options.model.load()?;
    let job = options.job(general);
    let destination = options.output.destination();
    let told = |error| told(error, &destination);
    let chosen = options.model.processor(&checkpoint)?;
    let plan = Plan::new(job, &checkpoint, chosen.processor.clone()).map_err(told)?;
    if options.work.dry_run {
        return write_stdout(describe(&options, &plan, &checkpoint, &chosen.shown).as_bytes());
    }
    let interrupt = Interrupt::listen(general.quiet)?;
    interrupt.before_exit({
        let destination = destination.clone();
        move || destination.remove_temporaries()
    });
    let progress = Progress::new(plan.planned().map(|planned| planned.bases), general.quiet);
    chosen.tell(general);
    let started = Instant::now();
    let result = plan.run(&Shown { progress: &progress, interrupt: &interrupt });
    progress.finish();
    let outcome = result.map_err(told)?;
    if !general.quiet {
        say(&summary(&outcome, started.elapsed().as_secs_f64(), &options.output.output.display().to_string()));
    }
    Ok(())
}

/// What a run is going to take, at a rate in tokens a second or the one that is measured.
pub(super) fn estimate(options: &Options, general: &GeneralOptions, rate: Option<f64>) -> anyhow::Result<plan::Run> {
    let began = Instant::now();
    let checkpoint = options.model.load()?;
    let destination = options.output.destination();
    let told = |error| told(error, &destination);
    let chosen = options.model.processor(&checkpoint)?;
    let mut job = options.job(general);
    // The memory of a machine that only plans does not matter.
    job.compute.available_memory = None;
    let plan = Plan::new(job, &checkpoint, chosen.processor.clone()).map_err(told)?;
    let (opening, threads) = (began.elapsed().as_secs_f64(), plan.threads());
    Ok(plan::Run {
        command: "embed",
        device: chosen.shown,
        threads,
        shard: Some(options.windows.shard),
        opening,
        estimate: plan.estimate(rate).map_err(told)?,
        is_told: false,
    })
}

impl Options {
    fn job(&self, general: &GeneralOptions) -> Job {
        let (windows, reads, model) = (&self.windows, &self.reads, &self.embedding);
        Job {
            input: InputOptions {
                path: self.input.clone(),
                regions: regions(&windows.regions),
                beds: windows.bed.clone(),
                window: windows.window,
                stride: windows.stride,
                partial: windows.last,
                max_ambiguous: windows.max_n,
                sliced_reference: windows.sliced_reference,
                reads: ReadOptions {
                    reference: reads.reference.clone(),
                    min_mapping_quality: reads.min_mapq,
                    required_flags: reads.require_flags,
                    excluded_flags: reads.exclude_flags,
                    primary_only: reads.primary_only,
                },
                shard: windows.shard,
            },
            embed: EmbedOptions {
                layers: model.layer.clone(),
                pool: model.pool,
                strands: model.strand,
                equivariant: model.equivariant,
                special_tokens: model.special_tokens,
            },
            compute: ComputeOptions {
                threads: Some(general.threads()),
                batch_tokens: self.work.batch_tokens.0,
                chunk: self.advanced.chunk,
                available_memory: Memory::detect().map(|memory| memory.available),
            },
            output: To {
                destination: self.output.destination(),
                precision: self.table.dtype,
                soft_masked: windows.soft_mask,
                write: WriteOptions {
                    rows_per_group: self.table.row_group,
                    existing: self.output.existing(),
                    ..WriteOptions::default()
                },
            },
        }
    }
}

/// An error with the exit code that goes with it.
fn told(error: EmbedError, destination: &Destination) -> anyhow::Error {
    match error {
        EmbedError::Cancelled => Interrupted { resumable: destination.has_parts(), ..Interrupted::default() }.into(),
        EmbedError::Usage(error) => Usage(error.to_string()).into(),
        error => error.into(),
    }
}

/// What a run has done, in a line.
fn summary(outcome: &Outcome, seconds: f64, output: &str) -> String {
    let rows = outcome.written.rows;
    let Some(counts) = &outcome.counts else {
        return format!("{output} is complete already: {}", counted(rows, "row"));
    };
    let dropped: String =
        counts.dropped().iter().map(|(reason, number)| format!(", {number} left out ({reason})")).collect();
    let short = match counts.kept_partial() {
        0 => String::new(),
        number => format!(", {number} of them shorter than --window"),
    };
    let rate = format_bases(outcome.bases_computed as f64 / seconds.max(1e-9));
    format!(
        "{} of {}{short}{dropped}, {}, {seconds:.1} s, {rate}/s, {output}",
        counted(rows, "row"),
        counted(counts.windows(), "window"),
        format_bases(counts.bases() as f64)
    )
}

/// A number of things, in the plural unless it is one.
fn counted(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// What would be done, in a table.
fn describe(options: &Options, plan: &Plan, checkpoint: &Checkpoint, device: &str) -> String {
    let unknown = || "known when the input is read".to_string();
    let planned = plan.planned();
    let gib = |bytes: u64| format!("about {:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let rows = [
        ("input", format!("{} ({})", options.input.display(), plan.kind())),
        ("windows", planned.map_or_else(unknown, |planned| planned.windows.to_string())),
        ("bases", planned.map_or_else(unknown, |planned| planned.bases.to_string())),
        ("model", format!("{} ({})", checkpoint.name, checkpoint.config.family)),
        ("layers", options.embedding.layer.to_string()),
        ("pool", options.embedding.pool.to_string()),
        ("vector", format!("{} numbers", plan.width())),
        ("device", device.to_owned()),
        ("threads", plan.threads().to_string()),
        ("batch", format!("{} tokens", plan.batch_tokens())),
        ("memory", plan.memory_estimate().map_or_else(unknown, gib)),
        ("output", options.output.output.display().to_string()),
    ];
    rows.iter().map(|(name, value)| format!("{name:<10}{value}\n")).collect()
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err("expected a fraction between 0 and 1".into()),
    }
}

fn window(text: &str) -> Result<WindowSize, String> {
    match text {
        "contig" => Ok(WindowSize::Contig),
        bases => size(bases).map(WindowSize::Bases).map_err(|expected| format!("{expected}, or contig")),
    }
}

fn precision() -> impl TypedValueParser<Value = Precision> {
    clap::builder::PossibleValuesParser::new(["f32", "f16"]).map(|name| match name.as_str() {
        "f16" => Precision::F16,
        _ => Precision::F32,
    })
}

fn auto(text: &str) -> Result<BatchTokens, String> {
    match text {
        "auto" => Ok(BatchTokens(None)),
        number => {
            let tokens = size(number).ok().and_then(|tokens| NonZeroUsize::try_from(tokens).ok());
            let error = || "expected a whole number above 0, as 65536 or 64k, or auto".into();
            tokens.map(|tokens| BatchTokens(Some(tokens))).ok_or_else(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_bounds() {
        assert!(fraction("0.5").is_ok() && fraction("1.5").is_err() && fraction("NaN").is_err());
        assert!(auto("auto").is_ok() && auto("64k").is_ok() && auto("0").is_err());
        assert_eq!(window("8k"), Ok(WindowSize::Bases(NonZeroU64::new(8000).unwrap())));
        assert_eq!(window("contig"), Ok(WindowSize::Contig));
        assert!(window("contigs").is_err());
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|number| counted(number, "row")), ["0 rows", "1 row", "2 rows"]);
    }
}
