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
    /// A record cannot be read where the index says that there is one.
    ThroughIndex {
        /// The path of the index.
        index: PathBuf,
        /// What is wrong.
        error: Box<VariantErrorKind>,
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
        self.kind.describe(&self.path, f)
    }
}

impl VariantErrorKind {
    /// Says what is wrong with the file at `path`.
    fn describe(&self, path: &Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = path.display();
        match self {
            Self::Read(_) => write!(f, "cannot read {shown}"),
            Self::Write(_) => write!(f, "cannot write {shown}"),
            Self::Truncated(_) => write!(f, "{shown}: the file is truncated"),
            Self::Format { found } => write!(f, "{shown}: expected VCF or BCF, found {found}"),
            Self::Header(error) => write!(f, "{shown}: {error}"),
            Self::Record(error) => write!(f, "{shown}: {error}"),
            Self::NotSearchable { found } => {
                write!(f, "{shown}: regions need bgzip and an index, found {found}")
            }
            Self::NoIndex { index } => {
                write!(f, "{shown}: regions need an index: there is no {}", index.display())
            }
            Self::Index { index, .. } => write!(f, "{shown}: cannot use the index {}", index.display()),
            Self::ThroughIndex { index, error } => {
                error.describe(path, f)?;
                write!(f, "; is {} the index of this very file?", index.display())
            }
            Self::Region(error) => write!(f, "{shown}: {error}"),
            Self::Stream => {
                write!(f, "{shown}: the records of a stream cannot be counted before they are read")
            }
            Self::Exists => write!(f, "{shown} exists; --force replaces it"),
            Self::NotRegular => write!(f, "{shown} exists and is not a file"),
            Self::NoFolder => write!(f, "{shown}: there is no such folder to write into"),
        }
    }

    /// What the system, or a part of this library, says.
    fn cause(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(source) | Self::Write(source) | Self::Truncated(source) | Self::Index { source, .. } => {
                Some(source)
            }
            Self::ThroughIndex { error, .. } => error.cause(),
            Self::Region(error) => error.source(),
            _ => None,
        }
    }
}

impl Error for VariantError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.kind.cause()
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
