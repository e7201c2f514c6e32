//! What a run tells while it goes on, and how it is stopped.

use std::fmt;

/// Follows a run. Methods are called from several threads.
pub trait Watch: Sync {
    /// Bases that need not be computed, as an earlier run has done them.
    fn skipped(&self, bases: u64) {
        let _ = bases;
    }

    /// Bases that have just been computed.
    fn advanced(&self, bases: u64) {
        let _ = bases;
    }

    /// Something that the user should know.
    fn notice(&self, notice: &Notice) {
        let _ = notice;
    }

    /// Whether the run is to stop. It is asked between windows and within long ones.
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
    /// A window is longer than those that the model was trained at. Told once a run.
    BeyondContext {
        /// The window's name.
        window: String,
        /// Its bases.
        n_bases: u64,
        /// Bases of a training window.
        trained: u64,
    },
    /// Numbers became infinite in f16.
    F16Overflow {
        /// How many.
        values: u64,
    },
    /// Vectors hold a number that is infinite or not a number. Told at the end of a run.
    NotFinite {
        /// How many.
        vectors: u64,
        /// The first one's window.
        window: String,
    },
    /// A shard of a run got no window.
    EmptyShard,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(notice) => f.write_str(notice),
            Self::BeyondContext { window, n_bases, trained } => write!(
                f,
                "window {window} has {n_bases} bases, the model was trained at {trained}: what it makes of more is not known"
            ),
            Self::F16Overflow { values } => {
                write!(f, "{values} numbers are beyond the range of f16 and became infinite; --dtype f32 keeps them")
            }
            Self::NotFinite { vectors, window } => {
                write!(f, "{vectors} vectors are not finite, the first is of window {window}")
            }
            Self::EmptyShard => f.write_str("this shard has no window"),
        }
    }
}
