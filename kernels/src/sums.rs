//! Sums over positions that threads share.
//!
//! The gradient of a parameter is a sum over all positions. It is made in f32 over each block of [`TILE`] rows, one
//! task a block, and over the blocks in f64, from the first to the last: the same bits whatever the threads, and no
//! less accurate over a million positions than over a thousand. The buffer costs `width` numbers a block.

use rayon::prelude::*;

use crate::{TILE, tasks};

/// One sum for each block of [`TILE`] rows and each column, `[blocks, width]`.
pub(crate) struct BlockSums {
    sums: Vec<f32>,
    width: usize,
}

impl BlockSums {
    /// Zeros for `width` sums over `rows` rows.
    pub(crate) fn new(rows: usize, width: usize) -> Self {
        Self { sums: vec![0.0; rows.div_ceil(TILE) * width], width }
    }

    /// The sums of each block in turn.
    pub(crate) fn par_blocks(&mut self) -> impl IndexedParallelIterator<Item = &mut [f32]> {
        self.sums.par_chunks_mut(self.width).with_min_len((tasks::rows(self.width) / TILE).max(1))
    }

    /// Adds the sums of the columns from `first` on to `total`.
    pub(crate) fn add_to(&self, first: usize, total: &mut [f32]) {
        let mut sums = vec![0.0_f64; total.len()];
        for block in self.sums.chunks_exact(self.width) {
            for (sum, &x) in sums.iter_mut().zip(&block[first..][..total.len()]) {
                *sum += f64::from(x);
            }
        }
        for (total, sum) in total.iter_mut().zip(sums) {
            *total = (f64::from(*total) + sum) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_added_in_f64_to_what_was_there() {
        let mut sums = BlockSums::new(2 * TILE + 1, 2);
        sums.par_blocks().enumerate().for_each(|(i, block)| block.copy_from_slice(&[i as f32, 1e-4]));
        let (mut first, mut second) = ([10.0], [1.0]);
        sums.add_to(0, &mut first);
        sums.add_to(1, &mut second);
        assert_eq!((first, second), ([13.0], [(1.0 + 3.0 * f64::from(1e-4_f32)) as f32]));
    }

    #[test]
    fn no_rows_add_nothing() {
        let mut total = [3.0, 4.0];
        BlockSums::new(0, 2).add_to(0, &mut total);
        assert_eq!(total, [3.0, 4.0]);
    }
}
