use std::{
    error, fmt, io,
    path::{Path, PathBuf},
};

use crate::contig::ContigError;

/// A table of labelled sequences that cannot be used.
#[derive(Debug)]
pub struct LabelledError {
    path: PathBuf,
    line: Option<u64>,
    kind: LabelledErrorKind,
}

/// What is wrong with a table.
#[derive(Debug)]
pub enum LabelledErrorKind {
    /// The file cannot be read.
    Io(io::Error),
    /// There is no line.
    NoHeader,
    /// There is nothing behind the header.
    NoRows,
    /// A line is longer than any should be.
    TooLong {
        /// Bytes of the longest line that is read.
        longest: u64,
    },
    /// A line is not UTF-8 text.
    NotText,
    /// The header lacks a column.
    NoColumn {
        /// Its name.
        name: &'static str,
        /// The names that are there.
        found: String,
        /// Whether bases were to be read from a genome.
        of_genome: bool,
    },
    /// Two columns go by the same name.
    TwoColumns {
        /// The name.
        name: &'static str,
    },
    /// A line has another number of fields than the header.
    Fields {
        /// Those of the header.
        expected: usize,
        /// Those of the line.
        found: usize,
    },
    /// The label is empty.
    NoLabel,
    /// The sequence is empty.
    NoBases,
    /// The sequence holds something that is no base.
    Base {
        /// Its place in the sequence, from 1.
        position: u64,
        /// What stands there.
        found: char,
    },
    /// A position is not a whole number, 0 or more.
    NotANumber {
        /// The column: `start` or `end`.
        column: &'static str,
        /// Its text.
        found: String,
    },
    /// The start is not before the end.
    Empty {
        /// The contig, as the table names it.
        contig: String,
        /// 0-based start.
        start: u64,
        /// 0-based, exclusive end.
        end: u64,
    },
    /// The contig is unknown, or its name fits two contigs.
    Contig(ContigError),
    /// The end lies past the contig's end.
    PastEnd {
        /// The contig, as the table names it.
        contig: String,
        /// The contig's length in bases.
        length: u64,
        /// 0-based, exclusive end.
        end: u64,
    },
    /// The strand is none of `+`, `-` and `.`.
    Strand {
        /// Its text.
        found: String,
    },
    /// The genome's bases cannot be read.
    Genome(Box<crate::Error>),
}

impl LabelledError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::whole(path, LabelledErrorKind::Io(source))
    }

    pub(super) fn whole(path: &Path, kind: LabelledErrorKind) -> Self {
        Self { path: path.into(), line: None, kind }
    }

    pub(super) fn at(path: &Path, line: u64, kind: LabelledErrorKind) -> Self {
        Self { path: path.into(), line: Some(line), kind }
    }

    /// What is wrong.
    pub fn kind(&self) -> &LabelledErrorKind {
        &self.kind
    }
}

impl fmt::Display for LabelledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let LabelledErrorKind::Io(_) = self.kind {
            return write!(f, "cannot read {}", self.path.display());
        }
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        match &self.kind {
            LabelledErrorKind::Contig(_) | LabelledErrorKind::Genome(_) => Ok(()),
            kind => write!(f, ": {kind}"),
        }
    }
}

impl error::Error for LabelledError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.kind {
            LabelledErrorKind::Io(source) => Some(source),
            LabelledErrorKind::Contig(source) => Some(source),
            LabelledErrorKind::Genome(source) => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for LabelledErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("cannot be read"),
            Self::NoHeader => f.write_str("expected a header, found no line"),
            Self::NoRows => f.write_str("expected sequences, found none"),
            Self::TooLong { longest } => write!(f, "expected a line of at most {longest} bytes, found a longer one"),
            Self::NotText => f.write_str("expected text, found bytes that are not UTF-8"),
            Self::NoColumn { name, found, of_genome } => {
                write!(f, "expected a column {name:?}, found {found}")?;
                if *name == "sequence" && !of_genome {
                    f.write_str("; for intervals give a genome")?;
                }
                Ok(())
            }
            Self::TwoColumns { name } => write!(f, "expected one column {name:?}, found two"),
            Self::Fields { expected, found } => {
                write!(f, "expected {expected} fields, as many as the header has, found {found}")
            }
            Self::NoLabel => f.write_str("expected a label, found none"),
            Self::NoBases => f.write_str("expected a sequence, found none"),
            Self::Base { position, found } => {
                write!(f, "expected a base at position {position} of the sequence, found {found:?}")
            }
            Self::NotANumber { column, found } => write!(f, "expected a number as {column}, found {found:?}"),
            Self::Empty { contig, start, end } => write!(
                f,
                "interval of contig {contig:?} holds no base: expected start < end, found start {start}, end {end}"
            ),
            Self::Contig(_) => f.write_str("expected the name of a contig, found another"),
            Self::PastEnd { contig, length, end } => write!(
                f,
                "interval ends past the end of contig {contig:?}: expected an end of at most {length}, found {end}"
            ),
            Self::Strand { found } => write!(f, "expected a strand of +, - or ., found {found:?}"),
            Self::Genome(_) => f.write_str("cannot read its bases"),
        }
    }
}
