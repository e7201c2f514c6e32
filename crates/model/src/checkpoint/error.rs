use std::path::PathBuf;
use std::{error, fmt, io};

use longstrand_seq::vocab::VocabularyError;
use safetensors::SafeTensorError;

use super::torch::TorchError;
use crate::config::ConfigError;

/// An error returned when a checkpoint cannot be loaded.
#[derive(Debug)]
pub enum CheckpointError {
    /// A file could not be read.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the tokenizer, or an index, is not JSON.
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// There is no checkpoint at the location.
    NotFound {
        /// The location as it was given.
        location: String,
        /// Where was looked, and for what.
        looked: String,
    },
    /// The `config.json` is not one that can be computed.
    Config {
        /// The file, or the model's name.
        origin: String,
        /// Why.
        source: ConfigError,
    },
    /// The weight file is not a whole safetensors file.
    Safetensors {
        /// The file, or the model's name.
        origin: String,
        /// Its length in bytes.
        length: usize,
        /// Why.
        source: SafeTensorError,
    },
    /// The weight file is not a PyTorch archive that can be read.
    Torch {
        /// The file, or the model's name.
        origin: String,
        /// Why.
        source: TorchError,
    },
    /// The index of a sharded checkpoint does not hold.
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A tensor is not what the config says.
    Tensor {
        /// The file that it is in, or that it should be in; of an absent tensor of a checkpoint in several files, their
        /// index; of a model in memory, the model's name.
        origin: String,
        /// Its name in the file.
        name: String,
        /// What is wrong.
        problem: Box<TensorProblem>,
    },
    /// The config's complement map is not the vocabulary's.
    ComplementMap {
        /// The checkpoint's folder, or the model's name.
        origin: String,
        /// Why.
        source: VocabularyError,
    },
    /// The tokenizer is not one that is known.
    Vocabulary {
        /// The checkpoint's folder, or the model's name.
        origin: String,
        /// What was found.
        found: String,
    },
}

/// What is wrong with a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorProblem {
    /// It is absent.
    Missing {
        /// The shape that it should have.
        expected: Vec<usize>,
    },
    /// The model has no such tensor.
    Unexpected,
    /// It has another shape.
    Shape {
        /// The shape that follows from the config.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// It has another element type.
    Type {
        /// The types that are read.
        expected: &'static str,
        /// The type in the file.
        found: String,
    },
    /// An element is NaN or infinite.
    NotFinite {
        /// The element's 0-based row-major index.
        index: usize,
        /// NaN, inf or -inf.
        value: String,
    },
    /// It should be the same as another, and is not.
    Differs {
        /// The tensor (or the key of the config) that it repeats.
        from: String,
        /// The first element's 0-based row-major index that is not the same.
        index: usize,
        /// The element of the other.
        expected: String,
        /// The element of this one.
        found: String,
    },
    /// It and its predecessors would take many times the bytes of the file: views of one storage, again and again.
    Inflated {
        /// The most bytes that all tensors may take.
        expected: usize,
        /// The bytes that they would take.
        found: usize,
    },
}

impl error::Error for CheckpointError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Json { source, .. } => Some(source),
            Self::Config { source, .. } => Some(source),
            Self::Safetensors { source, .. } => Some(source),
            Self::Torch { source, .. } => Some(source),
            Self::ComplementMap { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::Json { path, .. } => write!(f, "{} is not valid JSON", path.display()),
            Self::NotFound { location, looked } => {
                write!(f, "no checkpoint at \"{location}\": {looked}")
            }
            Self::Config { origin, .. } => write!(f, "cannot read the config of {origin}"),
            Self::Safetensors { origin, length, .. } => {
                write!(f, "{origin} ({length} bytes) is truncated or not a safetensors file")
            }
            Self::Torch { origin, .. } => {
                write!(f, "cannot read {origin} as a PyTorch checkpoint")
            }
            Self::Index { path, what } => write!(f, "{}: {what}", path.display()),
            Self::Tensor { origin, name, problem } => write!(f, "{origin}: tensor \"{name}\": {problem}"),
            Self::ComplementMap { origin, .. } => write!(f, "the config of {origin} does not fit the tokenizer"),
            Self::Vocabulary { origin, found } => write!(
                f,
                "the tokenizer of {origin} is not known: expected the characters of Caduceus (12 tokens) or PlantCaduceus (7), found {found}"
            ),
        }
    }
}

impl fmt::Display for TensorProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { expected } => write!(f, "missing; expected one of shape {expected:?}"),
            Self::Unexpected => write!(f, "unexpected; a model of this config has none of this name"),
            Self::Shape { expected, found } => {
                write!(f, "expected shape {expected:?}, found {found:?}")
            }
            Self::Type { expected, found } => write!(f, "expected type {expected}, found {found}"),
            Self::NotFinite { index, value } => {
                write!(f, "expected finite values, found {value} at index {index}")
            }
            Self::Differs { from, index, expected, found } => {
                write!(
                    f,
                    "expected the values of \"{from}\", which it repeats: {expected} at index {index}, found {found}"
                )
            }
            Self::Inflated { expected, found } => {
                write!(f, "expected tensors of at most {expected} bytes in all, found views that unfold to {found}")
            }
        }
    }
}
