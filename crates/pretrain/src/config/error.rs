use std::{fmt, path::PathBuf};

/// Settings that cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigError {
    /// There is no preset of the name.
    Preset {
        /// The name.
        found: String,
    },
    /// The text of a file is no TOML of settings.
    File {
        /// The file.
        path: PathBuf,
        /// The line, 1-based.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
    /// A flag's key or value is none.
    Flag {
        /// The setting.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// A value is out of range, or does not go with others.
    Value {
        /// The setting.
        key: String,
        /// What would do.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The settings cannot be written as TOML.
    Write {
        /// What is wrong.
        message: String,
    },
}

impl ConfigError {
    pub(super) fn value(key: &str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Value { key: key.into(), expected: expected.into(), found: found.to_string() }
    }

    pub(super) fn write(error: toml::ser::Error) -> Self {
        Self::Write { message: error.to_string() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preset { found } => {
                let names: Vec<&str> = super::PRESETS.iter().map(|preset| preset.name).collect();
                write!(f, "preset: expected one of {}, found {found:?}", names.join(", "))
            }
            Self::File { path, line: Some(line), message } => write!(f, "{}, line {line}: {message}", path.display()),
            Self::File { path, line: None, message } => write!(f, "{}: {message}", path.display()),
            Self::Flag { key, message } => write!(f, "setting {key}: {message}"),
            Self::Value { key, expected, found } => write!(f, "setting {key}: expected {expected}, found {found}"),
            Self::Write { message } => write!(f, "the settings cannot be written: {message}"),
        }
    }
}

impl std::error::Error for ConfigError {}
