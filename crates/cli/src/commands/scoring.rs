//! What the commands that score have in common.

use std::ffi::OsStr;

use longstrand_variants::ScoreError;

use crate::failure::{Usage, closed_stdout, is_broken_pipe};
use crate::interrupt::Interrupted;

/// An error with the exit code that goes with it.
pub(super) fn told(error: ScoreError, resumable: bool) -> anyhow::Error {
    match error {
        ScoreError::Cancelled => Interrupted { resumable, ..Interrupted::default() }.into(),
        ScoreError::Usage(message) => Usage(message).into(),
        // Outputs are files or the standard output, and no file is a pipe.
        error if is_broken_pipe(&error) => closed_stdout(),
        error => error.into(),
    }
}

/// What a run would do, in a table.
pub(super) fn table(rows: &[(&str, String)]) -> String {
    rows.iter().map(|(name, value)| format!("{name:<10}{value}\n")).collect()
}

/// The command line, with quotes where a shell needs them.
pub(super) fn command_line() -> String {
    let quoted = |argument: &OsStr| {
        let text = argument.to_string_lossy();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
        match !text.is_empty() && text.chars().all(is_plain) {
            true => text.into_owned(),
            false => format!("'{}'", text.replace('\'', "'\\''")),
        }
    };
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|argument| quoted(&argument)).collect();
    format!("longstrand {}", arguments.join(" "))
}
