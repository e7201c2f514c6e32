//! Options with a few values, and texts that are none of them.

use std::{error, fmt};

/// A text that is none of the values that an option may have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseChoiceError {
    expected: &'static [&'static str],
    found: String,
}

impl ParseChoiceError {
    /// An error that names the values, or kinds of values, that would do.
    pub fn new(expected: &'static [&'static str], found: &str) -> Self {
        Self { expected, found: found.into() }
    }
}

impl fmt::Display for ParseChoiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected one of {}, found {:?}", self.expected.join(", "), self.found)
    }
}

impl error::Error for ParseChoiceError {}
