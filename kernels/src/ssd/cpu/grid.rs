//! Blocks of positions on the fixed grid.

use super::tile::Strided;
use crate::{Direction, Rows, TILE};

/// Positions that are summed over as a matrix product.
///
/// A block of 64 does the least work for the published sizes (N 64 or 128, P 64): the state's share does not depend
/// on it and the share inside a block grows with it.
pub const BLOCK: usize = 64;

const _: () = assert!(TILE.is_multiple_of(BLOCK), "blocks do not lie on the grid of tiles");

/// A run of rows inside one cell of the grid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Block {
    /// The lowest row, 0-based within the call.
    pub(super) first: usize,
    /// Number of rows, 1 to [`BLOCK`].
    pub(super) len: usize,
}

impl Block {
    /// The row met at step `i` of the walk.
    pub(super) fn row(self, direction: Direction, i: usize) -> usize {
        match direction {
            Direction::Forward => self.first + i,
            Direction::Reverse => self.first + self.len - 1 - i,
        }
    }

    /// One column on of the block's rows, in the order of the walk.
    pub(super) fn walk(self, direction: Direction, rows: Rows<'_, f32>, column: usize) -> Strided {
        Strided { from: rows.row(self.row(direction, 0))[column..].as_ptr(), step: step(direction, rows.stride()) }
    }
}

/// Writes `width` columns of the block's rows, from `column` on, as columns in the order of the walk: `[width, side]`.
#[inline(always)]
pub(super) fn transpose(
    block: Block,
    direction: Direction,
    rows: Rows<'_, f32>,
    (column, width): (usize, usize),
    to: &mut [f32],
    side: usize,
) {
    for i in 0..block.len {
        let row = &rows.row(block.row(direction, i))[column..][..width];
        for (n, &x) in row.iter().enumerate() {
            to[n * side + i] = x;
        }
    }
}

/// Elements from one row of the walk to the next.
pub(super) fn step(direction: Direction, stride: usize) -> isize {
    match direction {
        Direction::Forward => stride.cast_signed(),
        Direction::Reverse => -stride.cast_signed(),
    }
}

/// The blocks of `len` rows, the first of which has the absolute position `start`, in the order of the walk.
pub(super) fn blocks(direction: Direction, start: u64, len: usize) -> Vec<Block> {
    let offset = (start % BLOCK as u64) as usize;
    let mut blocks = Vec::with_capacity(len / BLOCK + 2);
    let mut first = 0;
    while first < len {
        let room = BLOCK - (offset + first) % BLOCK;
        let block = Block { first, len: room.min(len - first) };
        blocks.push(block);
        first += block.len;
    }
    if direction == Direction::Reverse {
        blocks.reverse();
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_lie_on_multiples_of_the_block() {
        let lens = |start, len| blocks(Direction::Forward, start, len).iter().map(|b| b.len).collect::<Vec<_>>();
        assert_eq!(lens(0, 2 * BLOCK), [BLOCK, BLOCK]);
        assert_eq!(lens(BLOCK as u64 - 3, BLOCK), [3, BLOCK - 3]);
        assert_eq!(lens(u64::MAX - 1, 5), [2, 3]);
        assert_eq!(lens(7, 1), [1]);
        assert!(lens(7, 0).is_empty());
    }

    #[test]
    fn both_directions_have_the_same_blocks() {
        let forward = blocks(Direction::Forward, 1000, 1500);
        let mut reverse = blocks(Direction::Reverse, 1000, 1500);
        reverse.reverse();
        assert_eq!(forward, reverse);
        assert_eq!(forward.iter().map(|b| b.len).sum::<usize>(), 1500);
    }
}
