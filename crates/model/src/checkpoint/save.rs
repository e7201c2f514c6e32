//! Writing a checkpoint as the reference code of its dialect loads it, whole or not at all.

use std::path::Path;

use longstrand_seq::vocab::Vocabulary;

mod error;
mod new_folder;

pub use error::SaveError;
pub use new_folder::{Existing, NewFolder};

use super::digest::PiecesDigest;
use super::tensors::Tensors;
use super::tokenizer::{Alphabet, files};
use super::{Checkpoint, CheckpointError, StoredType, Weights, layout, safetensors_file};
use crate::config::Config;

/// The file of the weights.
const WEIGHTS: &str = "model.safetensors";

impl Checkpoint {
    /// A checkpoint of weights that were made here. Its digest is that of what [`Checkpoint::save`] writes.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::save`], less what concerns files.
    pub fn new(name: String, config: Config, weights: Weights, vocabulary: Vocabulary) -> Result<Self, SaveError> {
        let tokenizer = Alphabet::of(&vocabulary).name().into();
        let (digest, stored_types) = (String::new(), vec![StoredType::F32]);
        let mut checkpoint =
            Self { name, config, weights, vocabulary, tokenizer, digest, stored_types, files: Vec::new() };
        checkpoint.digest = checkpoint.encode()?.digest;
        Ok(checkpoint)
    }

    /// Writes the checkpoint as the folder `path`: `config.json`, `model.safetensors` in f32, and the tokenizer's files.
    ///
    /// The folder is written under a temporary name beside `path`, reaches the disk, and then takes its name. Returns the
    /// digest of what was written, which is that of the checkpoint loaded again. Takes the weights' size in memory.
    ///
    /// The reference code of state-spaces reads `pytorch_model.bin` alone; convert such a model to transformers' names for it.
    ///
    /// # Errors
    ///
    /// - something stands at `path` that may not be replaced, see [`Existing`];
    /// - the config has no words in its dialect, see [`Config::to_json`];
    /// - the weights are not of the config's form, or one is not finite;
    /// - a file cannot be written: then nothing at `path` is half done.
    pub fn save(&self, path: impl AsRef<Path>, existing: Existing) -> Result<String, SaveError> {
        let folder = NewFolder::create(path.as_ref(), existing)?;
        let digest = self.write_into(&folder)?;
        folder.finish()?;
        Ok(digest)
    }

    /// Writes the files of [`Checkpoint::save`] into a folder that is to hold others as well, and returns their digest.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::save`].
    pub fn write_into(&self, folder: &NewFolder) -> Result<String, SaveError> {
        let encoded = self.encode()?;
        folder.write("config.json", &encoded.config)?;
        folder.write(WEIGHTS, &encoded.weights)?;
        for (name, text) in encoded.tokenizer {
            folder.write(name, text.as_bytes())?;
        }
        Ok(encoded.digest)
    }

    fn encode(&self) -> Result<Encoded, SaveError> {
        let config = self.config.to_json(&self.vocabulary).map_err(SaveError::Config)?;
        let weights = self.weights.to_safetensors(&self.config)?;
        let mut digest = PiecesDigest::default();
        digest.add(&config);
        digest.add(&weights);
        digest.add_vocabulary(&self.vocabulary);
        let tokenizer = files(&self.vocabulary, self.config.naming, self.config.trained_context);
        Ok(Encoded { config, weights, tokenizer, digest: digest.finish() })
    }
}

/// A checkpoint's files.
struct Encoded {
    config: Vec<u8>,
    weights: Vec<u8>,
    tokenizer: Vec<(&'static str, String)>,
    digest: String,
}

impl Weights {
    /// The bytes of a safetensors file with every tensor of a model of `config` in f32, and its buffers.
    ///
    /// Gradients and an optimizer's moments are written in the same way, under the same names.
    ///
    /// # Errors
    ///
    /// The weights are not of the config's form, or one is not finite.
    pub fn to_safetensors(&self, config: &Config) -> Result<Vec<u8>, SaveError> {
        let named = self.named_checked(config).map_err(SaveError::Misfit)?;
        for tensor in &named {
            if let Some(index) = tensor.values.iter().position(|value| !value.is_finite()) {
                let (name, value) = (tensor.spec.name.clone(), tensor.values[index]);
                return Err(SaveError::NotFinite { name, index, value });
            }
        }
        safetensors_file::serialize(&named, &layout::contents(config).buffers).map_err(SaveError::Safetensors)
    }

    /// Reads what [`Weights::to_safetensors`] gave; `origin` names it in errors.
    ///
    /// # Errors
    ///
    /// The bytes are not a whole safetensors file, or a tensor is not as a model of `config` has it.
    pub fn from_safetensors(config: &Config, origin: &str, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let entries = safetensors_file::entries(&bytes).map_err(|source| CheckpointError::Safetensors {
            origin: origin.into(),
            length: bytes.len(),
            source,
        })?;
        let mut tensors = Tensors::new(origin.into());
        tensors.add(origin.into(), bytes, entries)?;
        layout::read(&mut tensors, config)
    }
}
