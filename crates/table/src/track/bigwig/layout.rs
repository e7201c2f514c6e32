//! The order of the parts in the file, and the header that tells where they are.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};

use super::blocks::Blocks;
use super::contig_tree::{Contig, ContigTree};
use super::index;
use super::summary::{RECORD_BYTES, track_summary};
use super::values;
use super::zoom::Zoom;

const MAGIC: u32 = 0x888F_FC26;
const VERSION: u16 = 4;
const HEADER_BYTES: u64 = 64;
const ZOOM_HEADER_BYTES: u64 = 24;
const SUMMARY_BYTES: u64 = 40;

/// Where blocks and their index begin.
#[derive(Clone, Copy, Debug)]
struct Section {
    data: u64,
    index: u64,
}

/// Writes the file from its parts.
pub(super) fn write(to: File, contigs: Vec<Contig>, mut values: Blocks, zoom: Zoom) -> io::Result<()> {
    let (total, mut levels) = zoom.into_parts();
    let contigs = ContigTree::new(contigs);
    let summary_at = HEADER_BYTES + ZOOM_HEADER_BYTES * levels.len() as u64;
    let contigs_at = summary_at + SUMMARY_BYTES;
    let mut to = BufWriter::new(to);
    to.write_all(&vec![0; summary_at as usize])?;
    to.write_all(&track_summary(total.as_ref()))?;
    contigs.write(&mut to, contigs_at)?;

    let block_count = values.list().len() as u64;
    let full = write_section(&mut to, contigs_at + contigs.bytes(), &block_count.to_le_bytes(), &mut values)?;
    let mut zoom_headers = Vec::new();
    for level in &mut levels {
        let at = to.stream_position()?;
        let records = (level.records as u32).to_le_bytes();
        zoom_headers.push((level.cell, write_section(&mut to, at, &records, &mut level.blocks)?));
    }
    to.write_all(&MAGIC.to_le_bytes())?;

    to.rewind()?;
    to.write_all(&header(zoom_headers.len() as u16, summary_at, contigs_at, full))?;
    for (cell, section) in zoom_headers {
        to.write_all(&zoom_header(cell, section))?;
    }
    to.flush()
}

/// Writes a count, the blocks, and their index, beginning at byte `at`.
fn write_section(to: &mut BufWriter<File>, at: u64, count: &[u8], blocks: &mut Blocks) -> io::Result<Section> {
    to.write_all(count)?;
    blocks.copy(to)?;
    let index_at = to.stream_position()?;
    index::write(to, blocks.list(), at + count.len() as u64, index_at)?;
    Ok(Section { data: at, index: index_at })
}

fn header(levels: u16, summary_at: u64, contigs_at: u64, full: Section) -> Vec<u8> {
    let (fields, defined_fields) = (0_u16, 0_u16);
    let (auto_sql_at, extensions_at) = (0_u64, 0_u64);
    let largest_block = values::MOST_BYTES.max(super::zoom::BLOCK_RECORDS * RECORD_BYTES) as u32;
    let mut bytes = Vec::with_capacity(HEADER_BYTES as usize);
    bytes.extend(MAGIC.to_le_bytes());
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(levels.to_le_bytes());
    for offset in [contigs_at, full.data, full.index] {
        bytes.extend(offset.to_le_bytes());
    }
    bytes.extend(fields.to_le_bytes());
    bytes.extend(defined_fields.to_le_bytes());
    bytes.extend(auto_sql_at.to_le_bytes());
    bytes.extend(summary_at.to_le_bytes());
    bytes.extend(largest_block.to_le_bytes());
    bytes.extend(extensions_at.to_le_bytes());
    bytes
}

fn zoom_header(cell: u32, section: Section) -> Vec<u8> {
    let reserved = 0_u32;
    let mut bytes = Vec::with_capacity(ZOOM_HEADER_BYTES as usize);
    bytes.extend(cell.to_le_bytes());
    bytes.extend(reserved.to_le_bytes());
    bytes.extend(section.data.to_le_bytes());
    bytes.extend(section.index.to_le_bytes());
    bytes
}
