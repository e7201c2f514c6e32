//! `longstrand evaluate`: how well a model predicts bases.

use std::num::NonZeroU64;
use std::path::PathBuf;

use longstrand_model::Watch;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_pretrain::baseline::{BaselineError, CountedOn, Markov, Neighbours};
use longstrand_pretrain::evaluate::{Curve, EvaluateError, Evaluation, Input, Measured, Tally, Total, WindowsOf};
use longstrand_pretrain::objective::{Masking, RandomIds};
use longstrand_seq::GenomeOptions;
use longstrand_table::{Destination, Existing, Frame, Values, write_text};
use serde_json::{Value, json};

use crate::args::number::{above_zero, size};
use crate::args::{GeneralOptions, ModelArgs};
use crate::failure::{Usage, write_stdout};
use crate::interrupt::{Interrupt, Interrupted};
use crate::progress::Progress;
use crate::shown::Shown;

/// Options of `longstrand evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand evaluate genome.fa.gz --region chr21:16,000,001-20,000,000
  longstrand evaluate genome.2bit --bed held_out.bed --length 1024,8192,131072 --model mamba/ --curve
  longstrand evaluate genome.fa --select 0.15,0.5 --json measures.json --parquet measures.parquet
  longstrand evaluate genome.fa --region chr21 --markov 5,11,4+4 --markov-train genome.fa --markov-region chr20
  longstrand evaluate --tokens validation.safetensors")]
pub struct Options {
    /// FASTA (plain, gzip, bgzip) or 2bit
    #[arg(required_unless_present = "tokens")]
    pub input: Option<PathBuf>,
    /// Token ids and targets instead of a genome: input_ids and labels, [windows, positions], in safetensors
    #[arg(long, value_name = "FILE", conflicts_with_all = ["input", "regions", "bed", "length", "select", "seed"])]
    tokens: Option<PathBuf>,
    #[command(flatten)]
    windows: WindowArgs,
    #[command(flatten)]
    hidden: HiddenArgs,
    #[command(flatten)]
    markov: MarkovArgs,
    #[command(flatten)]
    outputs: OutputArgs,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Windows")]
struct WindowArgs {
    /// Only a region, 1-based and closed, tiled with windows [repeatable; default: everything]
    #[arg(
        short,
        long = "region",
        visible_alias = "regions",
        id = "regions",
        value_name = "REGION",
        conflicts_with = "bed"
    )]
    regions: Vec<String>,
    /// Only the intervals of a BED file: one window of each length around each one's centre [repeatable]
    #[arg(long, value_name = "FILE")]
    bed: Vec<PathBuf>,
    /// Bases of a window, or several with commas; what is shorter is left out
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1024", value_parser = size, allow_negative_numbers = true)]
    length: Vec<NonZeroU64>,
    /// Leave out windows of which more than this fraction is not A, C, G or T
    #[arg(long, value_name = "FRACTION", default_value = "0.1", allow_negative_numbers = true)]
    max_n: f64,
    /// The most windows of each length; the first ones are taken
    #[arg(long, value_name = "N", value_parser = above_zero::<NonZeroU64>, allow_negative_numbers = true)]
    limit: Option<NonZeroU64>,
    /// FASTA records named contig:start-end stand for that interval of the contig
    #[arg(long)]
    sliced_reference: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Hidden bases (masked language models)")]
struct HiddenArgs {
    /// The fraction of bases that is to be predicted, or several with commas
    #[arg(long, value_name = "FRACTION", value_delimiter = ',', default_value = "0.15", allow_negative_numbers = true)]
    select: Vec<f64>,
    /// Of these, the fraction that becomes [MASK]
    #[arg(long, value_name = "FRACTION", default_value = "0.8", allow_negative_numbers = true)]
    mask: f64,
    /// Of these, the fraction that becomes a random token; the rest stays
    #[arg(long, value_name = "FRACTION", default_value = "0.1", allow_negative_numbers = true)]
    random: f64,
    /// What random tokens are drawn from
    #[arg(long, value_name = "IDS", default_value = "vocabulary", value_parser = ["vocabulary", "bases"])]
    random_ids: String,
    /// What decides which bases are hidden
    #[arg(long, value_name = "SEED", default_value = "0", allow_negative_numbers = true)]
    seed: u64,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Markov models (what neighbouring bases alone say of the same targets)")]
struct MarkovArgs {
    /// Bases to the left (5), or on both sides (3+3), or several with commas
    #[arg(
        long = "markov",
        id = "markov",
        value_name = "K",
        value_delimiter = ',',
        requires = "markov_train",
        allow_negative_numbers = true
    )]
    neighbours: Vec<Neighbours>,
    /// FASTA or 2bit in which they are counted
    #[arg(long = "markov-train", id = "markov_train", value_name = "FILE", requires = "markov")]
    train: Option<PathBuf>,
    /// Count only a region, 1-based and closed [repeatable; default: everything]
    #[arg(long = "markov-region", id = "markov_region", value_name = "REGION", requires = "markov")]
    regions: Vec<String>,
    /// Count only the intervals of a BED file [repeatable]
    #[arg(long = "markov-bed", id = "markov_bed", value_name = "FILE", requires = "markov")]
    beds: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Outputs (beside the table on standard output)")]
struct OutputArgs {
    /// Everything as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The table as Parquet
    #[arg(long, value_name = "FILE")]
    parquet: Option<PathBuf>,
    /// Also the loss by the position in the window, in stretches that double in length
    #[arg(long)]
    curve: bool,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
}

/// Measures, and prints a table.
///
/// # Errors
///
/// - Options that do not go together or with the model.
/// - The model, the genome, a BED file or the tokens cannot be read; no window is left.
/// - An output exists or cannot be written.
/// - Ctrl-C.
pub fn run(options: Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let checkpoint = options.model.load()?;
    let job = options.job(general);
    options.outputs.check()?;
    let chosen = options.model.processor(&checkpoint)?;
    let interrupt = Interrupt::listen(general.quiet)?;
    let progress = Progress::new(None, general.quiet);
    chosen.tell(general);
    let shown = Shown { progress: &progress, interrupt: &interrupt };
    let result = match options.markov.count(options.windows.sliced_reference, &shown) {
        Ok(baselines) => job.run_beside(&baselines, &checkpoint, chosen.processor.clone(), &shown),
        Err(error) => Err(error.into()),
    };
    progress.finish();
    let measured = result.map_err(told)?;
    let frame = frame(&rows_of(&measured, options.outputs.curve));
    let existing = if options.outputs.force { Existing::Replace } else { Existing::Refuse };
    if let Some(path) = &options.outputs.json {
        write_text(path, &report(&measured, &checkpoint).to_string(), existing)?;
    }
    if let Some(path) = &options.outputs.parquet {
        let mut identity = vec![("longstrand.command".to_owned(), "evaluate".to_owned())];
        identity.extend(checkpoint.provenance(&chosen.processor));
        frame.write_parquet(&Destination::from_path(path), existing, identity)?;
    }
    write_stdout(aligned(&rows_of(&measured, options.outputs.curve)).as_bytes())
}

impl Options {
    fn job(&self, general: &GeneralOptions) -> Evaluation {
        let (windows, hidden) = (&self.windows, &self.hidden);
        let masking = |&select: &f64| Masking {
            select,
            mask: hidden.mask,
            random: hidden.random,
            random_ids: if hidden.random_ids == "bases" { RandomIds::Bases } else { RandomIds::Vocabulary },
        };
        let genome = |path: &PathBuf| {
            Input::Genome(WindowsOf {
                path: path.clone(),
                genome: GenomeOptions { sliced_reference: windows.sliced_reference },
                regions: windows.regions.clone(),
                beds: windows.bed.clone(),
                lengths: windows.length.clone(),
                max_ambiguous: windows.max_n,
                maskings: hidden.select.iter().map(masking).collect(),
                seed: hidden.seed,
            })
        };
        let tokens = self.tokens.as_ref().map(|path| Input::Tokens(path.clone()));
        Evaluation {
            input: tokens.or_else(|| self.input.as_ref().map(genome)).expect("clap asks for one of the two"),
            limit: windows.limit,
            threads: general.threads(),
        }
    }
}

impl MarkovArgs {
    fn count(&self, sliced_reference: bool, watch: &dyn Watch) -> Result<Vec<Markov>, BaselineError> {
        let Some(train) = &self.train else { return Ok(Vec::new()) };
        let on = CountedOn {
            path: train.clone(),
            genome: GenomeOptions { sliced_reference },
            regions: self.regions.clone(),
            beds: self.beds.clone(),
        };
        on.count(&self.neighbours, watch)
    }
}

impl OutputArgs {
    /// An output that exists is told before anything is computed.
    fn check(&self) -> Result<(), Usage> {
        let outputs = [&self.json, &self.parquet];
        match outputs.into_iter().flatten().find(|path| !self.force && path.exists()) {
            Some(path) => Err(Usage(format!("{} exists; --force replaces it", path.display()))),
            None => Ok(()),
        }
    }
}

fn told(error: EvaluateError) -> anyhow::Error {
    match error {
        EvaluateError::Cancelled => Interrupted::default().into(),
        EvaluateError::Usage(message) => Usage(message).into(),
        error => error.into(),
    }
}

/// A row for each length, fraction and class of targets; with `curve`, and stretch of positions.
fn rows_of(measured: &[Measured], curve: bool) -> Vec<Row> {
    measured.iter().flat_map(|measured| rows(measured, curve)).collect()
}

fn frame(rows: &[Row]) -> Frame {
    let integers =
        |value: fn(&Row) -> u64| Values::Integers(rows.iter().map(|row| i64::try_from(value(row)).ok()).collect());
    let numbers = |value: fn(&Row) -> Option<f64>| Values::Numbers(rows.iter().map(value).collect());
    let mut frame = Frame::default();
    frame.push("length", integers(|row| row.length));
    frame.push("selected", numbers(|row| row.selected));
    frame.push("windows", integers(|row| row.windows));
    frame.push("targets_of", Values::Texts(rows.iter().map(|row| Some(row.targets_of.clone())).collect()));
    frame.push("targets", integers(|row| row.total.targets));
    frame.push("loss", numbers(|row| Some(row.total.mean_loss())));
    frame.push("perplexity", numbers(|row| Some(row.total.perplexity())));
    frame.push("accuracy", numbers(|row| Some(row.total.accuracy())));
    for (place, name) in markov_columns(rows).into_iter().enumerate() {
        let losses = rows.iter().map(|row| Some(row.markov[place].1.mean_loss())).collect();
        frame.push(&name, Values::Numbers(losses));
    }
    frame
}

/// The table for people: losses in nats to five decimals.
fn aligned(rows: &[Row]) -> String {
    let selected = |row: &Row| row.selected.map_or_else(|| "-".into(), |selected| selected.to_string());
    let line = |row: &Row| {
        format!(
            "{:>8} {:>8} {:>8} {:<24} {:>11} {:>9.5} {:>10.5} {:>8.5}{}\n",
            row.length,
            selected(row),
            row.windows,
            row.targets_of,
            row.total.targets,
            row.total.mean_loss(),
            row.total.perplexity(),
            row.total.accuracy(),
            row.markov.iter().map(|(_, total)| format!(" {:>15.5}", total.mean_loss())).collect::<String>()
        )
    };
    let header = format!(
        "{:>8} {:>8} {:>8} {:<24} {:>11} {:>9} {:>10} {:>8}{}\n",
        "length",
        "selected",
        "windows",
        "targets_of",
        "targets",
        "loss",
        "perplexity",
        "accuracy",
        markov_columns(rows).iter().map(|name| format!(" {name:>15}")).collect::<String>()
    );
    header + &rows.iter().map(line).collect::<String>()
}

/// The names of the losses of Markov models.
fn markov_columns(rows: &[Row]) -> Vec<String> {
    let of_row = rows.first().into_iter().flat_map(|row| &row.markov);
    of_row.map(|(neighbours, _)| format!("loss_markov_{neighbours}")).collect()
}

struct Row {
    length: u64,
    selected: Option<f64>,
    windows: u64,
    targets_of: String,
    total: Total,
    /// What Markov models make of the same targets.
    markov: Vec<(Neighbours, Total)>,
}

fn rows(measured: &Measured, curve: bool) -> Vec<Row> {
    let row = |targets_of: String, total, markov: &dyn Fn(&Tally) -> Total| Row {
        length: measured.length,
        selected: measured.selected,
        windows: measured.windows,
        targets_of,
        total,
        markov: measured.baselines.iter().map(|(neighbours, tally)| (*neighbours, markov(tally))).collect(),
    };
    let classes = measured.tally.totals();
    let classes = classes.map(|(class, total)| row(class.to_string(), *total, &|tally| *tally.total(class)));
    let stretches = measured.tally.curve().stretches().filter(|_| curve).map(|stretch| {
        let positions = stretch.positions;
        let total_of = |curve: &Curve| curve.stretches().find(|other| other.positions == positions);
        let markov = |tally: &Tally| total_of(tally.curve()).map_or_else(Total::default, |stretch| stretch.total);
        row(format!("positions_{}-{}", positions.start, positions.end), stretch.total, &markov)
    });
    classes.chain(stretches).collect()
}

/// Everything, for programs.
fn report(measured: &[Measured], checkpoint: &Checkpoint) -> Value {
    let total = |total: &Total| {
        json!({
            "targets": total.targets,
            "loss": total.mean_loss(),
            "perplexity": total.perplexity(),
            "accuracy": total.accuracy(),
        })
    };
    let of = |measured: &Measured| {
        let classes_of =
            |tally: &Tally| -> Value { tally.totals().map(|(class, of)| (class.to_string(), total(of))).collect() };
        let markov: Value =
            measured.baselines.iter().map(|(neighbours, tally)| (neighbours.to_string(), classes_of(tally))).collect();
        let curve: Vec<Value> = measured
            .tally
            .curve()
            .stretches()
            .map(|stretch| json!({ "start": stretch.positions.start, "end": stretch.positions.end, "of": total(&stretch.total) }))
            .collect();
        json!({
            "length": measured.length,
            "selected": measured.selected,
            "windows": measured.windows,
            "left_out": measured.left_out,
            "classes": classes_of(&measured.tally),
            "curve": curve,
            "markov": markov,
        })
    };
    json!({
        "model": { "name": checkpoint.name, "digest": checkpoint.digest },
        "measures": measured.iter().map(of).collect::<Vec<_>>(),
    })
}
