//! What the commands that score have in common.

use std::error::Error;
use std::io;
use std::iter::successors;

use longstrand_table::Existing;
use longstrand_variants::{Notice, ScoreError, Watch};

use crate::failure::{Usage, closed_stdout};
use crate::interrupt::{Interrupt, Interrupted};
use crate::progress::Progress;

/// A run on stderr.
pub(super) struct Shown<'a> {
    pub(super) progress: &'a Progress,
    pub(super) interrupt: &'a Interrupt,
    /// What the run counts.
    pub(super) unit: &'static str,
}

impl Watch for Shown<'_> {
    fn digested(&self, bytes: u64, total: u64) {
        self.progress.digest(bytes, total);
    }

    fn records(&self, done: u64, all: Option<u64>) {
        self.progress.count(done, all, self.unit);
    }

    fn advanced(&self, bases: u64) {
        self.progress.add(bases);
    }

    fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Input(_) => self.progress.note(notice.to_string()),
            _ => self.progress.warn(notice.to_string()),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.interrupt.check().is_err()
    }
}

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

/// What to do about outputs that exist.
pub(super) fn existing(resume: bool, force: bool) -> Existing {
    match (resume, force) {
        (true, _) => Existing::Resume,
        (false, true) => Existing::Replace,
        (false, false) => Existing::Refuse,
    }
}
