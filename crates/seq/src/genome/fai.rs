//! FASTA indexes (`.fai`): where the bases of each record lie.

mod build;
mod check;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

pub(super) use build::build;
pub(super) use check::check;

use crate::error::Error;

/// A line of a FASTA index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct FaiRecord {
    pub(super) name: String,
    /// In bases.
    pub(super) length: u64,
    /// Where the first base lies in the uncompressed file.
    pub(super) offset: u64,
    /// Bases in a full line; not 0 unless the record is empty.
    pub(super) line_bases: u64,
    /// Bytes in a full line, its line end among them.
    pub(super) line_width: u64,
}

impl FaiRecord {
    /// Where a base (0-based) lies in the uncompressed file.
    pub(super) fn position(&self, base: u64) -> u64 {
        let line = base / self.line_bases;
        self.offset + line * self.line_width + base % self.line_bases
    }

    /// One past where the last base lies.
    pub(super) fn end(&self) -> u64 {
        match self.length.checked_sub(1) {
            Some(last) => self.position(last) + 1,
            None => self.offset,
        }
    }
}

/// The path of the index beside a file.
pub(super) fn path_beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(extension);
    name.into()
}

/// Reads an index.
pub(super) fn read(path: &Path) -> Result<Vec<FaiRecord>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let records = (1..).zip(text.lines()).map(|(line, text)| {
        let malformed = || IndexErrorKind::Malformed { line, found: text.into() };
        parse(text).ok_or_else(|| IndexError { path: path.into(), kind: malformed() }.into())
    });
    records.collect()
}

/// Reads `name`, length, offset, bases a line, bytes a line.
fn parse(line: &str) -> Option<FaiRecord> {
    let mut fields = line.split('\t');
    let name = fields.next().filter(|name| !name.is_empty())?.to_string();
    let mut number = || fields.next()?.parse::<u64>().ok();
    let record = FaiRecord { name, length: number()?, offset: number()?, line_bases: number()?, line_width: number()? };
    let is_sound = record.length == 0 || (record.line_bases > 0 && record.line_width >= record.line_bases);
    // The last position must be a number that exists.
    let lines = record.length.checked_div(record.line_bases).unwrap_or(0);
    let end = lines.checked_mul(record.line_width)?.checked_add(record.offset)?.checked_add(record.line_bases)?;
    (is_sound && end < u64::MAX / 2).then_some(record)
}

/// An index that does not belong to its file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IndexError {
    /// The index.
    pub path: PathBuf,
    /// What is wrong.
    pub kind: IndexErrorKind,
}

/// What is wrong with an index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum IndexErrorKind {
    /// A line is not made of a name and four numbers that agree.
    Malformed {
        /// The line, 1-based.
        line: u64,
        /// Its text.
        found: String,
    },
    /// The file has something else where the index has a contig.
    Stale {
        /// The contig.
        contig: String,
    },
    /// The file has records behind the index's last one.
    Short {
        /// The index's last contig.
        last: String,
    },
    /// The index has no contig.
    Empty,
    /// The index of blocks leads to places where no block starts.
    Blocks,
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.kind {
            IndexErrorKind::Malformed { line, found } => {
                write!(
                    f,
                    "line {line}: expected a name, length, offset, bases a line and bytes a line, found {found:?}"
                )?;
            }
            IndexErrorKind::Stale { contig } => {
                write!(f, "stale index: expected contig {contig:?} where the index has it, found something else")?;
            }
            IndexErrorKind::Short { last } => {
                write!(f, "short index: expected the end of the file behind {last:?}, found more")?;
            }
            IndexErrorKind::Empty => f.write_str("short index: expected a contig, found none")?,
            IndexErrorKind::Blocks => {
                f.write_str("stale index: expected blocks of the file where it leads, found something else")?
            }
        }
        f.write_str("; remove it or make it again with samtools faidx")
    }
}

impl std::error::Error for IndexError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let record = parse("chr1\t8\t6\t5\t6").unwrap();
        assert_eq!(record.name, "chr1");
        assert_eq!([0, 4, 5, 7].map(|base| record.position(base)), [6, 10, 12, 14]);
        assert_eq!(record.end(), 15);
        assert_eq!(parse("empty\t0\t7\t0\t0").unwrap().end(), 7);
    }

    #[test]
    fn a_line_that_cannot_be_is_refused() {
        for line in [
            "",
            "a",
            "a\t1\t2\t3",
            "a\tx\t2\t3\t4",
            "a\t1\t2\t0\t1",
            "a\t1\t2\t5\t4",
            "\t1\t2\t3\t4",
            "a\t18446744073709551615\t2\t1\t2",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }
}
