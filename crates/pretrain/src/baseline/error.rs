use std::{error::Error, fmt, path::PathBuf};

use longstrand_seq::{bed::BedError, region::RegionError};

use super::Neighbours;

/// A Markov model cannot be counted.
#[derive(Debug)]
pub enum BaselineError {
    /// These are no neighbours, or too many.
    Neighbours {
        /// What was asked for.
        found: String,
    },
    /// The genome cannot be read.
    Genome(longstrand_seq::Error),
    /// A BED file cannot be read.
    Bed(BedError),
    /// A region is none of the genome.
    Region {
        /// The genome.
        path: PathBuf,
        /// What is wrong.
        error: RegionError,
    },
    /// There is nothing to count.
    NoBases {
        /// The genome.
        path: PathBuf,
    },
    /// The watch stopped the run.
    Cancelled,
}

impl fmt::Display for BaselineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Neighbours { found } => write!(
                f,
                "expected a number of neighbours from 0 to {} on the left (5), or from 0 to {most} on both sides \
                 ({most}+{most}), found {found}",
                Neighbours::MOST_LEFT,
                most = Neighbours::MOST_BOTH,
            ),
            Self::Genome(error) => error.fmt(f),
            Self::Bed(error) => error.fmt(f),
            Self::Region { path, error } => write!(f, "{}: {error}", path.display()),
            Self::NoBases { path } => write!(f, "{}: expected bases to count, found none", path.display()),
            Self::Cancelled => f.write_str("stopped"),
        }
    }
}

impl Error for BaselineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Genome(error) => error.source(),
            Self::Bed(error) => error.source(),
            Self::Region { error, .. } => error.source(),
            _ => None,
        }
    }
}

impl From<longstrand_seq::Error> for BaselineError {
    fn from(error: longstrand_seq::Error) -> Self {
        Self::Genome(error)
    }
}

impl From<BedError> for BaselineError {
    fn from(error: BedError) -> Self {
        Self::Bed(error)
    }
}
