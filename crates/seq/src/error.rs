//! What can go wrong while a genome is read.

use std::{fmt, io, path::PathBuf};

use crate::{
    contig::ContigError,
    genome::{FastaError, IndexError, RangeError, SliceError, TwoBitError},
    input::InputError,
};

/// A genome cannot be opened or read.
#[derive(Debug)]
pub enum Error {
    /// The file cannot be opened or read.
    Io {
        /// The file; `-` is standard input.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A compressed file ends early.
    Truncated {
        /// The file; `-` is standard input.
        path: PathBuf,
        /// What the decompressor says.
        source: io::Error,
    },
    /// The file is of another kind than is needed.
    Input(InputError),
    /// The text is no FASTA.
    Fasta(FastaError),
    /// An index does not belong to its file.
    Index(IndexError),
    /// The file is no sound 2bit.
    TwoBit(TwoBitError),
    /// The contigs' names clash.
    Contigs {
        /// The file.
        path: PathBuf,
        /// Which names.
        source: ContigError,
    },
    /// A record of a sliced reference is not the slice that its name tells.
    Slice(SliceError),
    /// Bases are asked for that the file does not have.
    Range(RangeError),
}

impl Error {
    /// An error of a reader: input that ends inside a compressed block counts as truncated.
    pub(crate) fn reading(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated { path, source },
            _ => Self::Io { path, source },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::Truncated { path, .. } => write!(f, "{}: the file is truncated", path.display()),
            Self::Contigs { path, .. } => path.display().fmt(f),
            Self::Input(error) => error.fmt(f),
            Self::Fasta(error) => error.fmt(f),
            Self::Index(error) => error.fmt(f),
            Self::TwoBit(error) => error.fmt(f),
            Self::Slice(error) => error.fmt(f),
            Self::Range(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Truncated { source, .. } => Some(source),
            Self::Contigs { source, .. } => Some(source),
            Self::Input(_) | Self::Fasta(_) | Self::Index(_) | Self::TwoBit(_) | Self::Slice(_) | Self::Range(_) => {
                None
            }
        }
    }
}

impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

impl From<FastaError> for Error {
    fn from(error: FastaError) -> Self {
        Self::Fasta(error)
    }
}

impl From<IndexError> for Error {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl From<TwoBitError> for Error {
    fn from(error: TwoBitError) -> Self {
        Self::TwoBit(error)
    }
}

impl From<RangeError> for Error {
    fn from(error: RangeError) -> Self {
        Self::Range(error)
    }
}

impl From<SliceError> for Error {
    fn from(error: SliceError) -> Self {
        Self::Slice(error)
    }
}

/// The message of an error and those of its causes, as a command line would print them.
#[cfg(test)]
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{contig::ContigError, reads::ReadError};

    fn missing() -> io::Error {
        io::ErrorKind::NotFound.into()
    }

    #[test]
    fn a_cause_is_told_once() {
        let cause = missing().to_string();
        let path = PathBuf::from("g.fa");
        assert_eq!(told(&Error::Io { path: path.clone(), source: missing() }), format!("cannot read g.fa: {cause}"));
        let source = ContigError::Duplicate { name: "a".into() };
        assert_eq!(told(&Error::Contigs { path, source }), r#"g.fa: contig "a" occurs more than once"#);
        let reads = ReadError::record("r.bam".as_ref(), 3, missing());
        assert_eq!(told(&reads), format!("r.bam: record 3 cannot be read: {cause}"));
    }
}
