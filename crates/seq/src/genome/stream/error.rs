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
    /// A header is not UTF-8.
    NameNotUtf8,
    /// A header has a carriage return inside: the file's lines do not end in LF or CRLF.
    CarriageReturn,
    /// A byte in a sequence is no base.
    InvalidBase {
        /// The byte.
        byte: u8,
    },
}

impl fmt::Display for FastaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        if self.kind == FastaErrorKind::NoRecord {
            return f.write_str("empty FASTA: there is no record");
        }
        if let Some(record) = &self.record {
            write!(f, "record `{record}`, ")?;
        }
        write!(f, "line {}: {}", self.line, self.kind)
    }
}

impl fmt::Display for FastaErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecord => f.write_str("expected a record, found none"),
            Self::SequenceBeforeHeader => f.write_str("expected a header (`>`), found sequence before the first one"),
            Self::NotFasta { found } => write!(f, "not FASTA: expected a header (`>`), found {found:?}"),
            Self::NoName => f.write_str("expected a name after `>`, found none"),
            Self::NameNotUtf8 => f.write_str("expected a header in UTF-8, found other bytes"),
            Self::CarriageReturn => {
                f.write_str("expected lines that end in LF or CRLF, found a carriage return inside a header")
            }
            Self::InvalidBase { byte } if byte.is_ascii_graphic() || *byte == b' ' => {
                write!(f, "expected bases, found `{}`", char::from(*byte))
            }
            Self::InvalidBase { byte } => write!(f, "expected bases, found byte 0x{byte:02x}"),
        }
    }
}

impl std::error::Error for FastaError {}
