//! The R tree from a stretch of the genome to the blocks that lie on it.

use std::io::{self, Write};

use super::blocks::{Block, Extent};
use super::packed_tree::PackedTree;

const MAGIC: u32 = 0x2468_ACE0;
const HEADER_BYTES: u64 = 48;
const MOST_ENTRIES: usize = 256;

/// Writes the index of `blocks`, the first of which begins at byte `first` of the file. The index begins at byte
/// `offset`, where the blocks end.
pub(super) fn write(to: &mut impl Write, blocks: &[Block], first: u64, offset: u64) -> io::Result<()> {
    let tree = PackedTree {
        items: blocks.len(),
        fan_out: blocks.len().clamp(2, MOST_ENTRIES),
        leaf_entry: 32,
        inner_entry: 24,
    };
    to.write_all(&header(blocks, tree.fan_out, offset))?;
    let leaf = |node: &mut Vec<u8>, item: usize| {
        let block = &blocks[item];
        put_extents(node, block.extent, block.extent);
        node.extend((first + block.offset).to_le_bytes());
        node.extend(block.bytes.to_le_bytes());
    };
    tree.write(to, offset + HEADER_BYTES, leaf, |node, items, child| {
        put_extents(node, blocks[items.start].extent, blocks[items.end - 1].extent);
        node.extend(child.to_le_bytes());
    })
}

fn header(blocks: &[Block], fan_out: usize, offset: u64) -> Vec<u8> {
    let nowhere = Extent { contig: 0, start: 0, end: 0 };
    let extent = |block: Option<&Block>| block.map_or(nowhere, |block| block.extent);
    let mut bytes = Vec::with_capacity(HEADER_BYTES as usize);
    bytes.extend(MAGIC.to_le_bytes());
    bytes.extend((fan_out as u32).to_le_bytes());
    bytes.extend((blocks.len() as u64).to_le_bytes());
    put_extents(&mut bytes, extent(blocks.first()), extent(blocks.last()));
    bytes.extend(offset.to_le_bytes());
    let (blocks_per_entry, reserved) = (1_u32, 0_u32);
    bytes.extend(blocks_per_entry.to_le_bytes());
    bytes.extend(reserved.to_le_bytes());
    bytes
}

/// From the start of one stretch to the end of another.
fn put_extents(bytes: &mut Vec<u8>, first: Extent, last: Extent) {
    for number in [first.contig, first.start, last.contig, last.end] {
        bytes.extend(number.to_le_bytes());
    }
}
