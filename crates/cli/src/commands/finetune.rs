//! `longstrand finetune`: a head for labelled sequences on top of a model, and predictions with it.

use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Instant;

use longstrand_model::checkpoint::Checkpoint;
use longstrand_pretrain::finetune::{
    Application, ClassWeights, FineTuneError, FineTuned, FineTuning, Input, Method, Optimization, Strands, TaskKind,
};
use longstrand_seq::GenomeOptions;

use crate::args::number::{above_zero, size};
use crate::args::{GeneralOptions, ModelArgs, load_model};
use crate::failure::{Usage, say, write_stdout};
use crate::interrupt::{Interrupt, Interrupted};
use crate::machine::memory::Memory;
use crate::machine::processor::Chosen;
use crate::progress::Progress;
use crate::shown::Shown;

mod outputs;
mod plan;
mod recipe;

use outputs::Outputs;

/// Bases of a sequence that are used when neither the options nor the model say how many.
const LONGEST: u64 = 8192;

/// Options of `longstrand finetune`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Train a head for labelled sequences on top of a model: classes or values

Tables are tab-separated text (plain, gzip, bgzip) with a header and the columns `label` and `sequence`; or, with --genome, \
`label`, `contig` (or `chrom`, `chr`), `start`, `end` and perhaps `strand`, 0-based and half-open as in BED. Other columns \
are ignored. The output folder is the tuned model (config.json, model.safetensors, finetune.json), with metrics.json and \
predictions.parquet. Measures are printed as a table.",
    after_help = "Examples:
  longstrand finetune --train train.tsv.gz --test test.tsv.gz --head-only -o tuned
  longstrand finetune --train train.tsv --valid valid.tsv --test test.tsv --epochs 5 --lr 1e-4 -o tuned
  longstrand finetune --train peaks.tsv --genome genome.fa --folds 5 --head-only -o folds
  longstrand finetune --train expression.tsv --task regression --device cuda --precision bf16 -o tuned
  longstrand finetune --train train.tsv --max-length 100000 -o tuned --dry-run
  longstrand finetune --apply tuned --test new.tsv -o predicted"
)]
pub struct Options {
    #[command(flatten)]
    tables: TableArgs,
    #[command(flatten)]
    training: TrainingArgs,
    /// The folder to write
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
    /// Read the tables, print what the run would do and take, and stop
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Tables")]
struct TableArgs {
    /// What is learned from
    #[arg(long, value_name = "FILE", required_unless_present = "apply", conflicts_with = "apply")]
    train: Option<PathBuf>,
    /// What decides the best epoch [default: a part of the training table]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["apply", "folds"])]
    valid: Option<PathBuf>,
    /// What only measures, or is predicted with --apply
    #[arg(long, value_name = "FILE", required_unless_present = "train", conflicts_with = "folds")]
    test: Option<PathBuf>,
    /// Split the training table into so many parts of like classes; each in turn is the test part, and no model is kept
    #[arg(long, value_name = "K", allow_negative_numbers = true, conflicts_with = "apply")]
    folds: Option<usize>,
    /// Only predict: apply a model that this command has tuned; labels may be missing
    #[arg(long, value_name = "MODEL", conflicts_with = "model")]
    apply: Option<PathBuf>,
    /// Read intervals from this genome (FASTA, 2bit) in place of the column `sequence`
    #[arg(long, value_name = "FILE")]
    genome: Option<PathBuf>,
    /// FASTA records named contig:start-end stand for that interval of the contig
    #[arg(long, requires = "genome")]
    sliced_reference: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Training")]
struct TrainingArgs {
    /// What labels are: classes, or numbers that are predicted with squared error
    #[arg(long, value_name = "TASK", default_value = "classification", value_parser = ["classification", "regression"], conflicts_with = "apply")]
    task: String,
    /// Leave the model as it is: hidden states are computed once, and the head alone is fitted to them
    #[arg(long, conflicts_with = "apply")]
    head_only: bool,
    /// Which strands are used of a model that is not reverse-complement equivariant: both, or the sequence as it is given
    #[arg(long, value_name = "STRANDS", default_value = "both", value_parser = ["both", "forward"], conflicts_with = "apply")]
    strands: String,
    /// Of longer sequences, so many bases around the centre are used [default: the window that the model was trained at, or 8192]
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true, conflicts_with = "apply")]
    max_length: Option<NonZeroU64>,
    /// The fraction of the training table that is held out to decide the best epoch when there is no --valid; 0 keeps the last
    /// epoch
    #[arg(
        long,
        value_name = "FRACTION",
        default_value = "0.1",
        allow_negative_numbers = true,
        conflicts_with = "apply"
    )]
    valid_fraction: f64,
    /// How much a sequence of each class counts: all alike, or rarer classes more
    #[arg(long, value_name = "WEIGHTS", default_value = "equal", value_parser = ["equal", "balanced"], conflicts_with = "apply")]
    class_weights: String,
    /// Times that each sequence is seen [default: 3; with --head-only 40]
    #[arg(long, value_name = "N", value_parser = above_zero::<NonZeroU64>, allow_negative_numbers = true, conflicts_with = "apply")]
    epochs: Option<NonZeroU64>,
    /// Sequences of a step [default: 32; with --head-only 64]
    #[arg(long, value_name = "N", value_parser = above_zero::<NonZeroUsize>, allow_negative_numbers = true, conflicts_with = "apply")]
    batch: Option<NonZeroUsize>,
    /// The highest learning rate [default: 2e-4; with --head-only 1e-2]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, conflicts_with = "apply")]
    lr: Option<f64>,
    /// Decay of matrices (AdamW)
    #[arg(long, value_name = "DECAY", default_value = "0.01", allow_negative_numbers = true, conflicts_with = "apply")]
    weight_decay: f64,
    /// The fraction of steps in which the learning rate rises; then it falls as half a cosine
    #[arg(
        long,
        value_name = "FRACTION",
        default_value = "0.1",
        allow_negative_numbers = true,
        conflicts_with = "apply"
    )]
    warmup: f64,
    /// What the order of sequences, their strands and parts depend on
    #[arg(long, value_name = "SEED", default_value = "0", allow_negative_numbers = true, conflicts_with = "apply")]
    seed: u64,
}

/// Tunes or applies, and prints measures.
///
/// # Errors
///
/// - Options that make no sense, or not with the model.
/// - The device cannot be used, or fails.
/// - The model, a table or the genome cannot be read.
/// - The output exists or cannot be written.
/// - It would take more memory than there is.
/// - Ctrl-C.
pub fn run(options: Options, general: &GeneralOptions) -> anyhow::Result<()> {
    if options.dry_run {
        return describe(&options, general);
    }
    match &options.tables.apply {
        Some(model) => apply(&options, model, general),
        None => tune(&options, general),
    }
}

fn tune(options: &Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let checkpoint = options.model.load()?;
    let chosen = options.processor(&checkpoint)?;
    let outputs = options.outputs()?;
    let job = options.job(&checkpoint, general);
    chosen.tell(general);
    let started = Instant::now();
    let tuned = watched(general, &outputs, |shown| job.run(&checkpoint, &chosen.processor, shown))?;
    outputs.write_tuned(&tuned, &job, &checkpoint, &chosen.processor)?;
    if !general.quiet {
        say(&summary(&tuned, started.elapsed().as_secs_f64()));
    }
    write_stdout(outputs::measures_frame(&tuned.parts).to_tsv().as_bytes())
}

/// Prints what would be done.
fn describe(options: &Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let checkpoint = options.model.load()?;
    let chosen = options.processor(&checkpoint)?;
    let job = options.job(&checkpoint, general);
    let interrupt = Interrupt::listen(general.quiet)?;
    let progress = Progress::counting("sequences", general.quiet);
    let plan = job.plan(&checkpoint, &chosen.processor, &Shown { progress: &progress, interrupt: &interrupt });
    progress.finish();
    let plan = plan.map_err(told)?;
    write_stdout(plan::table(&plan, &chosen.shown).as_bytes())?;
    Ok(plan.check()?)
}

fn apply(options: &Options, model: &Path, general: &GeneralOptions) -> anyhow::Result<()> {
    let (checkpoint, recipe) = (load_model(Some(model))?, recipe::read(model)?);
    let chosen = options.model.processor(&checkpoint)?;
    let outputs = options.outputs()?;
    let job = Application {
        table: options.tables.test.clone().expect("clap asks for it where there is no --train"),
        genome: options.tables.genome.clone(),
        genome_options: options.genome_options(),
        recipe,
        threads: general.threads(),
    };
    chosen.tell(general);
    let measured = watched(general, &outputs, |shown| job.run(&checkpoint, &chosen.processor, shown))?;
    outputs.write_applied(&measured, &job.recipe, &checkpoint, &chosen.processor)?;
    write_stdout(outputs::measures_frame(&[measured]).to_tsv().as_bytes())
}

/// Runs a job with progress on stderr, until Ctrl-C.
fn watched<T>(
    general: &GeneralOptions,
    outputs: &Outputs,
    job: impl FnOnce(&Shown<'_>) -> Result<T, FineTuneError>,
) -> anyhow::Result<T> {
    let interrupt = Interrupt::listen(general.quiet)?;
    if let Some(folder) = outputs.unfinished() {
        interrupt.before_exit(move || _ = fs::remove_dir_all(&folder));
    }
    let progress = Progress::counting("sequences", general.quiet);
    let result = job(&Shown { progress: &progress, interrupt: &interrupt });
    progress.finish();
    result.map_err(told)
}

fn told(error: FineTuneError) -> anyhow::Error {
    match error {
        FineTuneError::Cancelled => Interrupted::default().into(),
        FineTuneError::Usage(message) => Usage(message).into(),
        error => error.into(),
    }
}

impl Options {
    /// Whether a model is to be written.
    fn has_model(&self) -> bool {
        self.tables.apply.is_none() && self.tables.folds.is_none()
    }

    /// The place of the output, looked at before anything is computed.
    fn outputs(&self) -> anyhow::Result<Outputs> {
        Outputs::new(&self.output, self.force, self.has_model())
    }

    /// What the model is tuned on.
    fn processor(&self, checkpoint: &Checkpoint) -> anyhow::Result<Chosen> {
        match self.training.head_only {
            true => self.model.processor(checkpoint),
            false => self.model.training_processor(checkpoint),
        }
    }

    fn genome_options(&self) -> GenomeOptions {
        GenomeOptions { sliced_reference: self.tables.sliced_reference }
    }

    fn job(&self, checkpoint: &Checkpoint, general: &GeneralOptions) -> FineTuning {
        let (tables, training) = (&self.tables, &self.training);
        let train = tables.train.clone().expect("clap asks for it where there is no --apply");
        let longest = training.max_length.map_or(checkpoint.config.trained_context.unwrap_or(LONGEST), NonZeroU64::get);
        let is = |choice: &str, name: &str| choice == name;
        FineTuning {
            input: match tables.folds {
                Some(folds) => Input::Folds { table: train, folds },
                None => Input::Files { train, valid: tables.valid.clone(), test: tables.test.clone() },
            },
            genome: tables.genome.clone(),
            genome_options: self.genome_options(),
            kind: if is(&training.task, "regression") { TaskKind::Regression } else { TaskKind::Classification },
            method: if training.head_only { Method::HeadOnly } else { Method::Full },
            strands: if is(&training.strands, "forward") { Strands::Forward } else { Strands::Both },
            longest: usize::try_from(longest).unwrap_or(usize::MAX),
            valid_fraction: training.valid_fraction,
            class_weights: if is(&training.class_weights, "balanced") {
                ClassWeights::Balanced
            } else {
                ClassWeights::Equal
            },
            head: if training.head_only { training.optimization(Optimization::HEAD) } else { Optimization::HEAD },
            full: if training.head_only { Optimization::FULL } else { training.optimization(Optimization::FULL) },
            seed: training.seed,
            threads: general.threads(),
            available_memory: Memory::detect().map(|memory| memory.available),
        }
    }
}

impl TrainingArgs {
    /// What was asked for, and else what suits.
    fn optimization(&self, suits: Optimization) -> Optimization {
        Optimization {
            epochs: self.epochs.map_or(suits.epochs, NonZeroU64::get),
            batch: self.batch.map_or(suits.batch, NonZeroUsize::get),
            rate: self.lr.unwrap_or(suits.rate),
            weight_decay: self.weight_decay,
            warmup: self.warmup,
            clip: suits.clip,
        }
    }
}

fn summary(tuned: &FineTuned, seconds: f64) -> String {
    let predicted: usize = tuned.parts.iter().map(|part| part.predictions.len()).sum();
    let best = tuned.epochs.iter().filter_map(|epoch| epoch.valid_loss).fold(f64::INFINITY, f64::min);
    let best = if best.is_finite() { format!(", smallest validation loss {best:.4}") } else { String::new() };
    format!("{predicted} sequences predicted{best}, {seconds:.1} s")
}
