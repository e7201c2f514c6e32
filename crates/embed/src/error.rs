//! What can go wrong.

use std::error::Error;
use std::path::PathBuf;
use std::{fmt, io};

use longstrand_model::EngineError;
use longstrand_seq::bed::BedError;
use longstrand_seq::reads::ReadError;
use longstrand_seq::region::RegionError;
use longstrand_seq::window::{PlanError, Shard, SourceError};
use longstrand_table::TableError;

/// Options that do not go together or do not go with the input or the model.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UsageError(String);

impl UsageError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for UsageError {}

/// Why nothing was embedded.
#[derive(Debug)]
pub enum EmbedError {
    /// Options that do not go together.
    Usage(UsageError),
    /// The input cannot be read.
    Source(SourceError),
    /// A region string names no interval.
    Region(RegionError),
    /// A BED file cannot be used.
    Bed(BedError),
    /// Windows cannot be laid.
    Plan(PlanError),
    /// A file's digest cannot be taken.
    Digest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no window to embed.
    NoWindows {
        /// The input.
        path: PathBuf,
        /// What was left out.
        left_out: String,
    },
    /// The output holds another shard.
    OtherShard {
        /// What holds it.
        path: PathBuf,
        /// The shard to be written.
        expected: Shard,
        /// The shard that is there.
        found: Shard,
    },
    /// The output cannot be written.
    Table(TableError),
    /// A device computes nothing, or nothing more.
    Engine(EngineError),
    /// Threads cannot be started.
    Threads(rayon::ThreadPoolBuildError),
    /// The watch stopped the run.
    Cancelled,
}

impl fmt::Display for EmbedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(f),
            Self::Source(error) => error.fmt(f),
            Self::Region(error) => error.fmt(f),
            Self::Bed(error) => error.fmt(f),
            Self::Plan(error) => error.fmt(f),
            Self::Digest { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::NoWindows { path, left_out } => {
                write!(f, "{}: expected at least one window, found none{left_out}", path.display())
            }
            Self::OtherShard { path, expected, found } => write!(
                f,
                "{}: expected shard {expected} or nothing, found shard {found}; each shard needs an output of its own \
                 (--force would replace the one that is there)",
                path.display()
            ),
            Self::Table(error) => error.fmt(f),
            Self::Engine(error) => error.fmt(f),
            Self::Threads(_) => f.write_str("cannot start threads"),
            Self::Cancelled => f.write_str("interrupted"),
        }
    }
}

impl Error for EmbedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Source(error) => error.source(),
            Self::Region(error) => error.source(),
            Self::Bed(error) => error.source(),
            Self::Table(error) => error.source(),
            Self::Digest { source, .. } => Some(source),
            Self::Threads(source) => Some(source),
            Self::Usage(_)
            | Self::Plan(_)
            | Self::NoWindows { .. }
            | Self::OtherShard { .. }
            | Self::Engine(_)
            | Self::Cancelled => None,
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),+) => {
        $(impl From<$type> for EmbedError {
            fn from(error: $type) -> Self {
                Self::$variant(error)
            }
        })+
    };
}

from!(
    UsageError => Usage,
    SourceError => Source,
    RegionError => Region,
    BedError => Bed,
    TableError => Table,
    EngineError => Engine
);

impl From<longstrand_seq::Error> for EmbedError {
    fn from(error: longstrand_seq::Error) -> Self {
        Self::Source(error.into())
    }
}

impl From<ReadError> for EmbedError {
    fn from(error: ReadError) -> Self {
        Self::Source(error.into())
    }
}

impl From<PlanError> for EmbedError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Stride | PlanError::Limit(_) | PlanError::Padding { .. } => {
                Self::Usage(UsageError::new(error.to_string()))
            }
            error => Self::Plan(error),
        }
    }
}
