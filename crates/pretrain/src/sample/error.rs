use std::fmt;

use crate::{source::SourceError, split::ROW};

/// Windows cannot be drawn.
#[derive(Debug)]
pub enum SampleError {
    /// No window of the length lies in a split.
    NoWindow {
        /// The length in bases.
        length: u64,
        /// Bases that are there, in shorter pieces.
        bases: u64,
    },
    /// In the compatible reading of a split, the length does not divide a row.
    RowLength {
        /// The length in bases.
        length: u64,
    },
    /// Every window that was tried may not be taken or has too many bases other than A, C, G and T.
    Attempts {
        /// The step, 0-based.
        step: u64,
        /// The window's place in the step's batch, 0-based.
        index: u32,
        /// The length in bases.
        length: u64,
        /// How many windows were tried.
        attempts: u64,
    },
    /// A genome cannot be read.
    Source(SourceError),
}

impl fmt::Display for SampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWindow { length, bases } => write!(
                f,
                "expected intervals of at least {length} bases to draw windows from, found {bases} bases in shorter ones"
            ),
            Self::RowLength { length } => write!(
                f,
                "the compatible reading of a split cuts rows of {ROW} bases: expected a window length that divides it, \
                 found {length}"
            ),
            Self::Attempts { step, index, length, attempts } => write!(
                f,
                "step {step}, window {index}: {attempts} windows of {length} bases were tried and none may be taken; \
                 almost all have too many bases other than A, C, G and T, or lie outside of what is included"
            ),
            Self::Source(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SampleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Source(error) => error.source(),
            _ => None,
        }
    }
}

impl From<SourceError> for SampleError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}
