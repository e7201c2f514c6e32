//! The `longstrand` command line: the only crate that prints or exits.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is this crate's part")]

pub mod args;
pub mod commands;
pub mod failure;
pub mod interrupt;
pub mod machine;
pub mod progress;
pub mod shown;

use std::process::ExitCode;

use clap::Parser;

/// Runs the command line of this process and returns its exit code: 0 for success, 1 for an error, 2 for a command
/// line that cannot be understood, 130 after Ctrl-C, 141 when nobody reads the standard output any more.
pub fn main() -> ExitCode {
    match args::Cli::try_parse() {
        Ok(cli) => match run(cli) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure::report(&error),
        },
        Err(usage) => failure::report_usage(&usage),
    }
}

fn run(cli: args::Cli) -> anyhow::Result<()> {
    interrupt::survive_file_limit()?;
    commands::run(cli.command, &cli.general)
}
