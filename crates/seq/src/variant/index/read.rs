use std::io::{self, Read};

use noodles_bgzf as bgzf;

use crate::fields::{Fields, require};

use super::{Bin, Chunk, ContigIndex, Index, Layout, TBI_DEPTH, TBI_MIN_SHIFT, count_bin};

const LARGEST_DEPTH: u32 = 9;
/// Bits of the largest position that an index may reach.
const LARGEST_REACH: u32 = 62;
/// The fields of the columns before the names' length.
const COLUMN_FIELDS: u64 = 24;

/// Reads an index of a file of `file_bytes` bytes from its bytes as they are stored.
///
/// # Errors
///
/// - it is no index, or it is cut or damaged
/// - it points past the end of the file
pub(in super::super) fn read(stored: &[u8], file_bytes: u64) -> io::Result<Index> {
    let bytes = inflate(stored)?;
    parse(&mut Fields(&bytes), file_bytes).ok_or_else(|| invalid("it is damaged, or is of another file"))
}

fn inflate(stored: &[u8]) -> io::Result<Vec<u8>> {
    const SPARE: u64 = 64 << 20;
    const LARGEST_RATIO: u64 = 64;
    let limit = SPARE + LARGEST_RATIO * stored.len() as u64;
    let mut inflated = Vec::new();
    bgzf::io::Reader::new(stored).take(limit + 1).read_to_end(&mut inflated)?;
    if inflated.len() as u64 > limit { Err(invalid("it swells to an absurd size")) } else { Ok(inflated) }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn parse(fields: &mut Fields, file_bytes: u64) -> Option<Index> {
    let (layout, min_shift, depth, names, contig_count) = match fields.take(4)? {
        b"TBI\x01" => {
            let count = fields.count()?;
            (Layout::Tbi, TBI_MIN_SHIFT, TBI_DEPTH, Some(columns(fields)?), count)
        }
        b"CSI\x01" => {
            let (min_shift, depth) = (fields.u32()?, fields.u32()?);
            require(depth <= LARGEST_DEPTH && min_shift <= LARGEST_REACH - 3 * depth)?;
            let aux_bytes = fields.count()?;
            let mut aux = Fields(fields.take(aux_bytes)?);
            let names = if aux_bytes == 0 { None } else { Some(columns(&mut aux)?) };
            (Layout::Csi, min_shift, depth, names, fields.count()?)
        }
        _ => return None,
    };
    require(names.as_ref().is_none_or(|names| names.len() as u64 == contig_count))?;
    let shape = Shape { layout, depth, file_bytes };
    let contigs = (0..contig_count).map(|_| shape.contig(fields)).collect::<Option<_>>()?;
    Some(Index { min_shift, depth, names, contigs })
}

fn columns(fields: &mut Fields) -> Option<Vec<String>> {
    fields.take(COLUMN_FIELDS)?;
    let n = fields.count()?;
    let names = fields.take(n)?;
    let names = names.strip_suffix(&[0]).unwrap_or(names);
    if names.is_empty() {
        return Some(Vec::new());
    }
    names.split(|&b| b == 0).map(|name| String::from_utf8(name.to_vec()).ok()).collect()
}

/// What the parts of an index look like.
struct Shape {
    layout: Layout,
    depth: u32,
    file_bytes: u64,
}

impl Shape {
    fn contig(&self, fields: &mut Fields) -> Option<ContigIndex> {
        let mut contig = ContigIndex::default();
        for _ in 0..fields.count()? {
            self.bin(fields, &mut contig)?;
        }
        if self.layout == Layout::Tbi {
            for _ in 0..fields.count()? {
                contig.linear.push(fields.u64()?);
            }
        }
        Some(contig)
    }

    fn bin(&self, fields: &mut Fields, contig: &mut ContigIndex) -> Option<()> {
        let id = fields.u32()?;
        let first = if self.layout == Layout::Csi { fields.u64()? } else { 0 };
        let chunk_count = fields.count()?;
        if u64::from(id) == count_bin(self.depth) {
            return fields.take(16 * chunk_count).map(drop);
        }
        require(u64::from(id) < count_bin(self.depth) - 1)?;
        let chunks = (0..chunk_count).map(|_| self.chunk(fields)).collect::<Option<_>>()?;
        contig.bins.insert(id, Bin { first, chunks });
        Some(())
    }

    fn chunk(&self, fields: &mut Fields) -> Option<Chunk> {
        let chunk = Chunk { start: fields.u64()?, end: fields.u64()? };
        require(chunk.start <= chunk.end && chunk.end >> 16 <= self.file_bytes)?;
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::super::IndexBuilder;
    use super::*;

    fn built(contigs: Option<&[String]>) -> Index {
        let mut builder = IndexBuilder::new(super::super::TBI_REACH, contigs);
        for (i, (contig, start, end)) in [("a", 5, 6), ("a", 20_000, 90_000), ("b", 1, 2)].into_iter().enumerate() {
            let start_offset = (i as u64) << 20;
            builder.add(contig, start, end, Chunk { start: start_offset, end: start_offset + 9 }).unwrap();
        }
        builder.finish()
    }

    fn stored(index: &Index, layout: Layout) -> Vec<u8> {
        let mut bytes = Vec::new();
        index.write(layout, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        let names = ["b", "a"].map(String::from);
        for (index, layout) in
            [(built(None), Layout::Tbi), (built(None), Layout::Csi), (built(Some(&names)), Layout::Csi)]
        {
            let again = read(&stored(&index, layout), 1_000).unwrap();
            assert_eq!(again.names, index.names);
            for contig in 0..2 {
                for interval in [0..10, 10..30_000, 100_000..200_000] {
                    assert_eq!(again.chunks(contig, &interval), index.chunks(contig, &interval));
                }
            }
            assert!(read(&stored(&index, layout), 31).is_err());
        }
    }

    #[test]
    fn an_index_that_is_cut_or_garbled_is_refused_or_read() {
        for layout in [Layout::Tbi, Layout::Csi] {
            let bytes = built(None).to_bytes(layout);
            for cut in 0..bytes.len() - 8 {
                assert!(parse(&mut Fields(&bytes[..cut]), 1_000).is_none(), "{cut}");
            }
            for i in 0..bytes.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut bad = bytes.clone();
                    bad[i] = value;
                    if let Some(index) = parse(&mut Fields(&bad), 1_000) {
                        index.chunks(0, &(0..1 << 40));
                    }
                }
            }
        }
    }
}
