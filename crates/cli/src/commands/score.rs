//! `longstrand score`: variants to scores, in VCF, Parquet and TSV.

use std::path::PathBuf;
use std::time::Instant;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use longstrand_model::Unwatched;
use longstrand_seq::GenomeOptions;
use longstrand_seq::variant::{VariantFormat, VariantOutput};
use longstrand_seq::window::Shard;
use longstrand_table::{Destination, Existing};
use longstrand_variants::{Counts, Job, Outputs, Plan, Prefix, RefMismatch, ScoreCounts, ScoreOptions};

use crate::args::output::{table, tsv};
use crate::args::region::regions;
use crate::args::score::ScoreArgs;
use crate::args::{ExistingArgs, GeneralOptions, ModelArgs};
use crate::commands::{plan, scoring};
use crate::failure::{Usage, say, write_stdout};
use crate::interrupt::Interrupt;
use crate::machine::memory::Memory;
use crate::machine::standard_output;
use crate::progress::Progress;
use crate::shown::Shown;

/// Options of `longstrand score`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand score calls.vcf.gz --reference genome.fa.gz -o scored.vcf.gz
  longstrand score calls.bcf --reference genome.2bit --parquet scores.parquet --score masked,embedding --context 8192
  longstrand score calls.vcf.gz --reference genome.fa --regions 20:1-2,000,000 -Ob -o - | bcftools view -i 'LS_MASKED<-5'
  longstrand score calls.vcf.gz --reference genome.fa --model mamba/ --anchor block --context 131072 -o scored.bcf
  longstrand score calls.vcf.gz --reference genome.fa -o part_3.vcf.gz --shard 3/8 --resume")]
pub struct Options {
    /// VCF or BCF (plain, gzip or bgzip), told by content; - for standard input
    pub input: PathBuf,
    /// The genome that the variants are told against: FASTA (plain, gzip, bgzip) or 2bit
    #[arg(short = 'f', long, value_name = "FILE")]
    reference: PathBuf,
    #[command(flatten)]
    outputs: OutputArgs,
    #[command(flatten)]
    records: RecordArgs,
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
    /// The records with their scores in INFO: *.vcf, *.vcf.gz or *.bcf, with an index beside it; - for standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The format of -o: v for VCF, z for VCF in bgzip, b or u for BCF, compressed all the same [default: as the name ends;
    /// v for standard output]
    #[arg(short = 'O', long, value_name = "v|z|b|u", value_parser = output_type(), requires = "output")]
    output_type: Option<VariantFormat>,
    /// One row an allele: a file named *.parquet (or *.pq), or else a folder of parts
    #[arg(long, value_name = "PATH", value_parser = table())]
    parquet: Option<PathBuf>,
    /// One row an allele, as text with tabs; *.gz is bgzip; - for standard output
    #[arg(long, value_name = "FILE", value_parser = tsv())]
    tsv: Option<PathBuf>,
    /// What the keys of the INFO fields begin with, so that a file can hold the scores of several models
    #[arg(long, value_name = "PREFIX", default_value = "LS")]
    prefix: Prefix,
    #[command(flatten)]
    existing: ExistingArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Records")]
struct RecordArgs {
    /// Only records that overlap a region, 1-based and closed, as 20:1,000-2,000; 20:1000 is from there to the contig's end,
    /// as for samtools. Needs an index [repeatable, or several with commas]
    #[arg(short, long, visible_alias = "region", value_name = "REGION")]
    regions: Vec<String>,
    /// What becomes of a record whose REF is not the reference's: error, skip (no score, and a reason) or ignore
    #[arg(long, value_name = "POLICY", default_value = "error")]
    ref_mismatch: RefMismatch,
    /// FASTA records named contig:start-end stand for that interval of the contig
    #[arg(long)]
    sliced_reference: bool,
    /// Only the i-th of n parts of equally many records
    #[arg(long, value_name = "I/N", default_value = "1/1", allow_negative_numbers = true)]
    shard: Shard,
}

/// Scores, or says what would be scored.
///
/// # Errors
///
/// - Options that do not go together, with the input or with the model.
/// - The model, the variants or the genome cannot be read; a REF is not the reference's.
/// - An output exists or cannot be written.
/// - Ctrl-C.
pub fn run(options: Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let checkpoint = options.model.load()?;
    let job = options.job(general)?;
    let outputs = job.outputs.clone();
    let chosen = options.model.processor(&checkpoint)?;
    let plan = Plan::new(job, &checkpoint, chosen.processor.clone()).map_err(|error| scoring::told(error, false))?;
    options.scores.check(plan.options())?;
    if options.dry_run {
        return write_stdout(options.describe(&plan, general, &checkpoint.name, &chosen.shown)?.as_bytes());
    }
    standard_output::check(
        [&options.outputs.output, &options.outputs.tsv].into_iter().flatten().map(PathBuf::as_path),
    )?;
    let interrupt = Interrupt::listen(general.quiet)?;
    interrupt.before_exit({
        let outputs = outputs.clone();
        move || outputs.remove_temporaries()
    });
    let progress = Progress::counting("records", general.quiet);
    chosen.tell(general);
    let started = Instant::now();
    let result = plan.run(&Shown { progress: &progress, interrupt: &interrupt });
    progress.finish();
    let outcome = result.map_err(|error| scoring::told(error, outputs.is_resumable()))?;
    if !general.quiet {
        match &outcome.counts {
            Some(counts) => say(&summary(counts, started.elapsed().as_secs_f64())),
            None => say("the output is complete already"),
        }
    }
    Ok(())
}

/// What a run is going to take, at a rate in tokens a second or the one that is measured.
pub(super) fn estimate(options: &Options, general: &GeneralOptions, rate: Option<f64>) -> anyhow::Result<plan::Run> {
    let began = Instant::now();
    let checkpoint = options.model.load()?;
    let chosen = options.model.processor(&checkpoint)?;
    // Outputs of an earlier run do not matter, nor does the memory of a machine that only plans.
    let job = Job { existing: Existing::Replace, available_memory: None, ..options.job(general)? };
    let told = |error| scoring::told(error, false);
    let plan = Plan::new(job, &checkpoint, chosen.processor.clone()).map_err(told)?;
    options.scores.check(plan.options())?;
    Ok(plan::Run {
        command: "score",
        device: chosen.shown,
        threads: general.threads(),
        shard: Some(options.records.shard),
        opening: began.elapsed().as_secs_f64(),
        estimate: plan.estimate(rate, &Unwatched).map_err(told)?,
        is_told: false,
    })
}

impl Options {
    fn job(&self, general: &GeneralOptions) -> anyhow::Result<Job> {
        let outputs = &self.outputs;
        Ok(Job {
            variants: self.input.clone(),
            regions: regions(&self.records.regions),
            reference: self.reference.clone(),
            genome: GenomeOptions { sliced_reference: self.records.sliced_reference },
            options: ScoreOptions { ref_mismatch: self.records.ref_mismatch, ..self.scores.options() },
            shard: self.records.shard,
            outputs: Outputs {
                variants: outputs.variants()?,
                parquet: outputs.parquet.as_ref().map(Destination::from_path),
                tsv: outputs.tsv.clone(),
            },
            existing: outputs.existing.existing(),
            threads: general.threads(),
            available_memory: Memory::detect().map(|memory| memory.available),
            prefix: outputs.prefix.clone(),
            command: scoring::command_line(),
        })
    }

    fn describe(&self, plan: &Plan, general: &GeneralOptions, model: &str, device: &str) -> Result<String, Usage> {
        let shown = |path: &PathBuf| path.display().to_string();
        let outputs = [&self.outputs.output, &self.outputs.parquet, &self.outputs.tsv];
        let mut rows =
            vec![("variants", shown(&self.input)), ("reference", shown(&self.reference)), ("model", model.to_owned())];
        if !self.records.regions.is_empty() {
            rows.insert(1, ("regions", regions(&self.records.regions).join(" ")));
        }
        rows.extend(ScoreArgs::describe(plan.options(), &plan.columns()));
        rows.push(("shard", self.records.shard.to_string()));
        rows.push(("device", device.to_owned()));
        rows.push(("threads", general.threads().to_string()));
        if let Some((_, format)) = self.outputs.variants()? {
            rows.push(("format", format_name(format).into()));
        }
        rows.push(("outputs", outputs.into_iter().flatten().map(shown).collect::<Vec<_>>().join(", ")));
        Ok(scoring::table(&rows))
    }
}

impl OutputArgs {
    /// Where the records go and in which format, if they go anywhere.
    fn variants(&self) -> Result<Option<(VariantOutput, VariantFormat)>, Usage> {
        let Some(path) = &self.output else { return Ok(None) };
        let output = VariantOutput::from_path(path);
        let by_name = match output {
            VariantOutput::Stdout => Some(VariantFormat::Vcf),
            VariantOutput::File(_) => VariantFormat::from_path(path),
        };
        let format = self.output_type.or(by_name).ok_or_else(|| {
            Usage(format!(
                "-o: expected a name that ends in .vcf, .vcf.gz, .vcf.bgz or .bcf, or -O, found {}",
                path.display()
            ))
        })?;
        Ok(Some((output, format)))
    }
}

/// The formats of `-O`, as bcftools names them. BCF without compression is compressed too.
fn output_type() -> impl TypedValueParser<Value = VariantFormat> {
    PossibleValuesParser::new(["v", "z", "b", "u"]).map(|name| match name.as_str() {
        "v" => VariantFormat::Vcf,
        "z" => VariantFormat::VcfGz,
        _ => VariantFormat::Bcf,
    })
}

/// A format, for a user.
fn format_name(format: VariantFormat) -> &'static str {
    match format {
        VariantFormat::Vcf => "VCF",
        VariantFormat::VcfGz => "VCF in bgzip",
        VariantFormat::Bcf => "BCF",
    }
}

/// What a run has done, and for each score the reasons for which alleles lack it.
fn summary(counts: &Counts, seconds: f64) -> String {
    let scores: String = counts.scores.iter().map(|of_score| format!("; {}", score_summary(of_score))).collect();
    format!("{} records, {} alleles{scores}; {seconds:.1} s", counts.records, counts.alleles)
}

fn score_summary(counts: &ScoreCounts) -> String {
    let missing: String = counts.reasons.iter().map(|(reason, n)| format!(", {n} without ({reason})")).collect();
    format!("{}: {} scored{missing}", counts.score, counts.scored)
}
