//! FASTA, plain or bgzip, read at random by its index.

use std::{
    fs::File,
    io::{self, Read, Seek},
    ops::Range,
    path::{Path, PathBuf},
};

use memchr::memchr_iter;
use noodles_bgzf as bgzf;

use super::{
    Opened, Storage,
    base::{first_foreign, is_sequence},
    fai::{self, FaiRecord, IndexError, IndexErrorKind},
    gzi, packed,
    page::Pages,
    stream::{FastaError, FastaErrorKind, FastaStream},
};
use crate::{contig::Contig, error::Error, input::Compression};

const UNEVEN: &str = "its lines are of uneven length, so it was read whole into 2 bits a base; \
                      lines of one length (as seqkit seq -w 60 writes) avoid that";

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
        let foreign = first_foreign(bases).filter(|_| is_whole).map(|place| (range.start + place as u64, bases[place]));
        out.truncate(from);
        let error = match foreign {
            Some((base, byte)) => self.foreign(record, base, byte),
            None => Ok(self.stale(record)),
        };
        Err(error.map_err(|source| Error::reading(&self.path, source))?)
    }
}

impl Indexed {
    fn stale(&self, record: usize) -> Error {
        let contig = self.records[record].name.clone();
        IndexError { path: self.index.clone(), kind: IndexErrorKind::Stale { contig } }.into()
    }

    /// What a byte that is no base tells: the text of a line of bases is wrong, or the index leads to something else.
    fn foreign(&mut self, record: usize, base: u64, byte: u8) -> io::Result<Error> {
        let FaiRecord { name, offset, .. } = &self.records[record];
        let place = self.records[record].position(base);
        let line = line_of_bases(&mut self.pages, *offset, place)?.filter(|_| !b"\r\n>".contains(&byte));
        let Some(line) = line else { return Ok(self.stale(record)) };
        let kind = FastaErrorKind::InvalidBase { byte };
        Ok(FastaError { path: self.path.clone(), record: Some(name.clone()), line, kind }.into())
    }
}

/// The line (1-based) of a place in the text; `None` when between the record's first base and it a header starts.
fn line_of_bases<R: Read + Seek>(pages: &mut Pages<R>, first_base: u64, place: u64) -> io::Result<Option<u64>> {
    let mut line = 1;
    let mut text = [0; 1 << 12];
    for start in (0..place).step_by(text.len()) {
        let n = text.len().min((place - start) as usize);
        let n = pages.read_at(start, &mut text[..n])?;
        let inside = first_base.saturating_sub(start).min(n as u64) as usize;
        if text[inside..n].contains(&b'>') {
            return Ok(None);
        }
        line += memchr_iter(b'\n', &text[..n]).count() as u64;
    }
    Ok(Some(line))
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
