//! What the commands that score have in common.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::path::Path;

use longstrand_variants::ScoreError;

use crate::failure::{Usage, closed_stdout};
use crate::interrupt::Interrupted;
use crate::machine::standard_output;

/// An error with the exit code that goes with it.
pub(super) fn told(error: ScoreError, resumable: bool) -> anyhow::Error {
    match error {
        ScoreError::Cancelled => Interrupted { resumable }.into(),
        ScoreError::Usage(message) => Usage(message).into(),
        // Outputs are files or the standard output, and no file is a pipe.
        error if is_broken_pipe(&error) => closed_stdout(),
        error => error.into(),
    }
}

/// Refuses to write to the standard output where there is none.
pub(super) fn check_stdout<'a>(outputs: impl IntoIterator<Item = &'a Path>) -> anyhow::Result<()> {
    if outputs.into_iter().any(|output| output == Path::new("-")) && standard_output::is_closed() {
        anyhow::bail!("expected an open standard output for -, found a closed one");
    }
    Ok(())
}

/// What a run would do, in a table.
pub(super) fn table(rows: &[(&str, String)]) -> String {
    rows.iter().map(|(name, value)| format!("{name:<10}{value}\n")).collect()
}

fn is_broken_pipe(error: &ScoreError) -> bool {
    let mut causes = successors(Some(error as &dyn Error), |&error| error.source());
    let is_broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    causes.any(|error| error.downcast_ref().is_some_and(is_broken))
}
