//! How the windows of a step are divided, over ranks and on each of them.

use std::{num::NonZeroUsize, ops::Range};

use longstrand_model::{Crew, Watch, train::TrainScratch};

use super::TrainError;
use crate::objective::Batch;

/// The most groups of a rank's windows.
const MOST_GROUPS: u32 = 32;

/// Windows that are worked on together: those of a step, or a rank's share of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Division {
    /// How many.
    pub windows: u32,
    /// Bases of a window.
    pub length: u64,
    /// Ranks that own each window together.
    pub context: usize,
}

impl Division {
    /// Windows that each are one rank's.
    pub fn new(windows: u32, length: u64) -> Self {
        Self { windows, length, context: 1 }
    }

    /// The longest stretch that a rank has of a window.
    pub fn longest_stretch(&self) -> u64 {
        self.length.div_ceil(self.context as u64)
    }

    /// Groups of windows that are added up on their own.
    pub fn n_groups(&self) -> u32 {
        self.windows.min(MOST_GROUPS)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = Range<u32>> {
        let (windows, n) = (self.windows, self.n_groups() as usize);
        (0..n).map(move |group| share(windows, group, n))
    }

    /// Windows that are under way at a time, each with a scratch.
    pub fn at_a_time(&self, threads: NonZeroUsize) -> usize {
        // Ranks that own windows together exchange what belongs to one after another.
        let is_long = self.context > 1 || self.length >= Crew::<TrainScratch<f32>>::LONG as u64;
        if is_long { 1 } else { threads.get().min(self.n_groups() as usize) }
    }

    /// Sets of gradients that are held at a time.
    pub fn gradient_sets(&self, threads: NonZeroUsize) -> usize {
        let groups = self.n_groups() as usize;
        if self.at_a_time(threads) == 1 { groups.min(2) } else { groups }
    }

    /// The most windows that one of so many ranks has.
    pub fn largest_share(&self, ranks: usize) -> Self {
        let windows = u64::from(self.windows).div_ceil((ranks / self.context) as u64) as u32;
        Self { windows, ..*self }
    }

    /// Bases of all windows.
    pub(super) fn bases(&self) -> u64 {
        u64::from(self.windows) * self.length
    }
}

/// A rank's windows of a step, and how they are come by.
pub(super) struct Windows<'a, R> {
    pub(super) read: &'a R,
    pub(super) watch: &'a dyn Watch,
    /// The whole step's windows.
    pub(super) step: Division,
    /// This rank's, and the first of them.
    pub(super) own: Division,
    pub(super) first: u32,
    /// This rank's stretch of each of them, 0-based and half-open.
    pub(super) stretch: Range<usize>,
}

impl<R> Windows<'_, R>
where
    R: Fn(u32) -> Result<Batch, TrainError> + Sync,
{
    /// One of the rank's windows.
    pub(super) fn read(&self, index: u32) -> Result<Batch, TrainError> {
        let batch = (self.read)(self.first + index)?;
        assert_eq!(batch.ids.len() as u64, self.own.length, "a window of the step's length");
        Ok(batch)
    }

    /// The bases that the first so many windows are told as: their own, and their part of those that other ranks work on
    /// meanwhile.
    pub(super) fn bases(&self, windows: u32) -> u64 {
        (u128::from(self.step.bases()) * u128::from(windows) / u128::from(self.own.windows)) as u64
    }
}

/// The windows that one of so many parts has; together they are all, in order.
pub(super) fn share(windows: u32, part: usize, parts: usize) -> Range<u32> {
    let border = |part: usize| (part as u64 * u64::from(windows) / parts as u64) as u32;
    border(part)..border(part + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_all_windows_in_order() {
        for windows in [1, 2, 7, 31, 32, 33, 1_024, 1_000_003] {
            let division = Division::new(windows, 8);
            let groups: Vec<_> = division.groups().collect();
            assert_eq!(groups.len() as u32, division.n_groups());
            assert!(groups.iter().all(|group| !group.is_empty()));
            assert_eq!((groups[0].start, groups[groups.len() - 1].end), (0, windows));
            assert!(groups.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn ranks_share_all_windows_in_order_and_none_has_more_than_is_planned() {
        for windows in [3, 7, 8, 1_000, u32::MAX] {
            for ranks in [1, 2, 3] {
                let shares: Vec<_> = (0..ranks).map(|rank| share(windows, rank, ranks)).collect();
                assert_eq!((shares[0].start, shares[ranks - 1].end), (0, windows));
                assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
                let largest = shares.iter().map(|share| share.end - share.start).max();
                assert_eq!(largest, Some(Division::new(windows, 8).largest_share(ranks).windows));
            }
        }
    }

    #[test]
    fn long_windows_go_one_by_one() {
        let threads = NonZeroUsize::new(4).unwrap();
        let held = |windows, length| {
            let division = Division::new(windows, length);
            (division.at_a_time(threads), division.gradient_sets(threads))
        };
        assert_eq!(held(100, 1_024), (4, 32));
        assert_eq!(held(3, 1_024), (3, 3));
        assert_eq!(held(1, 1_024), (1, 1));
        assert_eq!(held(8, 131_072), (1, 2));
        let shared = Division { context: 2, ..Division::new(100, 1_025) };
        assert_eq!((shared.at_a_time(threads), shared.gradient_sets(threads)), (1, 2));
        assert_eq!((shared.longest_stretch(), shared.largest_share(6).windows), (513, 34));
    }
}
