//! What the commands that score have in common.

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
