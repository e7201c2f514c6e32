//! What can go wrong while variants are read or written.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

use super::HeaderError;
use crate::region::RegionError;

/// Variants cannot be read or written.
#[derive(Debug)]
pub struct VariantError {
    /// The file; `-` is standard input or output.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: VariantErrorKind,
}

/// What is wrong with a file of variants.
#[derive(Debug)]
pub enum VariantErrorKind {
    /// It cannot be opened or read.
    Read(io::Error),
    /// It cannot be created or written.
    Write(io::Error),
    /// It ends early.
    Truncated(io::Error),
    /// It is neither VCF nor BCF.
    Format {
        /// What it is.
        found: &'static str,
    },
    /// Its header is no header of VCF.
    Header(HeaderError),
    /// A record cannot be read, or cannot be written.
    Record(RecordError),
    /// Regions are asked for of something that cannot be searched.
    NotSearchable {
        /// What it is.
        found: &'static str,
    },
    /// Regions are asked for and there is no index.
    NoIndex {
        /// The path of the index that would do.
        index: PathBuf,
    },
    /// The index cannot be read, or is of another file.
    Index {
        /// The path of the index.
        index: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A region names no interval.
    Region(RegionError),
    /// The records of a stream are to be counted, which would use them up.
    Stream,
    /// The output exists and is not to be replaced.
    Exists,
    /// The output's name is taken by something other than a file.
    NotRegular,
    /// The folder that is to hold the output does not exist.
    NoFolder,
}

impl VariantError {
    pub(super) fn new(path: &Path, kind: VariantErrorKind) -> Self {
        Self { path: path.to_path_buf(), kind }
    }

    /// An error of a reader: input that ends inside a block or a record counts as truncated.
    pub(super) fn reading(path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::UnexpectedEof => VariantErrorKind::Truncated(source),
            _ => VariantErrorKind::Read(source),
        };
        Self::new(path, kind)
    }

    pub(super) fn record(path: &Path, error: RecordError) -> Self {
        Self::new(path, VariantErrorKind::Record(error))
    }

    pub(super) fn writing(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::new(&path, VariantErrorKind::Write(source))
    }
}

impl fmt::Display for VariantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            VariantErrorKind::Read(_) => write!(f, "cannot read {path}"),
            VariantErrorKind::Write(_) => write!(f, "cannot write {path}"),
            VariantErrorKind::Truncated(_) => write!(f, "{path}: the file is truncated"),
            VariantErrorKind::Format { found } => write!(f, "{path}: expected VCF or BCF, found {found}"),
            VariantErrorKind::Header(error) => write!(f, "{path}: {error}"),
            VariantErrorKind::Record(error) => write!(f, "{path}: {error}"),
            VariantErrorKind::NotSearchable { found } => {
                write!(f, "{path}: regions need bgzip and an index, found {found}")
            }
            VariantErrorKind::NoIndex { index } => {
                write!(f, "{path}: regions need an index: there is no {}", index.display())
            }
            VariantErrorKind::Index { index, .. } => write!(f, "{path}: cannot use the index {}", index.display()),
            VariantErrorKind::Region(error) => write!(f, "{path}: {error}"),
            VariantErrorKind::Stream => {
                write!(f, "{path}: the records of a stream cannot be counted before they are read")
            }
            VariantErrorKind::Exists => write!(f, "{path} exists already"),
            VariantErrorKind::NotRegular => write!(f, "{path} exists and is not a file"),
            VariantErrorKind::NoFolder => write!(f, "{path}: there is no such folder to write into"),
        }
    }
}

impl Error for VariantError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            VariantErrorKind::Read(source)
            | VariantErrorKind::Write(source)
            | VariantErrorKind::Truncated(source)
            | VariantErrorKind::Index { source, .. } => Some(source),
            VariantErrorKind::Region(error) => error.source(),
            _ => None,
        }
    }
}

/// Which of a file's records is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// The line of a text, 1-based.
    Line(u64),
    /// The record of a BCF file, 1-based.
    Record(u64),
    /// The record among those that lie in the regions, 1-based.
    InRegions(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(n) => write!(f, "line {n}"),
            Self::Record(n) => write!(f, "record {n}"),
            Self::InRegions(n) => write!(f, "record {n} of the regions"),
        }
    }
}

/// A record is not what VCF says a record is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordError {
    /// Which record.
    pub place: Place,
    /// `contig:position` (1-based), as far as it is known.
    pub locus: Option<String>,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl RecordError {
    pub(super) fn new(place: Place, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { place, locus: None, expected: expected.into(), found: found.into() }
    }

    pub(super) fn at(self, contig: &str, position: &str) -> Self {
        Self { locus: Some(format!("{contig}:{position}")), ..self }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(locus) = &self.locus {
            write!(f, "{locus}: ")?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

impl Error for RecordError {}

/// A few bytes of a file in a message.
pub(super) fn shown(bytes: &[u8]) -> String {
    const LONGEST: usize = 40;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
    if bytes.len() > LONGEST { format!("{text:?}…") } else { format!("{text:?}") }
}
