//! What a run tells while it goes on, and how it is stopped.

use std::fmt;

/// Follows a run. Methods are called from several threads.
pub trait Watch: Sync {
    /// Bytes of the input files whose digests have been taken, and bytes of all of them.
    fn digested(&self, bytes: u64, total: u64) {
        let _ = (bytes, total);
    }

    /// Records whose rows have been written, and how many there will be where that is known.
    fn records(&self, done: u64, all: Option<u64>) {
        let _ = (done, all);
    }

    /// Bases that have just been computed.
    fn advanced(&self, bases: u64) {
        let _ = bases;
    }

    /// Something that the user should know.
    fn notice(&self, notice: &Notice) {
        let _ = notice;
    }

    /// Whether the run is to stop.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// A watch that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}

/// Something that the user should know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// What the genome's reader has to say.
    Input(String),
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

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(notice) => f.write_str(notice),
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
