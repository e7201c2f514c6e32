use std::{error, fmt};

use super::{GenomeWindows, StreamWindows, Window, WindowCounts};
use crate::{
    error::Error,
    reads::{ReadError, ReadWindows},
};

/// Where windows come from; yields them in the order of their ordinals and ends after the first error.
// One of these exists in a run, so the size of the largest kind does no harm.
#[expect(clippy::large_enum_variant)]
pub enum WindowSource {
    /// A plan over a genome with random access.
    Genome(GenomeWindows),
    /// Whole contigs of a FASTA stream.
    Stream(StreamWindows),
    /// Reads of a BAM or CRAM file.
    Reads(ReadWindows),
}

impl WindowSource {
    /// What was given and left out so far; for reads, [`ReadWindows::counts`] tells more.
    pub fn counts(&self) -> WindowCounts {
        match self {
            Self::Genome(windows) => windows.counts(),
            Self::Stream(windows) => windows.counts(),
            Self::Reads(windows) => windows.counts().windows(),
        }
    }
}

impl Iterator for WindowSource {
    type Item = Result<Window, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Genome(windows) => windows.next(),
            Self::Stream(windows) => windows.next(),
            Self::Reads(windows) => windows.next().map(|window| Ok(window?)),
        }
    }
}

/// Why a source of windows ended early.
#[derive(Debug)]
pub enum SourceError {
    /// The genome or the FASTA stream cannot be read.
    Genome(Error),
    /// The reads cannot be read.
    Reads(ReadError),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Genome(e) => e.fmt(f),
            Self::Reads(e) => e.fmt(f),
        }
    }
}

impl error::Error for SourceError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Genome(e) => e.source(),
            Self::Reads(e) => e.source(),
        }
    }
}

impl From<Error> for SourceError {
    fn from(error: Error) -> Self {
        Self::Genome(error)
    }
}

impl From<ReadError> for SourceError {
    fn from(error: ReadError) -> Self {
        Self::Reads(error)
    }
}
