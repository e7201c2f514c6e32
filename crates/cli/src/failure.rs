//! Errors as the user sees them: one line on stderr, and an exit code.

use std::error::Error;
use std::io::{self, Write};
use std::iter::successors;
use std::path::Path;
use std::process::ExitCode;

use crate::interrupt::{self, Interrupted};
use crate::machine::standard_output;

/// All is done.
const DONE: u8 = 0;
/// Something went wrong.
const ERROR: u8 = 1;
/// What clap exits with when the command line cannot be understood.
const USAGE: u8 = 2;
/// What a shell reports for a process that a closed pipe ended.
const CLOSED_PIPE: u8 = 141;

/// All exit codes of the program, which `docs/exit-codes.md` explains.
pub const EXIT_CODES: [u8; 5] = [DONE, ERROR, USAGE, interrupt::EXIT_CODE, CLOSED_PIPE];

/// Characters of a message that are shown.
const LONGEST: usize = 1000;

/// Prints the error with all its causes and returns the exit code that goes with it.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::from(CLOSED_PIPE);
    }
    if let Some(interrupted) = error.chain().find_map(|cause| cause.downcast_ref::<Interrupted>()) {
        if !interrupted.is_told {
            say(&interrupted.to_string());
        }
        return ExitCode::from(interrupt::EXIT_CODE);
    }
    say(&format!("error: {error:#}"));
    ExitCode::from(if error.is::<Usage>() { USAGE } else { ERROR })
}

/// Options that do not go together, with the input or with the model: found out after the command line was parsed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Prints what clap has to say: an error of usage, the help or the version.
pub fn report_usage(usage: &clap::Error) -> ExitCode {
    if !usage.use_stderr() {
        return match usage.print().and_then(|()| io::stdout().flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => report(&StdoutError(error).into()),
        };
    }
    let _ = match usage.render().to_string().strip_prefix("error: ") {
        Some(message) => write!(io::stderr(), "longstrand: error: {}", shown(message, &['\n'])),
        None => usage.print(),
    };
    ExitCode::from(USAGE)
}

/// Prints a line on stderr under the program's name. Unlike `eprintln!` it does not panic when nobody reads it.
pub fn say(message: &str) {
    let _ = writeln!(io::stderr(), "longstrand: {}", shown(message, &[]));
}

/// A message that no name out of a file can break into lines, blow up or steer a terminal with.
fn shown(message: &str, allowed: &[char]) -> String {
    let mut shown = String::new();
    for (i, character) in message.chars().enumerate() {
        if i == LONGEST {
            shown.push('…');
            break;
        }
        match character.is_control() && !allowed.contains(&character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

/// Writes text to stdout as a whole.
///
/// # Errors
///
/// When stdout cannot be written to, as when nobody reads it any more or there is none.
pub fn write_stdout(text: &[u8]) -> anyhow::Result<()> {
    standard_output::check([Path::new("-")])?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(text).and_then(|()| stdout.flush()).map_err(StdoutError)?;
    Ok(())
}

/// Whether something could not be written as nobody reads it any more.
pub fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let mut causes = successors(Some(error), |&error| error.source());
    let is_broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    causes.any(|error| error.downcast_ref().is_some_and(is_broken))
}

/// What a command ends with whose output nobody reads any more.
pub fn closed_stdout() -> anyhow::Error {
    StdoutError(io::ErrorKind::BrokenPipe.into()).into()
}

/// Stdout could not be written to.
#[derive(Debug)]
struct StdoutError(io::Error);

impl std::fmt::Display for StdoutError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot write to the standard output")
    }
}

impl std::error::Error for StdoutError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let stdout = error.chain().find_map(|cause| cause.downcast_ref::<StdoutError>());
    stdout.is_some_and(|StdoutError(cause)| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_short_line() {
        assert_eq!(shown("a\nb\u{1b}[31m\u{9b}é", &[]), "a\\nb\\u{1b}[31m\\u{9b}é");
        assert_eq!(shown("a\nb\r", &['\n']), "a\nb\\r");
        let long = "é".repeat(LONGEST);
        assert_eq!(shown(&long, &[]), long);
        assert_eq!(shown(&format!("{long}é"), &[]), format!("{long}…"));
    }

    #[test]
    fn only_a_closed_stdout_counts_as_a_closed_pipe() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_closed_pipe(&anyhow::Error::new(StdoutError(broken())).context("while printing")));
        assert!(!is_closed_pipe(&broken().into()));
        assert!(!is_closed_pipe(&StdoutError(io::ErrorKind::StorageFull.into()).into()));
    }
}
