//! Where the blocks of a bgzip file lie.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use noodles_bgzf::gzi;

use crate::input::{BGZF_END, has_bgzf_end, without_end};

const HEADER: usize = 18;
/// A block ends with a checksum and its uncompressed size, 4 bytes each.
const SIZE_FIELD: u64 = 4;

/// Looks whether a file ends as bgzip files do.
pub(super) fn check_end(file: &mut File) -> io::Result<()> {
    if has_bgzf_end(file)? { Ok(()) } else { Err(without_end()) }
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
        let last = last.ok_or_else(not_whole)?;
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
    if header[..4] != BGZF_END[..4] || header[12..16] != BGZF_END[12..16] {
        let message = format!("expected a bgzip block at byte {offset}, found other bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(u64::from(u16::from_le_bytes([header[16], header[17]])) + 1)
}

fn uncompressed_size(file: &mut File, offset: u64) -> io::Result<u64> {
    let mut size = [0; SIZE_FIELD as usize];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut size)?;
    Ok(u64::from(u32::from_le_bytes(size)))
}

fn not_whole() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "expected a whole bgzip block, found the end of the file")
}
