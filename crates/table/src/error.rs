//! What can go wrong while a table is written.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

/// A table that could not be opened, written or finished.
#[derive(Debug)]
pub enum TableError {
    /// The operating system refused an operation on a path.
    Io {
        /// What was tried, as in "write".
        action: &'static str,
        /// The path it was tried on.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A Parquet file could not be encoded or read.
    Parquet {
        /// What was tried, as in "read".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: ParquetError,
    },
    /// The folder that is to hold the output is missing or is not a folder.
    NoFolder(PathBuf),
    /// A folder of parts is asked for where there is a file.
    NotAFolder(PathBuf),
    /// The output is a folder, a pipe, a device or a socket.
    NotRegular(PathBuf),
    /// The output is there already, and neither resuming nor replacing it was asked for.
    Exists(PathBuf),
    /// An earlier run left parts of this output, and neither resuming nor replacing them was asked for.
    Unfinished {
        /// The output.
        path: PathBuf,
        /// Where the parts lie.
        parts: PathBuf,
    },
    /// Another process writes the same output.
    Busy(PathBuf),
    /// A part is missing from an otherwise resumable row of parts.
    MissingPart(PathBuf),
    /// A part holds another number of rows than its place asks for.
    Rows {
        /// The file.
        path: PathBuf,
        /// Which number is wrong: "rows" or "first row".
        what: &'static str,
        /// What the options and the parts before it ask for.
        expected: u64,
        /// What the file says, if it says anything.
        found: Option<u64>,
    },
    /// A text is longer than a table can hold.
    LongText {
        /// The output.
        path: PathBuf,
        /// `contig:position` of the row.
        locus: String,
        /// The column.
        column: &'static str,
        /// Bytes of the longest text.
        expected: usize,
        /// Bytes of this one.
        found: usize,
    },
    /// An earlier run wrote the output with another identity (program, model, inputs or options).
    Differs {
        /// The file of the earlier run.
        path: PathBuf,
        /// The metadata key whose value differs.
        key: String,
        /// The value of this run; `None` if it has no such key.
        expected: Option<String>,
        /// The value of the earlier run; `None` if it has no such key.
        found: Option<String>,
    },
    /// A table that is there cannot be read as a whole, or with others.
    Unfit {
        /// The table, or a file of it.
        path: PathBuf,
        /// What it is to be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// An earlier run wrote the output with other columns.
    Columns {
        /// The file of the earlier run.
        path: PathBuf,
        /// Names and types of this run's columns.
        expected: String,
        /// Those of the earlier run.
        found: String,
    },
}

impl TableError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// A Parquet error, or the I/O error inside it.
    pub(crate) fn parquet(action: &'static str, path: &Path) -> impl FnOnce(ParquetError) -> Self {
        let path = path.to_path_buf();
        move |error| match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(source) => Self::Io { action, path, source: *source },
                Err(inner) => Self::Parquet { action, path, source: ParquetError::External(inner) },
            },
            source => Self::Parquet { action, path, source },
        }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, .. } | Self::Parquet { action, path, .. } => {
                write!(f, "cannot {action} {}", path.display())
            }
            Self::NoFolder(path) => write!(f, "{}: expected an existing folder, found none", path.display()),
            Self::NotAFolder(path) => write!(
                f,
                "{}: expected a folder, or the name of a file that ends in .parquet, found something else",
                path.display()
            ),
            Self::NotRegular(path) => write!(f, "{} exists and is not a file", path.display()),
            Self::Exists(path) => write!(f, "{} exists; --force replaces it", path.display()),
            Self::Unfinished { path, parts } => write!(
                f,
                "an unfinished run towards {} left parts in {}; --resume goes on with them, --force starts anew",
                path.display(),
                parts.display()
            ),
            Self::Busy(path) => write!(f, "another process is writing {}", path.display()),
            Self::MissingPart(path) => {
                write!(f, "cannot resume: expected the part {}, found none but later ones", path.display())
            }
            Self::Rows { path, what, expected, found } => {
                write!(f, "cannot resume: {}: expected {what} {expected}, found {}", path.display(), Shown(found))
            }
            Self::LongText { path, locus, column, expected, found } => write!(
                f,
                "{}: {locus}: expected a text of at most {expected} bytes in the column {column}, found {found}",
                path.display()
            ),
            Self::Differs { path, key, expected, found } => write!(
                f,
                "cannot resume: {} was written by a different run: {key}: expected {}, found {}",
                path.display(),
                Shown(expected),
                Shown(found)
            ),
            Self::Unfit { path, expected, found } => {
                write!(f, "{}: expected {expected}, found {found}", path.display())
            }
            Self::Columns { path, expected, found } => {
                write!(f, "cannot resume: {}: expected the columns {expected}, found {found}", path.display())
            }
        }
    }
}

/// A value, or the word for its absence.
struct Shown<'a, T>(&'a Option<T>);

impl<T: fmt::Display> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl Error for TableError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Parquet { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_error_inside_a_parquet_error_is_unwrapped() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = TableError::parquet("write", Path::new("out.parquet"))(ParquetError::External(Box::new(full)));
        assert_eq!(error.to_string(), "cannot write out.parquet");
        assert!(matches!(error, TableError::Io { ref source, .. } if source.kind() == io::ErrorKind::StorageFull));
    }

    #[test]
    fn a_differing_run_is_told_by_key_and_both_values() {
        let error = TableError::Differs {
            path: "out.parquet".into(),
            key: "longstrand.window".into(),
            expected: Some("2048".into()),
            found: None,
        };
        assert_eq!(
            error.to_string(),
            "cannot resume: out.parquet was written by a different run: longstrand.window: expected 2048, found none"
        );
    }
}
