use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

use longstrand_model::{
    Difference, EngineError,
    checkpoint::{CheckpointError, SaveError},
};
use longstrand_seq::digest::DigestError;
use rayon::ThreadPoolBuildError;

use crate::{
    collectives::CollectiveError, config::ConfigError, data::DataError, evaluate::Halt, optimizer::StateError,
    report::ReportError, sample::SampleError, split::Split,
};

/// Why a run cannot be made or ended early.
#[derive(Debug)]
pub enum TrainError {
    /// What was asked for makes no sense.
    Usage(String),
    /// Settings cannot be used.
    Config(ConfigError),
    /// There is nothing to train on, or it cannot be read.
    Data(DataError),
    /// There is nothing to validate on, or it cannot be read.
    Validation(DataError),
    /// The folder holds a run, or something else.
    Exists {
        /// The folder.
        path: PathBuf,
        /// Whether what it holds is a run.
        is_run: bool,
    },
    /// Another process works in the folder.
    Busy(PathBuf),
    /// The run that is to go on had another setting.
    Differs {
        /// What it keeps its settings in.
        path: PathBuf,
        /// The first setting that is another.
        difference: Difference,
    },
    /// A file that the run was begun with is another now.
    Input {
        /// The file.
        path: PathBuf,
        /// What the run began with, SHA-256.
        expected: String,
        /// What it is.
        found: String,
    },
    /// There is no checkpoint of a name.
    NoCheckpoint {
        /// The name.
        name: String,
        /// Those that there are.
        found: Vec<String>,
    },
    /// A checkpoint is not what was written.
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        flaw: Box<Flaw>,
        /// The checkpoint before it.
        before: Option<String>,
    },
    /// A step takes more memory than there is.
    Memory {
        /// What it takes, in bytes.
        needed: u64,
        /// What there is, in bytes.
        available: u64,
        /// What would help.
        advice: String,
    },
    /// The loss or the gradients of a step are no numbers, or the loss has jumped. The weights of that step are not kept.
    Diverged {
        /// The step.
        step: u64,
        /// What happened.
        what: String,
        /// The last checkpoint.
        last: Option<PathBuf>,
    },
    /// A line of a run's metrics is none.
    Metrics {
        /// The file.
        path: PathBuf,
        /// The line, 1-based.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A file cannot be read or written.
    Io {
        /// What was tried: "read", "write", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A checkpoint cannot be written.
    Save(SaveError),
    /// The report cannot be made.
    Report(ReportError),
    /// A device computes nothing, or nothing more.
    Engine(EngineError),
    /// The system does not give threads.
    Threads(ThreadPoolBuildError),
    /// The processes that train together do not come together, disagree or are parted.
    Ranks(CollectiveError),
    /// The watch stopped the run.
    Cancelled {
        /// Whether there is something to go on behind.
        resumable: bool,
    },
}

/// What is wrong with a file of a checkpoint.
#[derive(Debug)]
pub enum Flaw {
    /// Its bytes are not those that were written.
    Digest {
        /// SHA-256 of what was written.
        expected: String,
        /// SHA-256 of what is there.
        found: String,
    },
    /// It is not on the list of the checkpoint's files.
    Unlisted,
    /// It cannot be read.
    Io(io::Error),
    /// It is not of its format.
    Format(String),
    /// It is no checkpoint's weights or state.
    Checkpoint(CheckpointError),
    /// It is the state of another model.
    State(StateError),
}

impl TrainError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }
}

impl fmt::Display for TrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::Config(error) => error.fmt(f),
            Self::Data(error) => error.fmt(f),
            Self::Validation(error) => write!(f, "{error}; --validate-every 0 trains without a validation"),
            Self::Exists { path, is_run: true } => {
                write!(f, "{} holds a run; --resume goes on with it, --force replaces it", path.display())
            }
            Self::Exists { path, is_run: false } => {
                write!(f, "{} is there and is no run; name another folder", path.display())
            }
            Self::Busy(path) => write!(f, "another process works in {}", path.display()),
            Self::Differs { path, difference: Difference { key, expected, found } } => write!(
                f,
                "{}: the run has {key} = {found}, and this command {expected}; --resume needs the same, --force begins anew",
                path.display()
            ),
            Self::Input { path, expected, found } => write!(
                f,
                "{} is another file than the run was begun with: expected SHA-256 {expected}, found {found}",
                path.display()
            ),
            Self::NoCheckpoint { name, found } => {
                let found = if found.is_empty() { String::from("none") } else { found.join(", ") };
                write!(f, "--from {name}: expected one of the run's checkpoints, which are {found}")
            }
            Self::Broken { path, flaw, before } => {
                write!(f, "{}: {flaw}; ", path.display())?;
                match before {
                    Some(before) => write!(f, "--resume --from {before} goes on from the checkpoint before"),
                    None => f.write_str("there is no checkpoint before it; --force begins anew"),
                }
            }
            Self::Memory { needed, available, advice } => {
                let gib = |bytes: &u64| *bytes as f64 / f64::from(1 << 30);
                let (needed, available) = (gib(needed), gib(available));
                write!(f, "a step takes about {needed:.1} GiB of memory, and {available:.1} are available; {advice}")
            }
            Self::Diverged { step, what, last } => {
                write!(f, "step {step}: {what}; the run ends before its update")?;
                match last {
                    Some(last) => write!(f, "; the newest checkpoint is {}", last.display()),
                    None => f.write_str("; there is no checkpoint yet"),
                }
            }
            Self::Metrics { path, line, .. } => {
                write!(f, "{}, line {line}: expected the metrics of a step", path.display())
            }
            Self::Io { action, path, .. } => write!(f, "cannot {action} {}", path.display()),
            Self::Save(error) => error.fmt(f),
            Self::Report(error) => error.fmt(f),
            Self::Engine(error) => error.fmt(f),
            Self::Threads(_) => f.write_str("cannot start threads"),
            Self::Ranks(error) => error.fmt(f),
            Self::Cancelled { .. } => f.write_str("stopped"),
        }
    }
}

impl Error for TrainError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::Data(error) | Self::Validation(error) => error.source(),
            Self::Broken { flaw, .. } => flaw.source(),
            Self::Metrics { source, .. } => Some(source),
            Self::Io { source, .. } => Some(source),
            Self::Save(error) => error.source(),
            Self::Report(error) => error.source(),
            Self::Threads(error) => Some(error),
            Self::Ranks(error) => error.source(),
            _ => None,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest { expected, found } => write!(f, "expected SHA-256 {expected}, found {found}"),
            Self::Unlisted => f.write_str("the checkpoint's SHA256SUMS does not name it"),
            Self::Io(error) => error.fmt(f),
            Self::Format(what) => f.write_str(what),
            Self::Checkpoint(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
        }
    }
}

impl Error for Flaw {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Checkpoint(error) => error.source(),
            _ => None,
        }
    }
}

impl From<ConfigError> for TrainError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<DataError> for TrainError {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

impl From<SampleError> for TrainError {
    fn from(source: SampleError) -> Self {
        Self::Data(DataError::Sample { split: Split::Train, source })
    }
}

impl From<SaveError> for TrainError {
    fn from(error: SaveError) -> Self {
        Self::Save(error)
    }
}

impl From<ReportError> for TrainError {
    fn from(error: ReportError) -> Self {
        Self::Report(error)
    }
}

impl From<ThreadPoolBuildError> for TrainError {
    fn from(error: ThreadPoolBuildError) -> Self {
        Self::Threads(error)
    }
}

impl From<CollectiveError> for TrainError {
    fn from(error: CollectiveError) -> Self {
        Self::Ranks(error)
    }
}

impl From<DigestError> for TrainError {
    fn from(DigestError { path, source }: DigestError) -> Self {
        Self::Io { action: "read", path, source }
    }
}

impl From<EngineError> for TrainError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<Halt> for TrainError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Cancelled => Self::Cancelled { resumable: false },
            Halt::Failed(error) => Self::Engine(error),
            Halt::Threads(error) => Self::Threads(error),
        }
    }
}
