//! The ranks that own windows together.

use std::ops::{ControlFlow, Range};

use longstrand_model::train::Context;

use crate::collectives::{Alone, CollectiveError, Ranks};

/// The ranks that own each of this rank's windows together, and what has parted them.
pub(super) struct Stretches {
    ranks: Ranks,
    parted: Option<CollectiveError>,
}

impl Stretches {
    /// Of these ranks.
    pub(super) fn new(ranks: Ranks) -> Self {
        Self { ranks, parted: None }
    }

    /// How many ranks own a window.
    pub(super) fn size(&self) -> usize {
        self.ranks.world_size()
    }

    /// This rank's stretch of a window, 0-based and half-open.
    pub(super) fn own(&self, length: u64) -> Range<usize> {
        let border = |rank: usize| (u128::from(length) * rank as u128 / self.size() as u128) as usize;
        border(self.ranks.rank())..border(self.ranks.rank() + 1)
    }

    /// What has parted the ranks, if anything has.
    pub(super) fn parted(&mut self) -> Option<CollectiveError> {
        self.parted.take()
    }
}

impl Default for Stretches {
    /// Every window whole.
    fn default() -> Self {
        Self::new(Box::new(Alone::default()))
    }
}

impl Context<f32> for Stretches {
    fn rank(&self) -> usize {
        self.ranks.rank()
    }

    fn ranks(&self) -> usize {
        self.size()
    }

    fn gather(&mut self, own: Vec<f32>) -> ControlFlow<(), Vec<Vec<f32>>> {
        let values = |bytes: Vec<u8>| bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        match self.ranks.gather(own.iter().flat_map(|value| value.to_le_bytes()).collect()) {
            Ok(all) => ControlFlow::Continue(all.into_iter().map(values).collect()),
            Err(error) => {
                self.parted = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_alone_is_one_stretch() {
        let mut stretches = Stretches::default();
        assert_eq!((stretches.own(9), stretches.size()), (0..9, 1));
        assert_eq!(stretches.gather(vec![1.5]), ControlFlow::Continue(vec![vec![1.5]]));
        assert!(stretches.parted().is_none());
    }
}
