use std::{error::Error, fmt, io, path::PathBuf};

use longstrand_table::TableError;

use crate::{config::ConfigError, train::TrainError};

/// A run cannot be reported on.
#[derive(Debug)]
pub enum ReportError {
    /// A file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The settings are none.
    Config(ConfigError),
    /// The metrics are none.
    Metrics(Box<TrainError>),
    /// A file cannot be written.
    Write(TableError),
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::Config(error) => error.fmt(f),
            Self::Metrics(error) => error.fmt(f),
            Self::Write(error) => error.fmt(f),
        }
    }
}

impl Error for ReportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Config(error) => error.source(),
            Self::Metrics(error) => error.source(),
            Self::Write(error) => error.source(),
        }
    }
}

impl From<ConfigError> for ReportError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<TrainError> for ReportError {
    fn from(error: TrainError) -> Self {
        Self::Metrics(Box::new(error))
    }
}

impl From<TableError> for ReportError {
    fn from(error: TableError) -> Self {
        Self::Write(error)
    }
}
