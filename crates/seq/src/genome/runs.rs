//! Runs of bases that differ from what two bits can say.

use std::ops::Range;

/// Runs of a sequence, ascending and apart.
#[derive(Clone, Debug)]
pub(super) struct Runs<T>(Vec<Run<T>>);

/// An interval (0-based, half-open) and what holds in it.
#[derive(Clone, Debug)]
pub(super) struct Run<T> {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) value: T,
}

impl<T: Copy + PartialEq> Runs<T> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes runs; `None` unless they are ascending, apart and not beyond `length`.
    pub(super) fn from_sorted(runs: Vec<Run<T>>, length: u64) -> Option<Self> {
        let is_sound = |run: &Run<T>| run.start <= run.end && run.end <= length;
        let is_ascending = runs.windows(2).all(|pair| pair[0].end <= pair[1].start);
        (is_ascending && runs.iter().all(is_sound)).then_some(Self(runs))
    }

    /// Adds one base behind all others.
    pub(super) fn push(&mut self, position: u64, value: T) {
        match self.0.last_mut() {
            Some(last) if last.end == position && last.value == value => last.end += 1,
            _ => self.0.push(Run { start: position, end: position + 1, value }),
        }
    }

    /// Calls `paint` with the part of `bases`, which are those of `range`, that each run covers.
    pub(super) fn paint(&self, range: &Range<u64>, bases: &mut [u8], mut paint: impl FnMut(&mut [u8], T)) {
        let first = self.0.partition_point(|run| run.end <= range.start);
        for run in self.0[first..].iter().take_while(|run| run.start < range.end) {
            let start = run.start.max(range.start) - range.start;
            let end = run.end.min(range.end) - range.start;
            paint(&mut bases[start as usize..end as usize], run.value);
        }
    }
}
