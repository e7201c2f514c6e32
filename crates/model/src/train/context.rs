//! One sequence over several ranks.
//!
//! A rank owns a stretch of positions, of both strands where there are two. All but two operations of a model work on a
//! position alone; a convolution looks back K−1 positions, and a scan carries its state. So at each layer ranks tell each
//! other, of each strand and direction (C channels of the convolution, W = I step sizes, or H of Mamba-2):
//!
//! ```text
//! forward    the last K−1 columns before the convolution                [K−1, C]
//!            from these: time elapsed, and the state at the end that a zero state becomes       [W], [N, I]
//! backward   time elapsed, and the gradient at the start that a zero gradient becomes           [W], [N, I]
//!            the gradient of the columns that came from other stretches  [K−1, C]
//! ```
//!
//! A scan is linear in the state that it begins with, and its way back in the gradient ([`elapsed`]). So all ranks walk their
//! stretches at once as if nothing had come before; every rank folds what the others found, in the order of the walk, into
//! what comes into its own; and each border state of its chunks is put right by what has faded of that. No rank waits for
//! another's scan. Its price is that walk, which computes states alone.
//!
//! All of it is exact but for rounding, and two runs of one number of ranks have the same bits.
//!
//! [`elapsed`]: longstrand_kernels::elapsed

use std::ops::ControlFlow;

use longstrand_kernels::{Direction, backend::Scalar};

use crate::watch::Meter;

#[cfg(test)]
mod tests;

/// The ranks that own one sequence together, each a stretch, in the order of positions.
///
/// All of them call the same operations in the same order.
pub trait Context<S> {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn ranks(&self) -> usize;

    /// Gives every rank the values of each, in the order of ranks, which may bring different numbers of them. Breaks off where
    /// ranks are parted: why, the implementation knows.
    fn gather(&mut self, own: Vec<S>) -> ControlFlow<(), Vec<Vec<S>>>;
}

/// The only rank: it owns whole sequences, and nothing is exchanged.
#[derive(Clone, Copy, Debug, Default)]
pub struct WholeSequences;

impl<S> Context<S> for WholeSequences {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn gather(&mut self, own: Vec<S>) -> ControlFlow<(), Vec<Vec<S>>> {
        ControlFlow::Continue(vec![own])
    }
}

/// Who goes along with a pass: the ranks that own the rest of the sequence, and whoever is told how far it is.
pub struct Course<'a, 'm, S> {
    /// The ranks.
    pub context: &'a mut dyn Context<S>,
    /// What is told of the work. Where there are several ranks, it breaks the pass off on all of them, where they meet next.
    pub meter: &'a mut Meter<'m>,
}

impl<S: Scalar> Course<'_, '_, S> {
    /// Whether this rank owns the whole sequence.
    pub(super) fn is_whole(&self) -> bool {
        self.context.ranks() == 1
    }

    /// Some of the work has been done. A rank among several does not leave by itself: the others would wait for it.
    pub(super) fn advance(&mut self, work: u64) -> ControlFlow<()> {
        let flow = self.meter.advance(work);
        if self.is_whole() { flow } else { ControlFlow::Continue(()) }
    }

    /// What every rank brings of each branch, `[ranks][branches]`; of one rank every branch has as many values.
    pub(super) fn gather(&mut self, branches: &[Vec<S>]) -> ControlFlow<(), Vec<Vec<Vec<S>>>> {
        let stops = self.meter.advance(0).is_break();
        let flag = S::from_f64(u8::from(stops).into());
        let all = self.context.gather(branches.iter().flatten().copied().chain([flag]).collect())?;
        if all.iter().any(|of_rank| of_rank.last() != Some(&S::default())) {
            return ControlFlow::Break(());
        }
        let of_rank = |values: Vec<S>| {
            let length = (values.len() - 1) / branches.len();
            (0..branches.len()).map(|i| values[i * length..(i + 1) * length].to_vec()).collect()
        };
        ControlFlow::Continue(all.into_iter().map(of_rank).collect())
    }

    /// The ranks before this one in a direction, the farthest first.
    pub(super) fn before(&self, direction: Direction) -> Vec<usize> {
        let (rank, ranks) = (self.context.rank(), self.context.ranks());
        match direction {
            Direction::Forward => (0..rank).collect(),
            Direction::Reverse => (rank + 1..ranks).rev().collect(),
        }
    }
}
