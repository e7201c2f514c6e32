//! A run on stderr.

use longstrand_model::Watch;

use crate::interrupt::Interrupt;
use crate::progress::Progress;

/// Shows how a run goes on and stops it after Ctrl-C.
pub struct Shown<'a> {
    /// Where it is shown.
    pub progress: &'a Progress,
    /// What stops it.
    pub interrupt: &'a Interrupt,
}

impl Watch for Shown<'_> {
    fn digested(&self, bytes: u64, total: u64) {
        self.progress.digest(bytes, total);
    }

    fn skipped(&self, bases: u64) {
        self.progress.skip(bases);
    }

    fn advanced(&self, bases: u64) {
        self.progress.add(bases);
    }

    fn counted(&self, done: u64, all: Option<u64>) {
        self.progress.count(done, all);
    }

    fn stands(&self, words: &str) {
        self.progress.stands(words);
    }

    fn note(&self, message: &str) {
        self.progress.note(message);
    }

    fn warn(&self, message: &str) {
        self.progress.warn(message);
    }

    fn is_cancelled(&self) -> bool {
        self.interrupt.check().is_err()
    }
}
