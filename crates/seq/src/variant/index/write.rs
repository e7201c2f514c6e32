use std::io::{self, Write};

use noodles_bgzf as bgzf;

use super::{Chunk, ContigIndex, Index, count_bin};

const VCF_FORMAT: u32 = 2;
const CONTIG_COLUMN: u32 = 1;
const POSITION_COLUMN: u32 = 2;

/// The format of an index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Layout {
    Tbi,
    Csi,
}

impl Index {
    /// Writes the index, compressed as it is stored.
    pub(in super::super) fn write(&self, layout: Layout, to: impl Write) -> io::Result<()> {
        let mut writer = bgzf::io::Writer::new(to);
        writer.write_all(&self.to_bytes(layout))?;
        writer.finish()?.flush()
    }

    pub(super) fn to_bytes(&self, layout: Layout) -> Vec<u8> {
        let mut bytes = Vec::new();
        let contig_count = self.contigs.len() as u32;
        match layout {
            Layout::Tbi => {
                bytes.extend(b"TBI\x01");
                put(&mut bytes, contig_count);
                self.put_columns(&mut bytes);
            }
            Layout::Csi => {
                bytes.extend(b"CSI\x01");
                put(&mut bytes, self.min_shift);
                put(&mut bytes, self.depth);
                let mut columns = Vec::new();
                if self.names.is_some() {
                    self.put_columns(&mut columns);
                }
                put(&mut bytes, columns.len() as u32);
                bytes.extend(columns);
                put(&mut bytes, contig_count);
            }
        }
        for contig in &self.contigs {
            contig.put(layout, self.depth, &mut bytes);
        }
        put_wide(&mut bytes, 0);
        bytes
    }

    /// Which columns of a VCF are the contig and the position, and the contigs' names.
    fn put_columns(&self, bytes: &mut Vec<u8>) {
        let names: Vec<u8> = self.names.iter().flatten().flat_map(|name| name.bytes().chain([0])).collect();
        for field in [VCF_FORMAT, CONTIG_COLUMN, POSITION_COLUMN, 0, u32::from(b'#'), 0, names.len() as u32] {
            put(bytes, field);
        }
        bytes.extend(names);
    }
}

impl ContigIndex {
    fn put(&self, layout: Layout, depth: u32, bytes: &mut Vec<u8>) {
        let counts = self.extent.map(|extent| [extent, Chunk { start: self.record_count, end: 0 }]);
        let count_bin = count_bin(depth) as u32;
        put(bytes, self.bins.len() as u32 + u32::from(counts.is_some()));
        for (&id, bin) in &self.bins {
            put_bin(bytes, layout, id, bin.first, &bin.chunks);
        }
        if let Some(counts) = counts {
            put_bin(bytes, layout, count_bin, 0, &counts);
        }
        if layout == Layout::Tbi {
            put(bytes, self.linear.len() as u32);
            self.linear.iter().for_each(|&offset| put_wide(bytes, offset));
        }
    }
}

fn put_bin(bytes: &mut Vec<u8>, layout: Layout, id: u32, first: u64, chunks: &[Chunk]) {
    put(bytes, id);
    if layout == Layout::Csi {
        put_wide(bytes, first);
    }
    put(bytes, chunks.len() as u32);
    for chunk in chunks {
        put_wide(bytes, chunk.start);
        put_wide(bytes, chunk.end);
    }
}

fn put(bytes: &mut Vec<u8>, field: u32) {
    bytes.extend(field.to_le_bytes());
}

fn put_wide(bytes: &mut Vec<u8>, field: u64) {
    bytes.extend(field.to_le_bytes());
}
