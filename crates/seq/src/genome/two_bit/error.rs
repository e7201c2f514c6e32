use std::{fmt, path::PathBuf};

/// A file that is no sound 2bit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TwoBitError {
    /// The file.
    pub path: PathBuf,
    /// The record that was being read, when there was one.
    pub record: Option<String>,
    /// What is wrong.
    pub kind: TwoBitErrorKind,
}

/// What is wrong with a 2bit file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TwoBitErrorKind {
    /// The version is not 0.
    Version {
        /// The version.
        found: u32,
    },
    /// There is no record.
    NoRecord,
    /// The file ends early.
    Truncated,
    /// A name is not UTF-8.
    NameNotUtf8,
    /// Runs of N or of lower case are out of order or reach past the end.
    Runs,
}

impl fmt::Display for TwoBitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        if let Some(record) = &self.record {
            write!(f, "record {record:?}: ")?;
        }
        match self.kind {
            TwoBitErrorKind::Version { found } => write!(f, "expected 2bit version 0, found {found}"),
            TwoBitErrorKind::NoRecord => f.write_str("empty 2bit: expected a record, found none"),
            TwoBitErrorKind::Truncated => f.write_str("the 2bit file is truncated: expected more, found its end"),
            TwoBitErrorKind::NameNotUtf8 => f.write_str("expected a name in UTF-8, found other bytes"),
            TwoBitErrorKind::Runs => {
                f.write_str("expected runs of N or lower case in order and inside the record, found others")
            }
        }
    }
}

impl std::error::Error for TwoBitError {}
