//! UCSC 2bit files.
//!
//! ```text
//! signature 0x1A412743 | version 0 | number of records | 0        u32 each, in either byte order
//! index: name length u8, name, offset u32                          for each record
//! record: length | runs of N: count, starts, lengths | runs of lower case: alike | 0 | bases, 4 a byte
//! ```

mod error;
mod words;

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

pub use error::{TwoBitError, TwoBitErrorKind};
use words::Words;

use super::{
    Opened, Storage,
    runs::{Run, Runs},
};
use crate::{contig::Contig, error::Error};

/// Opens a file and reads its index.
pub(super) fn open(path: &Path) -> Result<Opened, Error> {
    let mut words = Words::open(path)?;
    let offsets = read_index(&mut words)?;
    let mut records = Vec::with_capacity(offsets.len());
    for (name, offset) in &offsets {
        words.enter(name, *offset)?;
        records.push(Contig { name: name.clone(), length: words.read()?.into() });
    }
    let storage = Box::new(TwoBit { words, offsets, current: None });
    Ok(Opened { records, storage, notice: None })
}

fn read_index(words: &mut Words) -> Result<Vec<(String, u64)>, Error> {
    let version = words.read()?;
    if version != 0 {
        return Err(words.error(TwoBitErrorKind::Version { found: version }));
    }
    let (count, _reserved) = (words.read()?, words.read()?);
    if count == 0 {
        return Err(words.error(TwoBitErrorKind::NoRecord));
    }
    (0..count).map(|_| Ok((words.read_name()?, words.read()?.into()))).collect()
}

struct TwoBit {
    words: Words,
    offsets: Vec<(String, u64)>,
    current: Option<(usize, Record)>,
}

/// Where a record's bases lie, and its runs.
struct Record {
    bases: u64,
    unknown: Runs<()>,
    lower_case: Runs<()>,
}

impl TwoBit {
    fn record(&mut self, record: usize) -> Result<(), Error> {
        if self.current.as_ref().is_some_and(|(current, _)| *current == record) {
            return Ok(());
        }
        let (name, offset) = &self.offsets[record];
        self.words.enter(name, *offset)?;
        let length = self.words.read()?;
        let unknown = read_runs(&mut self.words, length)?;
        let lower_case = read_runs(&mut self.words, length)?;
        let _reserved = self.words.read()?;
        let bases = self.words.position()?;
        self.current = Some((record, Record { bases, unknown, lower_case }));
        Ok(())
    }
}

impl Storage for TwoBit {
    fn read(&mut self, record: usize, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Error> {
        self.record(record)?;
        let Some((_, record)) = &self.current else { return Ok(()) };
        let bytes = range.start / 4..range.end.div_ceil(4).max(range.start / 4);
        let packed = self.words.read_bytes(record.bases + bytes.start, bytes.end - bytes.start)?;
        let from = out.len();
        unpack(&packed, &range, out);
        record.unknown.paint(&range, &mut out[from..], |bases, ()| bases.fill(b'N'));
        record.lower_case.paint(&range, &mut out[from..], |bases, ()| bases.make_ascii_lowercase());
        Ok(())
    }
}

fn read_runs(words: &mut Words, length: u32) -> Result<Runs<()>, Error> {
    let count = words.read()?;
    let starts = words.read_many(count)?;
    let lengths = words.read_many(count)?;
    let run = |(start, length): (u32, u32)| {
        let start = u64::from(start);
        Run { start, end: start + u64::from(length), value: () }
    };
    let runs = starts.into_iter().zip(lengths).map(run).collect();
    Runs::from_sorted(runs, length.into()).ok_or_else(|| words.error(TwoBitErrorKind::Runs))
}

/// Appends the bases of `range`, of which `packed` has the bytes from the first to the last.
pub(super) fn unpack(packed: &[u8], range: &Range<u64>, out: &mut Vec<u8>) {
    let length = (range.end - range.start) as usize;
    let end = out.len() + length;
    out.reserve(length + 4);
    let mut skip = (range.start % 4) as usize;
    for &byte in packed {
        out.extend_from_slice(&FOUR_BASES[usize::from(byte)][skip..]);
        skip = 0;
    }
    out.truncate(end);
}

const FOUR_BASES: [[u8; 4]; 256] = four_bases();

const fn four_bases() -> [[u8; 4]; 256] {
    let letters = *b"TCAG";
    let mut table = [[0; 4]; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut i = 0;
        while i < 4 {
            table[byte][i] = letters[(byte >> (6 - 2 * i)) & 3];
            i += 1;
        }
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests;
