//! Checkpoints on disk: a config, weights and an alphabet, read strictly and written whole.
//!
//! A file either is the model that its config describes, tensor for tensor, or it is an error that names the tensor: a
//! missing, extra or misshapen one, another element type, a NaN, a tied tensor whose copies differ. Nothing is
//! downloaded, and a pickle is read without running anything ([`torch`]).
//!
//! Files are read whole and weights are widened to f32, so that loading takes up to twice the file's size in memory.

use std::fs;
use std::path::{Path, PathBuf};

use longstrand_seq::vocab::Vocabulary;

mod context;
mod digest;
mod error;
mod layout;
mod location;
mod named_tensors;
mod safetensors_file;
mod save;
mod shards;
mod summary;
mod tensors;
mod tokenizer;
pub mod torch;
mod weights;

use digest::PiecesDigest;
use tensors::{Entry, Tensors};
use tokenizer::Tokenizer;

pub use error::{CheckpointError, TensorProblem};
pub use layout::{NamedTensor, NamedTensorMut, TensorSpec};
pub use named_tensors::{tensors_from_safetensors, tensors_to_safetensors};
pub use save::{Existing, NewFolder, SaveError};
pub use summary::Summary;
pub use tensors::StoredType;
pub use weights::{LayerWeights, LinearWeights, Mamba2Weights, MambaWeights, MixerWeights, NormWeights, Weights};

use crate::Processor;
use crate::config::Config;

/// The built-in model's name.
const BUILTIN_NAME: &str = "longstrand-ph-d256-l4-grch37";

/// The window that the built-in model was trained at, in bases.
const BUILTIN_CONTEXT: u64 = 1024;

/// A model's config, weights and alphabet.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The folder's name, `organisation/name` of the Hugging Face cache, or what the caller calls it.
    pub name: String,
    /// Sizes and choices.
    pub config: Config,
    /// Parameters.
    pub weights: Weights,
    /// Bases to token ids.
    pub vocabulary: Vocabulary,
    /// The vocabulary's published name.
    pub tokenizer: String,
    /// SHA-256, in hexadecimal, over `config.json`, the weight files in the order of their names, and the tokens of the
    /// alphabet in the order of their ids, one a line; each preceded by its length as 8 little-endian bytes.
    pub digest: String,
    /// Element types of the weights on disk, each once.
    pub stored_types: Vec<StoredType>,
    /// The files that it was read from, which no output may replace; none for one that lies in no files.
    pub files: Vec<PathBuf>,
}

impl Checkpoint {
    /// Loads the checkpoint at `location`: a Hugging Face folder, a weight file with its `config.json` beside it, or an
    /// `organisation/name` that is in the local Hugging Face cache.
    ///
    /// Weights are `model.safetensors` or `pytorch_model.bin`, in one file or in shards with an index.
    ///
    /// # Errors
    ///
    /// - there is no checkpoint at the location, or a file cannot be read;
    /// - the config is not one of the family's, see [`Config::parse`];
    /// - a weight file is truncated or of another format, or a pickle asks for more than tensors;
    /// - a tensor is missing, unexpected, misshapen, of another type, not finite, or differs from one that it repeats;
    /// - the tokenizer is not a known one of single bases.
    pub fn load(location: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let files = location::find(location.as_ref())?;
        let config_path = files.folder.join("config.json");
        let config_json = read(&config_path)?;
        let mut config = parse_config(&config_json, config_path.display().to_string())?;
        let tokenizer = Tokenizer::read(&files.folder)?;
        let of_name = || context::of_name(&files.name);
        config.trained_context = tokenizer.max_length.or_else(of_name).or(config.trained_context);
        let mut digest = PiecesDigest::default();
        digest.add(&config_json);
        let mut read = vec![config_path];
        read.extend(tokenizer::FILES.map(|file| files.folder.join(file)));
        let tensors = read_weights(&files.weights, &mut digest, &mut read)?;
        let checkpoint = Self::assemble(files.name, config, tokenizer, tensors, digest)?;
        Ok(Self { files: read, ..checkpoint })
    }

    /// Reads a checkpoint from the bytes of its config and of its one weight file, safetensors or PyTorch archive.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::load`], less what concerns files.
    pub fn from_bytes(name: &str, config_json: &[u8], weights: &[u8]) -> Result<Self, CheckpointError> {
        let mut config = parse_config(config_json, name.into())?;
        config.trained_context = context::of_name(name).or(config.trained_context);
        let mut digest = PiecesDigest::default();
        digest.add(config_json);
        digest.add(weights);
        let mut tensors = Tensors::new(name.into());
        tensors.add(name.into(), weights.to_vec(), Format::of_content(weights).entries(weights, name.into())?)?;
        Self::assemble(name.into(), config, Tokenizer::none(name.into()), tensors, digest)
    }

    /// The model that is built in: Caduceus-Ph, 4 layers of width 256, trained on human chromosomes 20 and X (GRCh37) at
    /// 1,024 bases.
    ///
    /// # Errors
    ///
    /// None but by a fault of the build.
    pub fn builtin() -> Result<Self, CheckpointError> {
        let config = include_bytes!("../builtin/config.json");
        let weights = include_bytes!("../builtin/model.safetensors");
        let mut checkpoint = Self::from_bytes(BUILTIN_NAME, config, weights)?;
        checkpoint.config.trained_context = Some(BUILTIN_CONTEXT);
        Ok(checkpoint)
    }

    /// The checkpoint's facts.
    pub fn summary(&self) -> Summary {
        Summary::of(self)
    }

    /// What outputs say of what computed them: what decides the last bits, and the model.
    pub fn provenance(&self, processor: &Processor) -> Vec<(String, String)> {
        let mut provenance = processor.provenance();
        provenance.extend([
            ("longstrand.model.name".into(), self.name.clone()),
            ("longstrand.model.digest".into(), self.digest.clone()),
            ("longstrand.model.family".into(), self.config.family.to_string()),
        ]);
        provenance
    }

    fn assemble(
        name: String,
        mut config: Config,
        tokenizer: Tokenizer,
        mut tensors: Tensors,
        mut digest: PiecesDigest,
    ) -> Result<Self, CheckpointError> {
        config.head = layout::head(&tensors, &config);
        let weights = layout::read(&mut tensors, &config)?;
        let alphabet = tokenizer.alphabet(&config)?;
        let vocabulary = alphabet.vocabulary();
        digest.add_vocabulary(&vocabulary);
        Ok(Self {
            name,
            config,
            weights,
            vocabulary,
            tokenizer: alphabet.name().into(),
            digest: digest.finish(),
            stored_types: tensors.types().to_vec(),
            files: Vec::new(),
        })
    }
}

fn parse_config(text: &[u8], origin: String) -> Result<Config, CheckpointError> {
    Config::parse(text).map_err(|source| CheckpointError::Config { origin, source })
}

fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    fs::read(path).map_err(|source| CheckpointError::Io { path: path.into(), source })
}

/// The two formats of a weight file.
#[derive(Clone, Copy)]
enum Format {
    Safetensors,
    Torch,
}

impl Format {
    fn of_name(path: &Path) -> Self {
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            Self::Safetensors
        } else {
            Self::Torch
        }
    }

    fn of_content(bytes: &[u8]) -> Self {
        if torch::is_torch(bytes) { Self::Torch } else { Self::Safetensors }
    }

    fn entries(self, bytes: &[u8], origin: String) -> Result<Vec<(String, Entry)>, CheckpointError> {
        let length = bytes.len();
        match self {
            Self::Safetensors => safetensors_file::entries(bytes).map_err(|source| CheckpointError::Safetensors {
                origin,
                length,
                source,
            }),
            Self::Torch => torch::entries(bytes).map_err(|source| CheckpointError::Torch { origin, source }),
        }
    }
}

/// Reads a weight file, or all shards of an index, and tells which files these are.
fn read_weights(path: &Path, digest: &mut PiecesDigest, files: &mut Vec<PathBuf>) -> Result<Tensors, CheckpointError> {
    files.push(path.into());
    let mut tensors = Tensors::new(path.display().to_string());
    if path.extension().is_none_or(|extension| extension != "json") {
        let (bytes, entries) = read_file(path, digest)?;
        tensors.add(path.display().to_string(), bytes, entries)?;
        return Ok(tensors);
    }
    for (shard, names) in shards::parse(path, &read(path)?)? {
        let file = path.with_file_name(&shard);
        let (bytes, entries) = read_file(&file, digest)?;
        shards::check(path, &shard, &names, entries.iter().map(|(name, _)| name))?;
        tensors.add(file.display().to_string(), bytes, entries)?;
        files.push(file);
    }
    Ok(tensors)
}

type FileEntries = (Vec<u8>, Vec<(String, Entry)>);

fn read_file(path: &Path, digest: &mut PiecesDigest) -> Result<FileEntries, CheckpointError> {
    let bytes = read(path)?;
    digest.add(&bytes);
    let entries = Format::of_name(path).entries(&bytes, path.display().to_string())?;
    Ok((bytes, entries))
}
