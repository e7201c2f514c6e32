//! What can go wrong with a run.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use longstrand_model::{Difference, EngineError};
use longstrand_seq::region::RegionError;
use longstrand_seq::variant::{Place, VariantError};
use longstrand_table::{TableError, TrackError};
use rayon::ThreadPoolBuildError;

use crate::predictor::Halt;

/// A run that has ended early, or could not begin.
#[derive(Debug)]
pub enum ScoreError {
    /// Options that do not go together, with the input or with the model.
    Usage(String),
    /// The genome cannot be read.
    Genome(longstrand_seq::Error),
    /// A region that the genome does not have.
    Region {
        /// The genome.
        path: PathBuf,
        /// What is wrong with it.
        error: RegionError,
    },
    /// The variants cannot be read, or the annotated ones not written.
    Variants(VariantError),
    /// A table cannot be written.
    Table(TableError),
    /// A track cannot be written.
    Track(TrackError),
    /// A record's REF is not what the reference has.
    ReferenceMismatch {
        /// The variants' file.
        path: PathBuf,
        /// Where the record stands.
        record: Place,
        /// The contig as the record names it.
        contig: String,
        /// The first base that differs, 1-based.
        position: u64,
        /// The reference's bases.
        expected: String,
        /// The record's REF.
        found: String,
    },
    /// A record lies where the reference has no bases.
    NotInReference {
        /// The variants' file.
        path: PathBuf,
        /// Where the record stands.
        record: Place,
        /// The contig as the record names it.
        contig: String,
        /// The record's position, 1-based.
        position: u64,
        /// What the reference has instead.
        found: String,
    },
    /// A record is on a contig that a header of VCF cannot declare.
    ContigName {
        /// The variants' file.
        path: PathBuf,
        /// The contig as the record names it.
        name: String,
    },
    /// An INFO field of the variants has the key of one that is to be written, and is not ours.
    ForeignInfo {
        /// The variants' file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A symbolic allele ends where the reference has no bases.
    EndBeyondReference {
        /// The variants' file.
        path: PathBuf,
        /// Where the record stands.
        record: Place,
        /// The contig as the record names it.
        contig: String,
        /// The record's position, 1-based.
        position: u64,
        /// The last base that the reference has there, 1-based.
        length: u64,
        /// The last base that the allele replaces, 1-based, by END or SVLEN.
        end: u64,
    },
    /// An input's digest cannot be taken.
    Digest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal beside the output cannot be read or written.
    Journal {
        /// The journal.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no folder to write an output into.
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The name of an output belongs to something that it cannot replace.
    Taken {
        /// The name.
        path: PathBuf,
        /// What the output is to be: a file or a folder.
        expected: &'static str,
    },
    /// Another process is writing the output that the journal lies beside.
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// An output exists.
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// The journal beside the output is left from a run that was stopped.
    Unfinished {
        /// The output.
        output: PathBuf,
        /// The journal.
        journal: PathBuf,
    },
    /// The journal beside the output is another run's.
    OtherRun {
        /// The output.
        output: PathBuf,
        /// The journal.
        journal: PathBuf,
        /// Where the two runs differ first.
        difference: Difference,
    },
    /// A device computes nothing, or nothing more.
    Engine(EngineError),
    /// The system does not give threads.
    Threads(ThreadPoolBuildError),
    /// The watch stopped the run.
    Cancelled,
}

impl fmt::Display for ScoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::Genome(error) => error.fmt(f),
            Self::Variants(error) => error.fmt(f),
            Self::Region { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Table(error) => error.fmt(f),
            Self::Track(error) => error.fmt(f),
            Self::ReferenceMismatch { path, record, contig, position, expected, found } => write!(
                f,
                "{}: {record}: {contig}:{position}: expected REF {expected} as in the reference, found {found}; \
                 --ref-mismatch skip leaves such records unscored",
                path.display()
            ),
            Self::NotInReference { path, record, contig, position, found } => write!(
                f,
                "{}: {record}: {contig}:{position}: expected a position of the reference, {found}; --ref-mismatch skip \
                 leaves such records unscored",
                path.display()
            ),
            Self::ContigName { path, name } => write!(
                f,
                "{}: expected a contig's name that VCF allows (ASCII without blanks, quotes, brackets, commas and \\), found \
                 {name:?}; --tsv and --parquet take any",
                path.display()
            ),
            Self::ForeignInfo { path, key } => write!(
                f,
                "{}: expected no INFO field {key} but our own, found one from another source; --prefix WORD has ours called \
                 otherwise",
                path.display()
            ),
            Self::EndBeyondReference { path, record, contig, position, length, end } => write!(
                f,
                "{}: {record}: {contig}:{position}: expected an END of at most {length}, where the reference's {contig} \
                 ends, found {end}; --ref-mismatch skip leaves such alleles unscored",
                path.display()
            ),
            Self::Digest { path, .. } => write!(f, "{}: cannot take the digest", path.display()),
            Self::Journal { path, .. } => write!(f, "{}: cannot read or write the journal", path.display()),
            Self::NoFolder { path } => write!(f, "{}: there is no such folder to write into", path.display()),
            Self::Taken { path, expected } => {
                let hint =
                    if path.starts_with("/dev") && *expected == "a file" { "; - is the standard output" } else { "" };
                write!(f, "{} exists and is not {expected}{hint}", path.display())
            }
            Self::Busy { path } => write!(f, "another process is writing this output: it holds {}", path.display()),
            Self::Exists { path } => write!(f, "{} exists; --force replaces it", path.display()),
            Self::Unfinished { output, journal } => write!(
                f,
                "{}: a run that was stopped has left {}; --resume goes on with it, --force begins anew",
                output.display(),
                journal.display()
            ),
            Self::OtherRun { output, journal, difference: Difference { key, expected, found } } => write!(
                f,
                "{}: a different run has left {}: {key}: expected {expected}, found {found}; --force begins anew",
                output.display(),
                journal.display()
            ),
            Self::Engine(error) => error.fmt(f),
            Self::Threads(_) => f.write_str("cannot start threads"),
            Self::Cancelled => f.write_str("interrupted"),
        }
    }
}

impl Error for ScoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Genome(error) => error.source(),
            Self::Variants(error) => error.source(),
            Self::Region { error, .. } => error.source(),
            Self::Table(error) => error.source(),
            Self::Track(error) => error.source(),
            Self::Digest { source, .. } | Self::Journal { source, .. } => Some(source),
            Self::Threads(source) => Some(source),
            _ => None,
        }
    }
}

impl From<longstrand_seq::Error> for ScoreError {
    fn from(error: longstrand_seq::Error) -> Self {
        Self::Genome(error)
    }
}

impl From<VariantError> for ScoreError {
    fn from(error: VariantError) -> Self {
        Self::Variants(error)
    }
}

impl From<TableError> for ScoreError {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

impl From<TrackError> for ScoreError {
    fn from(error: TrackError) -> Self {
        Self::Track(error)
    }
}

impl From<ThreadPoolBuildError> for ScoreError {
    fn from(error: ThreadPoolBuildError) -> Self {
        Self::Threads(error)
    }
}

impl From<EngineError> for ScoreError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<Halt> for ScoreError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Cancelled => Self::Cancelled,
            Halt::Failed(error) => Self::Engine(error),
        }
    }
}
