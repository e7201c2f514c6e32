//! Where the blocks of a bgzip file lie.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use noodles_bgzf::gzi;

use crate::input::BGZIP_END;

const HEADER: usize = 18;
/// A block ends with a checksum and its uncompressed size, 4 bytes each.
const SIZE_FIELD: u64 = 4;

/// Looks whether a file ends as bgzip files do.
pub(super) fn check_end(file: &mut File) -> io::Result<()> {
    let mut tail = [0; BGZIP_END.len()];
    file.seek(SeekFrom::End(-(tail.len() as i64)))?;
    file.read_exact(&mut tail)?;
    file.rewind()?;
    if tail == BGZIP_END { Ok(()) } else { Err(truncated("the block that ends a bgzip file is missing")) }
}

/// Makes the index of a file by going from block to block; nothing is decompressed.
pub(super) fn build(file: &mut File) -> io::Result<gzi::Index> {
    let end = file.seek(SeekFrom::End(0))?;
    let (mut compressed, mut uncompressed) = (0, 0);
    let mut blocks = Vec::new();
    while compressed < end {
        if compressed > 0 {
            blocks.push((compressed, uncompressed));
        }
        let size = block_size(file, compressed)?;
        let last = (compressed + size).checked_sub(SIZE_FIELD).filter(|_| compressed + size <= end);
        let last = last.ok_or_else(|| truncated("a bgzip block is not whole"))?;
        uncompressed += uncompressed_size(file, last)?;
        compressed += size;
    }
    file.rewind()?;
    Ok(gzi::Index::from(blocks))
}

fn block_size(file: &mut File, offset: u64) -> io::Result<u64> {
    let mut header = [0; HEADER];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut header)?;
    if header[..4] != BGZIP_END[..4] || header[12..16] != BGZIP_END[12..16] {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("expected a bgzip block at byte {offset}")));
    }
    Ok(u64::from(u16::from_le_bytes([header[16], header[17]])) + 1)
}

fn uncompressed_size(file: &mut File, offset: u64) -> io::Result<u64> {
    let mut size = [0; SIZE_FIELD as usize];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut size)?;
    Ok(u64::from(u32::from_le_bytes(size)))
}

fn truncated(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}
