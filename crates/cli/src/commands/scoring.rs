//! What the commands that score have in common.

use std::error::Error;
use std::io;
use std::iter::successors;

use longstrand_variants::ScoreError;

use crate::failure::{Usage, closed_stdout};
use crate::interrupt::Interrupted;

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

fn is_broken_pipe(error: &ScoreError) -> bool {
    let mut causes = successors(Some(error as &dyn Error), |&error| error.source());
    let is_broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    causes.any(|error| error.downcast_ref().is_some_and(is_broken))
}
