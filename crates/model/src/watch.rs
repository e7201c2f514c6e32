//! What a run tells while it goes on, and how it is stopped.

use std::ops::ControlFlow;

/// Follows a run. Methods are called from several threads.
pub trait Watch: Sync {
    /// Bytes of the input files whose digests have been taken, and bytes of all of them. Told before anything is computed.
    fn digested(&self, bytes: u64, total: u64) {
        let _ = (bytes, total);
    }

    /// Bases that need not be computed, as an earlier run has done them.
    fn skipped(&self, bases: u64) {
        let _ = bases;
    }

    /// Bases that have just been computed.
    fn advanced(&self, bases: u64) {
        let _ = bases;
    }

    /// How many of what the run counts are done, those being worked on in part, and how many there will be where that is known.
    fn counted(&self, done: u64, all: Option<u64>) {
        let _ = (done, all);
    }

    /// How the run does, such as its loss, in a few words that the next ones replace.
    fn stands(&self, words: &str) {
        let _ = words;
    }

    /// Something that is good to know.
    fn note(&self, message: &str) {
        let _ = message;
    }

    /// Something that may be wrong.
    fn warn(&self, message: &str) {
        let _ = message;
    }

    /// Whether the run is to stop. It is asked while inputs are read, between sequences and within long ones.
    fn is_cancelled(&self) -> bool {
        false
    }

    /// Breaks off where the run is to stop.
    fn flow(&self) -> ControlFlow<()> {
        if self.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// A watch that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}

/// Turns a model's units of work ([`Model::work`](crate::Model::work)) into bases for a watch.
pub struct Meter<'a> {
    watch: &'a dyn Watch,
    n_bases: u64,
    work: u64,
    done: u64,
    told: u64,
}

impl<'a> Meter<'a> {
    /// `work` stands for `n_bases` bases.
    pub fn new(watch: &'a dyn Watch, n_bases: u64, work: u64) -> Self {
        Self { watch, n_bases, work: work.max(1), done: 0, told: 0 }
    }

    /// Some of the work has been done. Breaks off where the run is to stop.
    pub fn advance(&mut self, work: u64) -> ControlFlow<()> {
        self.done += work;
        let bases = (u128::from(self.done) * u128::from(self.n_bases) / u128::from(self.work)) as u64;
        if bases > self.told {
            self.watch.advanced(bases - self.told);
            self.told = bases;
        }
        self.watch.flow()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Sum(AtomicU64);

    impl Watch for Sum {
        fn advanced(&self, bases: u64) {
            self.0.fetch_add(bases, Ordering::Relaxed);
        }

        fn is_cancelled(&self) -> bool {
            self.0.load(Ordering::Relaxed) >= 7
        }
    }

    #[test]
    fn all_work_is_all_bases_and_a_cancelled_watch_breaks_off() {
        let watch = Sum::default();
        let mut meter = Meter::new(&watch, 7, 3);
        assert!(meter.advance(1).is_continue());
        assert!(meter.advance(1).is_continue());
        assert_eq!(watch.0.load(Ordering::Relaxed), 4);
        assert!(meter.advance(1).is_break());
        assert_eq!(watch.0.load(Ordering::Relaxed), 7);
        assert!(Meter::new(&Unwatched, 0, 0).advance(0).is_continue());
    }
}
