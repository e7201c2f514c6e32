//! `longstrand generate`: DNA drawn from a causal model.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Instant;

use longstrand_pretrain::generate::{Choice, GenerateError, Generated, Generation};
use longstrand_table::{Existing, TextFile, remove_temporaries};
use longstrand_variants::same_file::is_one_of;

use crate::args::number::{above_zero, size};
use crate::args::{GeneralOptions, ModelArgs};
use crate::failure::{Usage, closed_stdout, is_broken_pipe, say};
use crate::interrupt::{Interrupt, Interrupted};
use crate::machine::standard_output;
use crate::progress::{Progress, format_bases};
use crate::shown::Shown;

/// Options of `longstrand generate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand generate --model mamba/ --length 10k -o drawn.fa
  longstrand generate --model mamba/ --prompt promoters.fa --samples 4 --temperature 0.8 --keep-prompt -o drawn.fa.gz
  longstrand generate --model mamba/ --samples 1000 --length 100k --device cuda --precision bf16 -o drawn.fa.gz
  longstrand generate --model mamba/ --length 1M --top-k 2 --seed 7 | longstrand track - --entropy entropy.bw")]
pub struct Options {
    /// FASTA whose records are prompts; - for standard input [default: no prompt; the first base is drawn evenly]
    #[arg(long, value_name = "FILE")]
    prompt: Option<PathBuf>,
    /// Where the samples go: FASTA, bgzip if named *.gz; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Samples of each prompt
    #[arg(short = 'n', long, value_name = "N", default_value = "1", value_parser = above_zero::<NonZeroU64>, allow_negative_numbers = true)]
    samples: NonZeroU64,
    /// Bases of a sample, its prompt not counted
    #[arg(long, value_name = "N", default_value = "1000", value_parser = size, allow_negative_numbers = true)]
    length: NonZeroU64,
    /// What logits are divided by: below 1 likely bases come more often, 0 takes the likeliest each time
    #[arg(long, value_name = "T", default_value = "1", allow_negative_numbers = true)]
    temperature: f64,
    /// Draw among the k likeliest of the four bases
    #[arg(long, value_name = "K", default_value = "4", allow_negative_numbers = true)]
    top_k: usize,
    /// What the draws depend on: the same seed gives the same bases
    #[arg(long, value_name = "SEED", default_value = "0", allow_negative_numbers = true)]
    seed: u64,
    /// Begin each sample with its prompt
    #[arg(long, requires = "prompt")]
    keep_prompt: bool,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// Draws the samples.
///
/// # Errors
///
/// - Options that make no sense, or not with the model.
/// - The device cannot be used, or fails.
/// - The model or the prompts cannot be read.
/// - The output exists or cannot be written.
/// - Ctrl-C.
pub fn run(options: Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let checkpoint = options.model.load()?;
    let chosen = options.model.processor(&checkpoint)?;
    let choice = Choice::new(options.temperature, options.top_k).map_err(|error| Usage(error.to_string()))?;
    standard_output::check([options.output.as_path()])?;
    if options.prompt.as_deref().is_some_and(|prompt| is_one_of(&options.output, [prompt])) {
        let output = options.output.display();
        return Err(Usage(format!("{output}: expected another file than that of the prompts")).into());
    }
    let job = Generation {
        prompts: options.prompt,
        samples: options.samples,
        length: options.length,
        choice,
        keep_prompt: options.keep_prompt,
        seed: options.seed,
        threads: general.threads(),
    };
    let interrupt = Interrupt::listen(general.quiet)?;
    let output = options.output;
    interrupt.before_exit({
        let output = output.clone();
        move || remove_temporaries(&output)
    });
    let mut file = open(&output, options.force)?;
    chosen.tell(general);
    let progress = Progress::new(None, general.quiet);
    let started = Instant::now();
    let watch = Shown { progress: &progress, interrupt: &interrupt };
    let result = job.run(&checkpoint, &chosen.processor, &mut file, &watch);
    progress.finish();
    let generated = result.map_err(told)?;
    file.finish()?;
    if !general.quiet {
        say(&summary(&generated, started.elapsed().as_secs_f64()));
    }
    Ok(())
}

fn open(output: &Path, force: bool) -> anyhow::Result<TextFile> {
    if output.as_os_str() == "-" {
        return Ok(TextFile::stdout());
    }
    let existing = if force { Existing::Replace } else { Existing::Refuse };
    Ok(TextFile::create(output, existing)?)
}

/// An error with the exit code that goes with it.
fn told(error: GenerateError) -> anyhow::Error {
    match error {
        GenerateError::Cancelled => Interrupted::default().into(),
        GenerateError::Usage(message) => Usage(message).into(),
        error if is_broken_pipe(&error) => closed_stdout(),
        error => error.into(),
    }
}

fn summary(generated: &Generated, seconds: f64) -> String {
    let rate = format_bases(generated.bases as f64 / seconds.max(1e-9));
    let bases = format_bases(generated.bases as f64);
    format!("{} samples, {bases}, {seconds:.1} s, {rate}/s", generated.samples)
}
