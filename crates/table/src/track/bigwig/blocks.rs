//! Deflated blocks on their way into the file.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// A stretch of a contig, 0-based, half-open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Extent {
    /// Number of the contig.
    pub(super) contig: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// A block that was deflated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) extent: Extent,
    /// Where it begins, from the first block on.
    pub(super) offset: u64,
    /// Its bytes.
    pub(super) bytes: u64,
}

/// Blocks in the order of the genome, in a file without a name.
#[derive(Debug)]
pub(super) struct Blocks {
    file: BufWriter<File>,
    encoder: ZlibEncoder<Vec<u8>>,
    /// What the encoder writes the next block into.
    spare: Vec<u8>,
    list: Vec<Block>,
    bytes: u64,
}

impl Blocks {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(tempfile::tempfile_in(folder)?),
            encoder: ZlibEncoder::new(Vec::new(), Compression::default()),
            spare: Vec::new(),
            list: Vec::new(),
            bytes: 0,
        })
    }

    pub(super) fn list(&self) -> &[Block] {
        &self.list
    }

    /// Deflates a block.
    pub(super) fn push(&mut self, extent: Extent, block: &[u8]) -> io::Result<()> {
        self.encoder.write_all(block)?;
        let mut deflated = self.encoder.reset(std::mem::take(&mut self.spare))?;
        self.file.write_all(&deflated)?;
        let bytes = deflated.len() as u64;
        self.list.push(Block { extent, offset: self.bytes, bytes });
        self.bytes += bytes;
        deflated.clear();
        self.spare = deflated;
        Ok(())
    }

    /// Copies all blocks.
    pub(super) fn copy(&mut self, to: &mut impl Write) -> io::Result<()> {
        self.file.rewind()?;
        let copied = io::copy(self.file.get_mut(), to)?;
        match copied == self.bytes {
            true => Ok(()),
            false => Err(io::Error::other(format!("expected {} bytes of blocks, found {copied}", self.bytes))),
        }
    }
}
