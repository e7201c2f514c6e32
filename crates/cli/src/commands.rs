//! The commands, one file each.

pub mod completions;
pub mod doctor;
pub mod embed;
pub mod inspect;
pub mod man;

use crate::args::GeneralOptions;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Embed a genome's windows or a file's reads, into Parquet
    Embed(Box<embed::Options>),
    /// Say what a checkpoint is: family, sizes, vocabulary, digest
    Inspect(inspect::Options),
    /// Say what this machine offers: vector instructions, threads, memory, CUDA
    Doctor(doctor::Options),
    /// Print a completion script for a shell
    Completions(completions::Options),
    /// Print the manual page, or write one for each command
    Man(man::Options),
}

/// Runs a command.
///
/// # Errors
///
/// Those of the command.
pub fn run(command: Command, general: &GeneralOptions) -> anyhow::Result<()> {
    match command {
        Command::Embed(options) => embed::run(*options, general),
        Command::Inspect(options) => inspect::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Completions(options) => completions::run(&options),
        Command::Man(options) => man::run(&options),
    }
}
