use std::{
    error, fmt, io,
    path::{Path, PathBuf},
};

use crate::contig::ContigError;

/// A BED file that cannot be used.
#[derive(Debug)]
pub struct BedError {
    path: PathBuf,
    line: Option<u64>,
    kind: BedErrorKind,
}

/// What is wrong with a BED file.
#[derive(Debug)]
pub enum BedErrorKind {
    /// The file cannot be read.
    Io(io::Error),
    /// A line is longer than any should be.
    TooLong {
        /// Bytes of the longest line that is read.
        longest: u64,
    },
    /// A line is not UTF-8 text.
    NotText,
    /// A line has fewer than the three required columns.
    TooFewColumns {
        /// How many it has.
        found: usize,
    },
    /// A position is not a whole number, 0 or more.
    NotANumber {
        /// The column: `start` or `end`.
        column: &'static str,
        /// Its text.
        found: String,
    },
    /// The contig is unknown, or its name fits two contigs.
    Contig(ContigError),
    /// The start is not before the end.
    Empty {
        /// The contig, as the BED file names it.
        contig: String,
        /// 0-based start.
        start: u64,
        /// 0-based, exclusive end.
        end: u64,
    },
    /// The end lies past the contig's end.
    PastEnd {
        /// The contig, as the BED file names it.
        contig: String,
        /// The contig's length in bases.
        length: u64,
        /// 0-based, exclusive end.
        end: u64,
    },
    /// The name holds a control character.
    ControlInName {
        /// Its text.
        found: String,
    },
    /// The strand is none of `+`, `-` and `.`.
    Strand {
        /// Its text.
        found: String,
    },
}

impl BedError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self { path: path.into(), line: None, kind: BedErrorKind::Io(source) }
    }

    pub(super) fn line(path: &Path, line: u64, kind: BedErrorKind) -> Self {
        Self { path: path.into(), line: Some(line), kind }
    }

    /// What is wrong.
    pub fn kind(&self) -> &BedErrorKind {
        &self.kind
    }
}

impl fmt::Display for BedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let BedErrorKind::Io(_) = self.kind {
            return write!(f, "cannot read {}", self.path.display());
        }
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        match &self.kind {
            BedErrorKind::Contig(_) => Ok(()),
            kind => write!(f, ": {kind}"),
        }
    }
}

impl error::Error for BedError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.kind {
            BedErrorKind::Io(source) => Some(source),
            BedErrorKind::Contig(source) => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for BedErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("cannot be read"),
            Self::TooLong { longest } => write!(f, "expected a line of at most {longest} bytes, found a longer one"),
            Self::NotText => write!(f, "expected text, found bytes that are not UTF-8"),
            Self::TooFewColumns { found } => {
                write!(f, "expected at least 3 columns, found {found}")
            }
            Self::NotANumber { column, found } => {
                write!(f, "expected a number as {column}, found {found:?}")
            }
            Self::Contig(_) => f.write_str("expected the name of a contig, found another"),
            Self::Empty { contig, start, end } => write!(
                f,
                "interval of contig {contig:?} holds no base: expected start < end, found start {start}, end {end}"
            ),
            Self::PastEnd { contig, length, end } => write!(
                f,
                "interval ends past the end of contig {contig:?}: expected an end of at most {length}, found {end}"
            ),
            Self::ControlInName { found } => {
                write!(f, "expected a name without control characters, found {found:?}")
            }
            Self::Strand { found } => {
                write!(f, "expected a strand of +, - or ., found {found:?}")
            }
        }
    }
}
