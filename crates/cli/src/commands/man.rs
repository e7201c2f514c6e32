//! `longstrand man`: manual pages.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

use crate::args::Cli;
use crate::failure::write_stdout;

/// Options of `longstrand man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand man | man -l -
  longstrand man --out ~/.local/share/man/man1")]
pub struct Options {
    /// Write one page for each command into this folder, which is created if it is missing
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Prints or writes the pages.
///
/// # Errors
///
/// When stdout or the folder cannot be written to.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let Some(folder) = &options.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return write_stdout(&page);
    };
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("cannot write manual pages into {}", folder.display()))
}
