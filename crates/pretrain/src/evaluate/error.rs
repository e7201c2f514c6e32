use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use longstrand_model::{EngineError, TokenFileError};
use longstrand_seq::bed::BedError;
use longstrand_seq::region::RegionError;
use longstrand_seq::window::{PlanError, SourceError};
use rayon::ThreadPoolBuildError;

use super::Halt;
use crate::baseline::BaselineError;
use crate::objective::ObjectiveError;

/// Why nothing was measured.
#[derive(Debug)]
pub enum EvaluateError {
    /// What was asked for makes no sense with this model.
    Usage(String),
    /// The genome cannot be read.
    Genome(Box<longstrand_seq::Error>),
    /// Windows cannot be read.
    Windows(Box<SourceError>),
    /// Windows cannot be laid.
    Plan(Box<PlanError>),
    /// A region is none of the genome.
    Region {
        /// The genome.
        path: PathBuf,
        /// What is wrong.
        error: Box<RegionError>,
    },
    /// A BED file cannot be read.
    Bed(Box<BedError>),
    /// A file of tokens cannot be read.
    Tokens(Box<TokenFileError>),
    /// Bases cannot be hidden so.
    Objective(ObjectiveError),
    /// A Markov model cannot be counted.
    Baseline(Box<BaselineError>),
    /// There is nothing to predict.
    NoWindows {
        /// The genome.
        path: PathBuf,
        /// Bases of a window.
        length: u64,
        /// How many windows were left out.
        left_out: u64,
    },
    /// No window has a target.
    NoTargets {
        /// The genome, or the file of tokens.
        path: PathBuf,
        /// How many windows there are.
        windows: u64,
    },
    /// A device computes nothing, or nothing more.
    Engine(EngineError),
    /// The system does not give threads.
    Threads(ThreadPoolBuildError),
    /// The watch stopped the run.
    Cancelled,
}

impl fmt::Display for EvaluateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::Genome(error) => error.fmt(f),
            Self::Windows(error) => error.fmt(f),
            Self::Plan(error) => error.fmt(f),
            Self::Region { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Bed(error) => error.fmt(f),
            Self::Tokens(error) => error.fmt(f),
            Self::Objective(error) => error.fmt(f),
            Self::Baseline(error) => error.fmt(f),
            Self::NoTargets { path, windows } => {
                write!(f, "{}: expected bases to predict, found none in {windows} windows", path.display())
            }
            Self::NoWindows { path, length, left_out } => write!(
                f,
                "{}: expected a window of {length} bases, found none; {left_out} were too short or too ambiguous",
                path.display()
            ),
            Self::Engine(error) => error.fmt(f),
            Self::Threads(_) => f.write_str("cannot start threads"),
            Self::Cancelled => f.write_str("stopped"),
        }
    }
}

impl Error for EvaluateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Genome(error) => error.source(),
            Self::Windows(error) => error.source(),
            Self::Plan(error) => error.source(),
            Self::Region { error, .. } => error.source(),
            Self::Bed(error) => error.source(),
            Self::Tokens(error) => error.source(),
            Self::Baseline(error) => error.source(),
            Self::Threads(error) => Some(error),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident),* $(,)?) => {$(
        impl From<$source> for EvaluateError {
            fn from(error: $source) -> Self {
                Self::$variant(error.into())
            }
        }
    )*};
}

from! {
    longstrand_seq::Error => Genome,
    SourceError => Windows,
    PlanError => Plan,
    BedError => Bed,
    TokenFileError => Tokens,
    EngineError => Engine,
}

impl From<ObjectiveError> for EvaluateError {
    fn from(error: ObjectiveError) -> Self {
        Self::Objective(error)
    }
}

impl From<BaselineError> for EvaluateError {
    fn from(error: BaselineError) -> Self {
        match error {
            BaselineError::Cancelled => Self::Cancelled,
            error => Self::Baseline(error.into()),
        }
    }
}

impl From<Halt> for EvaluateError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Cancelled => Self::Cancelled,
            Halt::Failed(error) => Self::Engine(error),
            Halt::Threads(error) => Self::Threads(error),
        }
    }
}
