//! Blocks of values.
//!
//! A block has a header of 24 bytes and then its values: `fixedStep` where each base of the block has one, else
//! `variableStep`, which tells the position of each.

use std::io;
use std::path::Path;

use super::blocks::{Blocks, Extent};

/// Values of a block, at most.
const MOST_VALUES: usize = 4_096;
const HEADER_BYTES: usize = 24;
/// Bytes of a block before it is deflated, at most: each value with its position.
pub(super) const MOST_BYTES: usize = HEADER_BYTES + 8 * MOST_VALUES;
/// Values from which on a block ends at a gap, so that few blocks need positions.
const ENOUGH_VALUES: usize = 512;

const VARIABLE_STEP: u8 = 2;
const FIXED_STEP: u8 = 3;

/// Values on their way into blocks.
#[derive(Debug)]
pub(super) struct Values {
    blocks: Blocks,
    contig: u32,
    /// Of the block at hand, 0-based.
    positions: Vec<u32>,
    values: Vec<f32>,
    block: Vec<u8>,
}

impl Values {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let blocks = Blocks::create(folder)?;
        Ok(Self { blocks, contig: 0, positions: Vec::new(), values: Vec::new(), block: Vec::new() })
    }

    pub(super) fn begin_contig(&mut self, number: u32) {
        self.contig = number;
    }

    pub(super) fn push(&mut self, mut start: u32, mut values: &[f32]) -> io::Result<()> {
        let follows = self.positions.last().is_some_and(|last| last + 1 == start);
        if !follows && self.values.len() >= ENOUGH_VALUES {
            self.end_block()?;
        }
        while !values.is_empty() {
            let room = MOST_VALUES - self.values.len();
            let (now, later) = values.split_at(values.len().min(room));
            self.positions.extend(start..start + now.len() as u32);
            self.values.extend_from_slice(now);
            if now.len() == room {
                self.end_block()?;
            }
            (start, values) = (start + now.len() as u32, later);
        }
        Ok(())
    }

    /// Ends the block at hand, if it holds any values.
    pub(super) fn end_block(&mut self) -> io::Result<()> {
        let (Some(&first), Some(&last)) = (self.positions.first(), self.positions.last()) else {
            return Ok(());
        };
        let extent = Extent { contig: self.contig, start: first, end: last + 1 };
        let is_fixed = (last - first) as usize + 1 == self.values.len();
        self.put_header(extent, if is_fixed { FIXED_STEP } else { VARIABLE_STEP });
        for (position, value) in self.positions.iter().zip(&self.values) {
            if !is_fixed {
                self.block.extend(position.to_le_bytes());
            }
            self.block.extend(value.to_le_bytes());
        }
        self.blocks.push(extent, &self.block)?;
        self.positions.clear();
        self.values.clear();
        Ok(())
    }

    fn put_header(&mut self, extent: Extent, kind: u8) {
        let (step, span) = (u32::from(kind == FIXED_STEP), 1);
        self.block.clear();
        for number in [extent.contig, extent.start, extent.end, step, span] {
            self.block.extend(number.to_le_bytes());
        }
        self.block.extend([kind, 0]);
        self.block.extend((self.values.len() as u16).to_le_bytes());
    }

    pub(super) fn into_blocks(self) -> Blocks {
        self.blocks
    }
}
