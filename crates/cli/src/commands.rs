//! The commands, one file each.

pub mod completions;
pub mod doctor;
pub mod embed;
pub mod evaluate;
pub mod finetune;
pub mod generate;
pub mod inspect;
pub mod join;
#[cfg(feature = "cuda")]
pub mod kernels;
pub mod man;
pub mod mutagenesis;
pub mod plan;
pub mod pretrain;
pub mod score;
mod scoring;
pub mod track;
pub mod version;

use crate::args::GeneralOptions;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Embed a genome's windows or a file's reads, into Parquet
    Embed(Box<embed::Options>),
    /// Score variants: VCF or BCF in, the same records with scores out, and Parquet
    Score(Box<score::Options>),
    /// Score every substitution of a region, into Parquet and a heat map
    Mutagenesis(Box<mutagenesis::Options>),
    /// Write how surprising each base is to a model, and how sure the model is, as bedGraph or bigWig
    Track(Box<track::Options>),
    /// Put the outputs of --shard runs together: what one run would have written
    Join(join::Options),
    /// Train a model on your own genomes
    Pretrain(Box<pretrain::Options>),
    /// Measure how well a model predicts the bases of a genome
    Evaluate(Box<evaluate::Options>),
    /// Train a head for labelled sequences on top of a model: classes or values
    Finetune(Box<finetune::Options>),
    /// Draw DNA from a causal model, base by base
    Generate(Box<generate::Options>),
    /// Say what a command is going to take: memory, disk, time, shards
    Plan(plan::Options),
    /// Say what a checkpoint is: family, sizes, vocabulary, digest
    Inspect(inspect::Options),
    /// Say what this machine offers: vector instructions, threads, memory, CUDA
    Doctor(doctor::Options),
    /// Look after the GPU kernels of this program
    #[cfg(feature = "cuda")]
    Kernels(kernels::Options),
    /// Print a completion script for a shell
    Completions(completions::Options),
    /// Print the manual page, or write one for each command
    Man(man::Options),
    /// Say what this program is: version, commit, target, features, built-in model
    Version(version::Options),
}

/// Runs a command.
///
/// # Errors
///
/// Those of the command.
pub fn run(command: Command, general: &GeneralOptions) -> anyhow::Result<()> {
    match command {
        Command::Embed(options) => embed::run(*options, general),
        Command::Score(options) => score::run(*options, general),
        Command::Mutagenesis(options) => mutagenesis::run(*options, general),
        Command::Track(options) => track::run(*options, general),
        Command::Join(options) => join::run(&options, general),
        Command::Pretrain(options) => pretrain::run(*options, general),
        Command::Evaluate(options) => evaluate::run(*options, general),
        Command::Finetune(options) => finetune::run(*options, general),
        Command::Generate(options) => generate::run(*options, general),
        Command::Plan(options) => plan::run(&options, general),
        Command::Inspect(options) => inspect::run(&options),
        Command::Doctor(options) => doctor::run(&options, general),
        #[cfg(feature = "cuda")]
        Command::Kernels(options) => kernels::run(options),
        Command::Completions(options) => completions::run(&options),
        Command::Man(options) => man::run(&options),
        Command::Version(options) => version::run(&options),
    }
}
