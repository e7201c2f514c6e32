use std::{fmt, path::PathBuf};

/// A file that is no sound FASTA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FastaError {
    /// The file; `-` is standard input.
    pub path: PathBuf,
    /// The record that was being read, when there was one.
    pub record: Option<String>,
    /// The line, 1-based.
    pub line: u64,
    /// What is wrong.
    pub kind: FastaErrorKind,
}

/// What is wrong with a FASTA file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FastaErrorKind {
    /// The file has no record.
    NoRecord,
    /// Bases stand before the first header.
    SequenceBeforeHeader,
    /// The first line is no header.
    NotFasta {
        /// How that line begins.
        found: String,
    },
    /// A header has no name.
    NoName,
    /// A name is not UTF-8.
    NameNotUtf8 {
        /// The name, with a mark in place of what is not.
        found: String,
    },
    /// A header or a comment is longer than any should be.
    TooLong {
        /// Bytes of the longest line that is read.
        longest: usize,
    },
    /// A header has a carriage return inside: the file's lines do not end in LF or CRLF.
    CarriageReturn,
    /// A byte in a sequence is no nucleotide code.
    InvalidBase {
        /// The byte.
        byte: u8,
    },
}

impl fmt::Display for FastaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        if self.kind == FastaErrorKind::NoRecord {
            return f.write_str("empty FASTA: expected a record, found none");
        }
        if let Some(record) = &self.record {
            write!(f, "record {record:?}, ")?;
        }
        write!(f, "line {}: {}", self.line, self.kind)
    }
}

impl fmt::Display for FastaErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecord => f.write_str("expected a record, found none"),
            Self::SequenceBeforeHeader => f.write_str("expected a header (\">\"), found sequence before the first one"),
            Self::NotFasta { found } => write!(f, "not FASTA: expected a header (\">\"), found {found:?}"),
            Self::NoName => f.write_str("expected a name after \">\", found none"),
            Self::NameNotUtf8 { found } => write!(f, "expected a name in UTF-8, found {found:?}"),
            Self::TooLong { longest } => {
                write!(f, "expected a header or comment of at most {longest} bytes, found a longer one")
            }
            Self::CarriageReturn => {
                f.write_str("expected lines that end in LF or CRLF, found a carriage return inside a header")
            }
            Self::InvalidBase { byte } if byte.is_ascii_graphic() || *byte == b' ' => {
                write!(f, "expected IUPAC nucleotide codes, found {:?}", char::from(*byte).to_string())
            }
            Self::InvalidBase { byte } => write!(f, "expected IUPAC nucleotide codes, found byte 0x{byte:02x}"),
        }
    }
}

impl std::error::Error for FastaError {}
