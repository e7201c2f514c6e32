use std::{
    io::{self, Read, Seek},
    path::Path,
};

use super::{FaiRecord, IndexError, IndexErrorKind};
use crate::{error::Error, genome::page::Pages};

/// Headers longer than this are taken for something else.
const MAX_HEADER: u64 = 1 << 20;

/// Looks whether between the records of an index the file has their headers and nothing else.
pub(in crate::genome) fn check<R: Read + Seek>(
    records: &[FaiRecord],
    pages: &mut Pages<R>,
    path: &Path,
    index: &Path,
) -> Result<(), Error> {
    let error = |kind| Error::from(IndexError { path: index.into(), kind });
    let io_error = |source: io::Error| match source.kind() {
        io::ErrorKind::InvalidData => error(IndexErrorKind::Blocks),
        _ => Error::reading(path, source),
    };
    let mut in_file_order: Vec<_> = records.iter().collect();
    in_file_order.sort_by_key(|record| (record.offset, record.length));
    let mut end = 0;
    for record in &in_file_order {
        let stale = || error(IndexErrorKind::Stale { contig: record.name.clone() });
        let gap = record.offset.checked_sub(end).filter(|&gap| gap <= MAX_HEADER).ok_or_else(stale)?;
        let gap = read(pages, end, gap).map_err(io_error)?;
        if !is_header(&gap, &record.name) {
            return Err(stale());
        }
        end = record.end();
        if record.length > 0 && read(pages, end - 1, 1).map_err(io_error)?.is_empty() {
            return Err(stale());
        }
    }
    let last = in_file_order.last().ok_or_else(|| error(IndexErrorKind::Empty))?;
    let behind = read(pages, end, 1 << 16).map_err(io_error)?;
    match behind.split(|&b| b == b'\n').all(is_no_sequence) {
        true => Ok(()),
        false => Err(error(IndexErrorKind::Short { last: last.name.clone() })),
    }
}

fn read<R: Read + Seek>(pages: &mut Pages<R>, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    let n = pages.read_at(offset, &mut bytes)?;
    bytes.truncate(n);
    Ok(bytes)
}

/// Whether text ends in the header of `name`, whole with its line end, with nothing but blank lines and comments before.
fn is_header(text: &[u8], name: &str) -> bool {
    let Some(text) = text.strip_suffix(b"\n") else { return false };
    let start = text.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
    let found = text[start..].strip_prefix(b">").and_then(|line| line.split(|b| b" \t\r".contains(b)).next());
    found == Some(name.as_bytes()) && text[..start].split(|&b| b == b'\n').all(is_no_sequence)
}

fn is_no_sequence(line: &[u8]) -> bool {
    line.trim_ascii().is_empty() || line.starts_with(b";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_known() {
        for text in [">a\n", "\n>a some words\n", "\r\n>a\r\n", "\n\n;comment\n>a\tb\n"] {
            assert!(is_header(text.as_bytes(), "a"), "{text:?}");
        }
        for text in ["", "\n", ">a", ">ab\n", ">b\n", "ACGT\n>a\n", "\n>b\nAC\n>a\n", "\n>b\n>a\n"] {
            assert!(!is_header(text.as_bytes(), "a"), "{text:?}");
        }
    }
}
