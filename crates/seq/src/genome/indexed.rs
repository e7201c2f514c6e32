//! FASTA, plain or bgzip, read at random by its index.

use std::{
    fs::File,
    io::{self, Read, Seek},
    ops::Range,
    path::{Path, PathBuf},
};

use noodles_bgzf as bgzf;

use super::{
    Opened, Storage,
    base::is_sequence,
    fai::{self, FaiRecord, IndexError, IndexErrorKind},
    gzi, packed,
    page::Pages,
    stream::FastaStream,
};
use crate::{contig::Contig, error::Error, input::Compression};

const UNEVEN: &str = "its lines are of uneven length, so it was read whole into 2 bits a base; \
                      lines of one length (as `seqkit seq -w 60` writes) avoid that";

/// Opens a file with the indexes beside it, or makes those that are missing, in memory.
pub(super) fn open(path: &Path, compression: Compression) -> Result<Opened, Error> {
    let mut pages = Pages::new(open_text(path, compression)?);
    let index = fai::path_beside(path, ".fai");
    let records = if index.exists() {
        let records = fai::read(&index)?;
        fai::check(&records, &mut pages, path, &index)?;
        records
    } else {
        match fai::build(FastaStream::open(path)?)? {
            Some(records) => records,
            None => return packed::open(FastaStream::open(path)?, UNEVEN),
        }
    };
    let contigs = records.iter().map(|r| Contig { name: r.name.clone(), length: r.length }).collect();
    let storage = Box::new(Indexed { path: path.into(), index, pages, records });
    Ok(Opened { records: contigs, storage, notice: None })
}

trait Text: Read + Seek + Send {}

impl<R: Read + Seek + Send> Text for R {}

/// Opens the uncompressed text.
fn open_text(path: &Path, compression: Compression) -> Result<Box<dyn Text>, Error> {
    let io_error = |source| Error::Io { path: path.into(), source };
    let reading = |source| Error::reading(path, source);
    let mut file = File::open(path).map_err(io_error)?;
    if compression != Compression::Bgzip {
        return Ok(Box::new(file));
    }
    gzi::check_end(&mut file).map_err(reading)?;
    let index = fai::path_beside(path, ".gzi");
    let blocks = if index.exists() {
        bgzf::gzi::fs::read(&index).map_err(|source| Error::reading(&index, source))?
    } else {
        gzi::build(&mut file).map_err(reading)?
    };
    Ok(Box::new(bgzf::io::IndexedReader::new(file, blocks)))
}

struct Indexed {
    path: PathBuf,
    index: PathBuf,
    pages: Pages<Box<dyn Text>>,
    records: Vec<FaiRecord>,
}

impl Storage for Indexed {
    fn read(&mut self, record: usize, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Error> {
        let from = out.len();
        out.resize(from + (range.end - range.start) as usize, 0);
        let bases = &mut out[from..];
        let is_whole = read_lines(&mut self.pages, &self.records[record], range.start, bases);
        let is_whole = is_whole.map_err(|source| Error::reading(&self.path, source))?;
        if is_whole && is_sequence(bases) {
            return Ok(());
        }
        out.truncate(from);
        let contig = self.records[record].name.clone();
        Err(IndexError { path: self.index.clone(), kind: IndexErrorKind::Stale { contig } }.into())
    }
}

/// Fills `bases` line by line; `false` when the file ends before.
fn read_lines<R: Read + Seek>(
    pages: &mut Pages<R>,
    record: &FaiRecord,
    start: u64,
    mut bases: &mut [u8],
) -> io::Result<bool> {
    let mut base = start;
    while !bases.is_empty() {
        let in_line = record.line_bases - base % record.line_bases;
        let n = bases.len().min(usize::try_from(in_line).unwrap_or(usize::MAX));
        let (line, rest) = bases.split_at_mut(n);
        if pages.read_at(record.position(base), line)? < n {
            return Ok(false);
        }
        base += n as u64;
        bases = rest;
    }
    Ok(true)
}
