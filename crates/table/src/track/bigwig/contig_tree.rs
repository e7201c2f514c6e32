//! The B+ tree from a contig's name to its number and length.

use std::io::{self, Write};

use super::packed_tree::PackedTree;

const MAGIC: u32 = 0x78CA_8C91;
const HEADER_BYTES: u64 = 32;
/// Bytes of a contig's number and length.
const VALUE_BYTES: usize = 8;
const MOST_ENTRIES: usize = 256;

/// A contig.
#[derive(Debug)]
pub(super) struct Contig {
    pub(super) name: String,
    /// Its number in blocks, records and indexes.
    pub(super) number: u32,
    /// Its bases.
    pub(super) length: u32,
}

/// The contigs, sorted by name.
#[derive(Debug)]
pub(super) struct ContigTree {
    contigs: Vec<Contig>,
    /// Bytes of the longest name.
    key_bytes: usize,
    tree: PackedTree,
}

impl ContigTree {
    pub(super) fn new(mut contigs: Vec<Contig>) -> Self {
        contigs.sort_unstable_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        let key_bytes = contigs.iter().map(|contig| contig.name.len()).max().unwrap_or(0).max(1);
        let tree = PackedTree {
            items: contigs.len(),
            fan_out: contigs.len().clamp(2, MOST_ENTRIES),
            leaf_entry: key_bytes + VALUE_BYTES,
            inner_entry: key_bytes + 8,
        };
        Self { contigs, key_bytes, tree }
    }

    pub(super) fn bytes(&self) -> u64 {
        HEADER_BYTES + self.tree.bytes()
    }

    /// Writes the tree, which begins at byte `offset` of the file.
    pub(super) fn write(&self, to: &mut impl Write, offset: u64) -> io::Result<()> {
        for number in [MAGIC, self.tree.fan_out as u32, self.key_bytes as u32, VALUE_BYTES as u32] {
            to.write_all(&number.to_le_bytes())?;
        }
        to.write_all(&(self.contigs.len() as u64).to_le_bytes())?;
        to.write_all(&[0; 8])?;
        let leaf = |node: &mut Vec<u8>, item: usize| {
            let contig = &self.contigs[item];
            self.put_key(node, item);
            node.extend(contig.number.to_le_bytes());
            node.extend(contig.length.to_le_bytes());
        };
        self.tree.write(to, offset + HEADER_BYTES, leaf, |node, items, child| {
            self.put_key(node, items.start);
            node.extend(child.to_le_bytes());
        })
    }

    /// A name, filled up with zeros.
    fn put_key(&self, node: &mut Vec<u8>, item: usize) {
        let name = self.contigs[item].name.as_bytes();
        node.extend(name);
        node.resize(node.len() + self.key_bytes - name.len(), 0);
    }
}
