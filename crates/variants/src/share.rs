//! How far a run is while a group of its records is scored.

use std::sync::atomic::{AtomicU64, Ordering};

use longstrand_model::Watch;

/// The part that a group of records has in a run. What is counted follows the work: each round of tasks (a score on a strand)
/// has an equal part of the group, and each task a part of its round by its bases.
pub(crate) struct Share<'a> {
    watch: &'a dyn Watch,
    /// What is counted before the group.
    before: u64,
    /// What is counted in the group.
    own: u64,
    /// What is counted in all, where that is known.
    all: Option<u64>,
    rounds: AtomicU64,
    rounds_done: AtomicU64,
}

impl<'a> Share<'a> {
    pub(crate) fn new(watch: &'a dyn Watch, before: u64, own: u64, all: Option<u64>) -> Self {
        Self { watch, before, own, all, rounds: AtomicU64::new(1), rounds_done: AtomicU64::new(0) }
    }

    pub(crate) fn watch(&self) -> &'a dyn Watch {
        self.watch
    }

    /// The group is about to be scored in so many rounds.
    pub(crate) fn begin(&self, rounds: usize) {
        self.rounds.store(rounds.max(1) as u64, Ordering::Relaxed);
        self.rounds_done.store(0, Ordering::Relaxed);
    }

    /// `done` of the `all` bases of a round are done.
    pub(crate) fn advance(&self, done: u64, all: u64) {
        let (rounds, rounds_done) = (self.rounds.load(Ordering::Relaxed), self.rounds_done.load(Ordering::Relaxed));
        let (done, all) = (u128::from(done.min(all)), u128::from(all.max(1)));
        let work = u128::from(rounds_done) * all + done;
        let counted = u128::from(self.own) * work / (u128::from(rounds) * all);
        self.watch.counted(self.before + counted as u64, self.all);
    }

    /// All of a round is done.
    pub(crate) fn end_round(&self) {
        self.rounds_done.fetch_add(1, Ordering::Relaxed);
        self.advance(0, 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Told(Mutex<Vec<(u64, Option<u64>)>>);

    impl Watch for Told {
        fn counted(&self, done: u64, all: Option<u64>) {
            self.0.lock().unwrap().push((done, all));
        }
    }

    #[test]
    fn a_group_is_counted_as_its_rounds_go_on() {
        let told = Told::default();
        let share = Share::new(&told, 100, 40, Some(200));
        share.begin(2);
        for (done, all) in [(0, 8), (2, 8), (8, 8)] {
            share.advance(done, all);
        }
        share.end_round();
        share.advance(5, 10);
        share.end_round();
        let counts: Vec<u64> = told.0.lock().unwrap().iter().map(|(done, _)| *done).collect();
        assert_eq!(counts, [100, 105, 120, 120, 130, 140]);
        assert!(told.0.lock().unwrap().iter().all(|(_, all)| *all == Some(200)));
    }
}
