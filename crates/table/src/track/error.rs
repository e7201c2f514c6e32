//! What can go wrong while a track is written.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::TableError;

/// A track that could not be written.
#[derive(Debug)]
pub enum TrackError {
    /// The output could not be opened, written or finished.
    Output(TableError),
    /// The values cannot be a track.
    Flaw {
        /// The track.
        path: PathBuf,
        /// What is wrong with them.
        flaw: TrackFlaw,
    },
}

/// Values that cannot be a track.
#[derive(Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TrackFlaw {
    /// A contig comes a second time.
    Twice {
        /// Its name.
        contig: String,
    },
    /// A contig is longer than a bigWig can tell.
    TooLong {
        /// Its name.
        contig: String,
        /// Its bases.
        length: u64,
    },
    /// Values of bases that are behind the contig's end.
    Outside {
        /// Name of the contig.
        contig: String,
        /// Its bases.
        length: u64,
        /// End of the bases with values, 0-based, half-open.
        end: u64,
    },
    /// Values of bases before the end of those that came earlier.
    Backwards {
        /// Name of the contig.
        contig: String,
        /// End of the bases that came earlier, 0-based, half-open.
        expected: u64,
        /// First base of those that came later, 0-based.
        found: u64,
    },
}

impl TrackFlaw {
    pub(super) fn of(self, path: &Path) -> TrackError {
        TrackError::Flaw { path: path.to_path_buf(), flaw: self }
    }
}

impl From<TableError> for TrackError {
    fn from(error: TableError) -> Self {
        Self::Output(error)
    }
}

impl fmt::Display for TrackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(error) => error.fmt(f),
            Self::Flaw { path, flaw } => write!(f, "{}: {flaw}", path.display()),
        }
    }
}

impl fmt::Display for TrackFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice { contig } => write!(f, "{contig}: expected each contig once, found it again"),
            Self::TooLong { contig, length } => {
                write!(f, "{contig}: expected at most {} bases, found {length}", u32::MAX)
            }
            Self::Outside { contig, length, end } => {
                write!(f, "{contig}: expected values of {length} bases, found one of base {end}")
            }
            Self::Backwards { contig, expected, found } => {
                write!(f, "{contig}: expected values from position {expected} (0-based) on, found {found}")
            }
        }
    }
}

impl Error for TrackError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Output(error) => error.source(),
            Self::Flaw { .. } => None,
        }
    }
}
