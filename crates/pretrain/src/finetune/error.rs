use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use longstrand_model::checkpoint::SaveError;
use longstrand_model::config::ConfigError;
use longstrand_model::{EngineError, Excess};
use longstrand_seq::labelled::LabelledError;
use rayon::ThreadPoolBuildError;

/// Why nothing was fine-tuned.
#[derive(Debug)]
pub enum FineTuneError {
    /// What was asked for makes no sense, or not with the model.
    Usage(String),
    /// A table cannot be used.
    Table(LabelledError),
    /// The genome cannot be read.
    Genome(longstrand_seq::Error),
    /// A label is none of the task.
    Label {
        /// The table.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What would do.
        expected: String,
        /// The label.
        found: String,
    },
    /// All sequences have the same class.
    OneClass {
        /// The table.
        path: PathBuf,
        /// The class.
        found: String,
    },
    /// A table has too few sequences to be split.
    TooFew {
        /// The table.
        path: PathBuf,
        /// What there should be.
        expected: String,
        /// How many there are.
        found: usize,
    },
    /// The model's dialect has no words for a classification head.
    Config(ConfigError),
    /// It would take more memory than there is.
    Memory {
        /// What it takes, in bytes.
        needed: u64,
        /// What there is, in bytes.
        available: u64,
        /// What would help.
        advice: String,
    },
    /// The longest sequence takes more of a GPU's memory than there is.
    GpuMemory {
        /// Bases of the sequence.
        longest: usize,
        /// What it takes, and what would fit.
        excess: Excess,
    },
    /// A device computes nothing, or nothing more.
    Engine(EngineError),
    /// The model cannot be written.
    Save(SaveError),
    /// The gradients are no longer finite.
    Diverged {
        /// The step, from 1.
        step: u64,
        /// The epoch, from 1.
        epoch: u64,
    },
    /// The system does not give threads.
    Threads(ThreadPoolBuildError),
    /// The watch stopped the run.
    Cancelled,
}

impl fmt::Display for FineTuneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::Table(error) => error.fmt(f),
            Self::Genome(error) => error.fmt(f),
            Self::Label { path, line, expected, found } => {
                write!(f, "{}, line {line}: expected {expected} as label, found {found:?}", path.display())
            }
            Self::OneClass { path, found } => {
                write!(f, "{}: expected two classes or more, found {found:?} alone", path.display())
            }
            Self::TooFew { path, expected, found } => {
                write!(f, "{}: expected {expected}, found {found}", path.display())
            }
            Self::Config(_) => f.write_str("this model cannot have a classification head in its own format"),
            Self::Memory { needed, available, advice } => {
                let gib = |bytes: &u64| *bytes as f64 / f64::from(1 << 30);
                let (needed, available) = (gib(needed), gib(available));
                write!(f, "tuning takes about {needed:.1} GiB of memory, and {available:.1} are available; {advice}")
            }
            Self::GpuMemory { longest, excess: Excess { needed, available, longest: fitting, memory } } => {
                let gib = |bytes: &u64| *bytes as f64 / f64::from(1 << 30);
                let (needed, available) = (gib(needed), gib(available));
                write!(
                    f,
                    "a sequence of {longest} bases takes about {needed:.1} GiB of {memory}, and {available:.1} are available; \
                     set --max-length to {fitting} or less"
                )
            }
            Self::Engine(error) => error.fmt(f),
            Self::Save(error) => error.fmt(f),
            Self::Diverged { step, epoch } => {
                write!(f, "the loss is no number at step {step}, in epoch {epoch}; a smaller --lr may help")
            }
            Self::Threads(_) => f.write_str("cannot start threads"),
            Self::Cancelled => f.write_str("stopped"),
        }
    }
}

impl Error for FineTuneError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Table(error) => error.source(),
            Self::Genome(error) => error.source(),
            Self::Config(error) => Some(error),
            Self::Engine(error) => error.source(),
            Self::Save(error) => error.source(),
            Self::Threads(error) => Some(error),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident),* $(,)?) => {$(
        impl From<$source> for FineTuneError {
            fn from(error: $source) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

from! {
    LabelledError => Table,
    longstrand_seq::Error => Genome,
    ConfigError => Config,
    EngineError => Engine,
    SaveError => Save,
    ThreadPoolBuildError => Threads,
}
