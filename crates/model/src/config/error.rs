use std::{error, fmt};

/// An error returned when a `config.json` cannot be read.
#[derive(Debug)]
pub enum ConfigError {
    /// The text is not JSON.
    Json(serde_json::Error),
    /// The JSON is not an object.
    NotAnObject {
        /// What is there.
        found: String,
    },
    /// A key that decides the function is absent.
    Missing {
        /// The key, with the objects it lies in.
        key: String,
    },
    /// A key has a value that its type or the function does not allow.
    Invalid {
        /// The key, with the objects it lies in.
        key: String,
        /// What would be read.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The model is of a kind that is not computed here.
    Unsupported {
        /// What it has or is.
        what: String,
    },
}

impl ConfigError {
    pub(super) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}

impl error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Json(e) => Some(e),
            _ => None,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(_) => write!(f, "not valid JSON"),
            Self::NotAnObject { found } => write!(f, "expected a JSON object, found {found}"),
            Self::Missing { key } => write!(f, "missing key \"{key}\""),
            Self::Invalid { key, expected, found } => write!(f, "\"{key}\": expected {expected}, found {found}"),
            Self::Unsupported { what } => write!(f, "not supported: {what}"),
        }
    }
}
