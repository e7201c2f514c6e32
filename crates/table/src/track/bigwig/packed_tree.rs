//! A tree over sorted items whose nodes are filled from the left: the frame of both of the format's trees.
//!
//! Level 0 are the leaves. Node `j` of level `l` stands for the items `j · f^(l+1) .. (j + 1) · f^(l+1)`, f being the
//! fan-out, so that nothing but sizes is needed to tell where a node lies. The root is written first, the leaves last; a
//! node has a header of 4 bytes and always room for `f` entries.

use std::io::{self, Write};
use std::ops::Range;

/// The sizes of a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedTree {
    pub(super) items: usize,
    /// Entries of a node, at least 2.
    pub(super) fan_out: usize,
    /// Bytes of an item in a leaf.
    pub(super) leaf_entry: usize,
    /// Bytes of a child's entry in a node above the leaves.
    pub(super) inner_entry: usize,
}

impl PackedTree {
    /// Bytes of the tree.
    pub(super) fn bytes(&self) -> u64 {
        (0..=self.top()).map(|level| self.level_bytes(level)).sum()
    }

    /// Writes the tree, which begins at byte `offset` of the file. `leaf` puts an item; `inner` puts a child, given the
    /// items below it and its own offset.
    pub(super) fn write(
        &self,
        to: &mut impl Write,
        offset: u64,
        leaf: impl Fn(&mut Vec<u8>, usize),
        inner: impl Fn(&mut Vec<u8>, Range<usize>, u64),
    ) -> io::Result<()> {
        let mut below = offset;
        for level in (0..=self.top()).rev() {
            below += self.level_bytes(level);
            for node in 0..self.nodes(level) {
                let mut bytes = self.header(level, node);
                match level {
                    0 => self.entries(0, node).for_each(|item| leaf(&mut bytes, item)),
                    _ => self.entries(level, node).for_each(|child| {
                        let child_offset = below + child as u64 * self.node_bytes(level - 1);
                        inner(&mut bytes, self.items_below(level - 1, child), child_offset);
                    }),
                }
                bytes.resize(self.node_bytes(level) as usize, 0);
                to.write_all(&bytes)?;
            }
        }
        Ok(())
    }

    fn header(&self, level: u32, node: usize) -> Vec<u8> {
        let entries = self.entries(level, node).len() as u16;
        let mut bytes = Vec::with_capacity(self.node_bytes(level) as usize);
        bytes.extend([u8::from(level == 0), 0]);
        bytes.extend(entries.to_le_bytes());
        bytes
    }

    /// The level of the root.
    fn top(&self) -> u32 {
        (0..).find(|&level| self.nodes(level) == 1).expect("nodes get fewer")
    }

    /// Nodes of a level; a tree without items has one leaf.
    fn nodes(&self, level: u32) -> usize {
        self.items.div_ceil(self.span(level)).max(1)
    }

    /// Items below a full node.
    fn span(&self, level: u32) -> usize {
        self.fan_out.saturating_pow(level + 1)
    }

    fn items_below(&self, level: u32, node: usize) -> Range<usize> {
        let span = self.span(level);
        node * span..self.items.min((node + 1).saturating_mul(span))
    }

    /// The items of a leaf, or the nodes below a node.
    fn entries(&self, level: u32, node: usize) -> Range<usize> {
        let there = match level {
            0 => self.items,
            _ => self.nodes(level - 1),
        };
        node * self.fan_out..there.min((node + 1) * self.fan_out)
    }

    fn node_bytes(&self, level: u32) -> u64 {
        let entry = if level == 0 { self.leaf_entry } else { self.inner_entry };
        (4 + self.fan_out * entry) as u64
    }

    fn level_bytes(&self, level: u32) -> u64 {
        self.nodes(level) as u64 * self.node_bytes(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaves hold an item in 1 byte; nodes above hold the first item in 1 byte and the offset in 8.
    fn tree(items: usize) -> (PackedTree, Vec<u8>) {
        let tree = PackedTree { items, fan_out: 3, leaf_entry: 1, inner_entry: 9 };
        let mut bytes = vec![0xFF; 5];
        tree.write(
            &mut bytes,
            5,
            |to, item| to.push(item as u8),
            |to, items, offset| {
                to.push(items.start as u8);
                to.extend(offset.to_le_bytes());
            },
        )
        .unwrap();
        (tree, bytes)
    }

    fn walk(bytes: &[u8], at: usize, items: &mut Vec<u8>) {
        let entries = bytes[at + 2] as usize;
        for entry in 0..entries {
            if bytes[at] == 1 {
                items.push(bytes[at + 4 + entry]);
                continue;
            }
            let child = &bytes[at + 4 + 9 * entry..];
            let first = items.len();
            walk(bytes, u64::from_le_bytes(child[1..9].try_into().unwrap()) as usize, items);
            assert_eq!(items[first], child[0]);
        }
    }

    #[test]
    fn a_walk_from_the_root_meets_each_item_in_order() {
        for items in [0, 1, 2, 3, 4, 8, 9, 10, 27, 28, 100] {
            let (tree, bytes) = tree(items);
            assert_eq!(bytes.len() as u64, 5 + tree.bytes());
            let mut found = Vec::new();
            walk(&bytes, 5, &mut found);
            assert_eq!(found, (0..items as u8).collect::<Vec<_>>());
        }
    }
}
