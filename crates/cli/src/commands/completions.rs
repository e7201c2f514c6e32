//! `longstrand completions`: a completion script for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::write_stdout;

/// Options of `longstrand completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand completions bash > ~/.local/share/bash-completion/completions/longstrand
  longstrand completions zsh > ~/.zfunc/_longstrand
  longstrand completions fish > ~/.config/fish/completions/longstrand.fish")]
pub struct Options {
    /// The shell
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
///
/// When stdout cannot be written to.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "longstrand", &mut script);
    write_stdout(&script)
}
