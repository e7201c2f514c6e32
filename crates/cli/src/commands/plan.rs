//! `longstrand plan`: the memory, disk and time that a command is going to take, and into how many shards to cut it.

use std::num::{NonZeroU64, NonZeroUsize};

use longstrand_model::estimate::Estimate;
use longstrand_seq::window::Shard;

use crate::args::GeneralOptions;
use crate::args::number::above_zero;
use crate::commands::{embed, pretrain, score};
use crate::failure::write_stdout;
use crate::interrupt::Interrupt;

mod request;
mod shown;

use request::Request;

/// Options of `longstrand plan`.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    subcommand_value_name = "COMMAND",
    after_help = "Examples:
  longstrand plan embed genome.fa.gz -o out.parquet                       a table
  longstrand plan --json embed genome.fa -o parts/ --window 131072        for a pipeline
  longstrand plan --hours-per-shard 2 score calls.vcf.gz --reference genome.fa -o scored.vcf.gz
  longstrand plan --shards 8 embed genome.fa -o out.parquet               what each of eight shards takes
  longstrand plan pretrain --genome genome.fa.gz --preset caduceus-ph-1k -o run/

The line behind `plan` is that of the command. Nothing is written. Without --rate, a part of the work is done for a second or two, by the
same threads on the same device, to see how fast it goes: plan on a machine like the one that will compute."
)]
pub struct Options {
    #[command(flatten)]
    request: RequestArgs,
    #[command(subcommand)]
    command: Planned,
}

/// What the plan is for.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Plan")]
struct RequestArgs {
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Tokens (positions that go through the model) a second, so that nothing is computed
    #[arg(long, global = true, value_name = "TOKENS/S", value_parser = positive, allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Hours that a shard may take
    #[arg(long, global = true, value_name = "HOURS", default_value = "4", value_parser = positive, allow_negative_numbers = true)]
    hours_per_shard: f64,
    /// Shards, in the place of as many as --hours-per-shard asks for
    #[arg(long, global = true, value_name = "N", conflicts_with = "hours_per_shard", value_parser = above_zero::<NonZeroU64>, allow_negative_numbers = true)]
    shards: Option<NonZeroU64>,
    /// What to ask for beyond the memory that is foreseen, as a fraction of it
    #[arg(long, global = true, value_name = "FRACTION", default_value = "0.25", value_parser = margin, allow_negative_numbers = true)]
    memory_margin: f64,
    /// What to ask for beyond the time that is foreseen, as a fraction of it
    #[arg(long, global = true, value_name = "FRACTION", default_value = "1", value_parser = margin, allow_negative_numbers = true)]
    time_margin: f64,
}

/// The commands that can be planned, with their own options.
#[derive(Debug, clap::Subcommand)]
enum Planned {
    /// Plan a run of `longstrand embed`
    #[command(after_help = "Examples:
  longstrand plan embed genome.fa.gz -o out.parquet
  longstrand plan embed reads.bam -o out.parquet --json")]
    Embed(Box<embed::Options>),
    /// Plan a run of `longstrand score`
    #[command(after_help = "Examples:
  longstrand plan score calls.vcf.gz --reference genome.fa.gz -o scored.vcf.gz
  longstrand plan score calls.bcf --reference genome.2bit --parquet scores.parquet --context 8192 --hours-per-shard 2")]
    Score(Box<score::Options>),
    /// Plan a run of `longstrand pretrain`
    #[command(after_help = "Examples:
  longstrand plan pretrain --genome yeast.fa.gz --preset tiny -o run/
  longstrand plan pretrain --genome hg38.fa.gz --config run.toml -o run/ --json")]
    Pretrain(Box<pretrain::Options>),
}

/// A run that is planned.
pub(super) struct Run {
    /// What is going to be done.
    pub(super) command: &'static str,
    /// What computes.
    pub(super) device: String,
    /// Threads that compute.
    pub(super) threads: NonZeroUsize,
    /// The part of the whole that it is; none where it cannot be divided.
    pub(super) shard: Option<Shard>,
    /// Seconds until the model was ready and the inputs open.
    pub(super) opening: f64,
    /// What it is going to take.
    pub(super) estimate: Estimate,
    /// Whether another process of the same run tells the plan.
    pub(super) is_told: bool,
}

/// Says what a command is going to take.
///
/// # Errors
///
/// - Those of the command before it begins.
/// - An input is a pipe, or cannot be read.
///
/// Ctrl-C ends the process.
pub fn run(options: &Options, general: &GeneralOptions) -> anyhow::Result<()> {
    Interrupt::end_at_once()?;
    let rate = options.request.rate;
    let mut run = match &options.command {
        Planned::Embed(options) => embed::estimate(options, general, rate)?,
        Planned::Score(options) => score::estimate(options, general, rate)?,
        Planned::Pretrain(options) => pretrain::estimate(options, general, rate)?,
    };
    if run.is_told {
        return Ok(());
    }
    run.estimate.time.fixed += run.opening;
    let shards = request::shards(&run, &options.request)?;
    if shards.is_some_and(|shards| shards > 1) {
        run.estimate = run.estimate.in_shard();
    }
    let request = Request::of(&run, shards, &options.request);
    let text = match options.request.json {
        true => format!("{:#}\n", shown::json(&run, &request)),
        false => shown::table(&run, &request),
    };
    write_stdout(text.as_bytes())
}

fn positive(text: &str) -> Result<f64, &'static str> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or("expected a number above 0")
}

fn margin(text: &str) -> Result<f64, &'static str> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or("expected a fraction from 0 to 100, as 0.25")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_bounds() {
        assert!(positive("0.5").is_ok() && positive("1e4").is_ok());
        assert!(["0", "-1", "inf", "NaN", "many"].iter().all(|text| positive(text).is_err()));
        assert!(margin("0").is_ok() && margin("0.25").is_ok());
        assert!(["-0.1", "101", "NaN", ""].iter().all(|text| margin(text).is_err()));
    }
}
