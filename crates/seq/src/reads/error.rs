use std::{
    error, fmt, io,
    path::{Path, PathBuf},
};

use crate::{contig::ContigError, input::InputKind};

/// A file of reads that cannot be used.
#[derive(Debug)]
pub struct ReadError {
    path: PathBuf,
    kind: ReadErrorKind,
}

/// What is wrong with a file of reads.
#[derive(Debug)]
pub enum ReadErrorKind {
    /// The file cannot be read.
    Io(io::Error),
    /// The file is neither BAM nor CRAM.
    Format(InputKind),
    /// The header cannot be read.
    Header(io::Error),
    /// The header lists a contig twice.
    Contigs(ContigError),
    /// The file ends early: within a record, or without the marker that ends every whole file.
    Truncated,
    /// A record cannot be read.
    Record {
        /// Its ordinal among the records that were read; 1-based.
        record: u64,
        /// Why.
        source: io::Error,
    },
    /// The index cannot be read.
    Index {
        /// The index file.
        index: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The index is not a whole index of the file. The error's path is the index.
    DamagedIndex,
    /// A stream was to be read twice, as a sharded run must.
    Stream,
    /// The program was built without CRAM.
    NoCram,
}

impl ReadError {
    pub(super) fn new(path: &Path, kind: ReadErrorKind) -> Self {
        Self { path: path.into(), kind }
    }

    /// An error at a record: a file that ends within it is truncated.
    pub(crate) fn record(path: &Path, record: u64, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::UnexpectedEof => ReadErrorKind::Truncated,
            _ => ReadErrorKind::Record { record, source },
        };
        Self::new(path, kind)
    }

    /// An error in an index: where it is the bytes that are wrong, it is to be made again.
    pub(super) fn index(path: &Path, index: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::new(&index, ReadErrorKind::DamagedIndex),
            _ => Self::new(path, ReadErrorKind::Index { index, source }),
        }
    }

    /// What is wrong.
    pub fn kind(&self) -> &ReadErrorKind {
        &self.kind
    }
}

impl ReadErrorKind {
    /// An error in the header: a file that ends within it is truncated.
    pub(super) fn header(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Header(source),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ReadErrorKind::Io(_) => write!(f, "cannot read {}", self.path.display()),
            kind => write!(f, "{}: {kind}", self.path.display()),
        }
    }
}

impl error::Error for ReadError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.kind {
            ReadErrorKind::Io(source) | ReadErrorKind::Header(source) => Some(source),
            ReadErrorKind::Record { source, .. } | ReadErrorKind::Index { source, .. } => Some(source),
            ReadErrorKind::Contigs(source) => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for ReadErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("cannot be read"),
            Self::Format(found) => write!(f, "expected BAM or CRAM, found {found}"),
            Self::Header(_) => f.write_str("the header cannot be read"),
            Self::Contigs(_) => f.write_str("the header cannot be used"),
            Self::Truncated => {
                f.write_str("the file is truncated: expected an end-of-file marker, found the end of the file")
            }
            Self::Record { record, .. } => write!(f, "record {record} cannot be read"),
            Self::Index { index, .. } => write!(f, "its index {} cannot be read", index.display()),
            Self::DamagedIndex => f.write_str("damaged index; remove it or make it again with samtools index"),
            Self::Stream => f.write_str("a shard needs its reads counted first: expected a file, found a stream"),
            Self::NoCram => f.write_str("expected a build with the feature cram, found one that does not read CRAM"),
        }
    }
}
