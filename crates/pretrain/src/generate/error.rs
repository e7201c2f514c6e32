use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use longstrand_model::EngineError;
use rayon::ThreadPoolBuildError;

/// Why nothing more was drawn.
#[derive(Debug)]
pub enum GenerateError {
    /// What was asked for makes no sense with this model.
    Usage(String),
    /// The prompts cannot be read.
    Prompts(longstrand_seq::Error),
    /// A prompt has no bases.
    EmptyPrompt {
        /// The file.
        path: PathBuf,
        /// The record.
        name: String,
    },
    /// The model gave a number that is infinite or none.
    NotFinite {
        /// Which sample, from 1 on.
        sample: u64,
        /// Which base of it, from 1 on.
        position: u64,
    },
    /// The samples cannot be written.
    Write(io::Error),
    /// The system does not give threads.
    Threads(ThreadPoolBuildError),
    /// A device computes nothing, or nothing more.
    Device(EngineError),
    /// The watch stopped the run.
    Cancelled,
}

impl fmt::Display for GenerateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::Prompts(error) => error.fmt(f),
            Self::EmptyPrompt { path, name } => {
                write!(f, "{}: expected a prompt of one base or more, found none in record {name}", path.display())
            }
            Self::NotFinite { sample, position } => {
                write!(f, "sample {sample}, base {position}: expected finite logits; are the model's weights sound?")
            }
            Self::Write(_) => f.write_str("cannot write the samples"),
            Self::Threads(_) => f.write_str("cannot start threads"),
            Self::Device(error) => error.fmt(f),
            Self::Cancelled => f.write_str("stopped"),
        }
    }
}

impl Error for GenerateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Prompts(error) => error.source(),
            Self::Write(error) => Some(error),
            Self::Threads(error) => Some(error),
            _ => None,
        }
    }
}

impl From<longstrand_seq::Error> for GenerateError {
    fn from(error: longstrand_seq::Error) -> Self {
        Self::Prompts(error)
    }
}

impl From<ThreadPoolBuildError> for GenerateError {
    fn from(error: ThreadPoolBuildError) -> Self {
        Self::Threads(error)
    }
}
