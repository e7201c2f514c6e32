//! The command line, parsed once. Commands share one vocabulary of flags; each group is a type here.

pub mod device;
pub mod flags;
pub mod general;
pub mod model;
pub mod number;
pub mod output;
pub mod region;
pub mod score;

use clap::Parser;

pub use device::Device;
pub use general::GeneralOptions;
pub use model::{ModelArgs, load_model};
pub use output::{ExistingArgs, OutputOptions};

use crate::commands::Command;

/// DNA language models of the Mamba family, at any context length
#[derive(Debug, Parser)]
#[command(
    name = "longstrand",
    bin_name = "longstrand",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Examples:
  longstrand embed genome.fa.gz -o out.parquet           a genome, in windows of 1,024 bases
  longstrand embed reads.bam -o out.parquet              one row a read
  longstrand score calls.vcf.gz --reference genome.fa.gz -o scored.vcf.gz
  longstrand join part_*.parquet -o out.parquet          what the shards of a run wrote, together
  longstrand pretrain --genome genome.fa.gz --preset tiny -o run
  longstrand evaluate genome.fa.gz --region chr21        how well the built-in model predicts it
  longstrand plan embed genome.fa -o out.parquet         what memory, disk and time that is going to take
  longstrand inspect                                     what the built-in model is
  longstrand doctor                                      what this machine offers
  longstrand completions bash                            a completion script for bash
  longstrand man --out man1                              one manual page a command
  longstrand version --json                              what this program is, for a record"
)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub general: GeneralOptions,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_has_examples() {
        let cli = Cli::command();
        let nested = cli.get_subcommands().flat_map(clap::Command::get_subcommands);
        for command in cli.get_subcommands().chain(nested).chain([&cli]) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:\n  longstrand "), "{}", command.get_name());
        }
    }
}
