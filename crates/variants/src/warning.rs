//! What a run warns of.

use std::fmt;

use longstrand_model::Watch;
use longstrand_model::checkpoint::Checkpoint;

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
    /// Values that are infinite or not a number were left out.
    NotFinite {
        /// How many.
        values: u64,
    },
}

/// Warns of a context that is longer than what a model was trained at.
pub(crate) fn of_context(context: u64, checkpoint: &Checkpoint, watch: &dyn Watch) {
    if let Some(trained) = checkpoint.config.trained_context.filter(|&trained| context > trained) {
        watch.warn(&Warning::BeyondContext { context, trained }.to_string());
    }
}

/// Warns of values that were left out because they are infinite or not a number.
pub(crate) fn of_not_finite(values: u64, watch: &dyn Watch) {
    if values > 0 {
        watch.warn(&Warning::NotFinite { values }.to_string());
    }
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
            Self::NotFinite { values } => {
                write!(f, "{values} values are not finite and were left out; are the model's weights sound?")
            }
        }
    }
}
