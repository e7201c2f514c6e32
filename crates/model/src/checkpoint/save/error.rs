use std::path::PathBuf;
use std::{error, fmt, io};

use safetensors::SafeTensorError;

use crate::config::ConfigError;

/// An error returned when a checkpoint cannot be saved.
#[derive(Debug)]
pub enum SaveError {
    /// Something stands where the folder is to be, and may not be replaced.
    Exists {
        /// The folder.
        path: PathBuf,
        /// Whether it was to be replaced, and is no checkpoint.
        is_foreign: bool,
    },
    /// A file or a folder could not be written.
    Io {
        /// What was tried: "write", "rename", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration cannot be written.
    Config(ConfigError),
    /// The weights are not of the config's form.
    Misfit(String),
    /// A weight is NaN or infinite.
    NotFinite {
        /// The tensor.
        name: String,
        /// The element's 0-based row-major index.
        index: usize,
        /// NaN, inf or -inf.
        value: f32,
    },
    /// The weights cannot be put in a safetensors file.
    Safetensors(SafeTensorError),
}

impl SaveError {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl error::Error for SaveError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Config(source) => Some(source),
            Self::Safetensors(source) => Some(source),
            Self::Exists { .. } | Self::Misfit(_) | Self::NotFinite { .. } => None,
        }
    }
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists { path, is_foreign: false } => write!(f, "{} exists", path.display()),
            Self::Exists { path, is_foreign: true } => {
                write!(
                    f,
                    "{} exists and is not a checkpoint's folder (no config.json); it is left alone",
                    path.display()
                )
            }
            Self::Io { action, path, .. } => write!(f, "cannot {action} {}", path.display()),
            Self::Config(_) => write!(f, "cannot write the model's config.json"),
            Self::Misfit(what) => write!(f, "the weights do not fit the model's config: {what}"),
            Self::NotFinite { name, index, value } => {
                write!(f, "tensor \"{name}\": expected finite values, found {value} at index {index}")
            }
            Self::Safetensors(_) => write!(f, "cannot write the weights as safetensors"),
        }
    }
}
