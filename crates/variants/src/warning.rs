//! What a run warns of.

use std::fmt;

/// Something that may be wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Warning {
    /// The context is longer than the windows that the model was trained at.
    BeyondContext {
        /// Bases of a window.
        context: u64,
        /// Bases of a training window.
        trained: u64,
    },
    /// No index was written beside the output, and why.
    NoIndex(String),
    /// Scores that are infinite or not a number were left out.
    NotFinite {
        /// How many.
        scores: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeyondContext { context, trained } => {
                write!(
                    f,
                    "windows of {context} bases; the model was trained at {trained}, and what it makes of more is not known"
                )
            }
            Self::NoIndex(why) => write!(f, "no index was written: {why}"),
            Self::NotFinite { scores } => {
                write!(f, "{scores} scores are not finite and were left out; are the model's weights sound?")
            }
        }
    }
}
