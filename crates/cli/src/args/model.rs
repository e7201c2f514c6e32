//! `--model` and `--device`: which checkpoint, and where it runs.

use std::path::{Path, PathBuf};

use longstrand_model::checkpoint::Checkpoint;

use super::Device;

/// Which model, and where it runs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// A Hugging Face folder, a weight file beside its config.json, or organisation/name in the local Hugging Face cache
    /// [default: the built-in model]
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: Device,
}

impl ModelArgs {
    /// Loads the checkpoint that is named.
    ///
    /// # Errors
    ///
    /// As [`load_model`].
    pub fn load(&self) -> anyhow::Result<Checkpoint> {
        load_model(self.model.as_deref())
    }
}

/// Loads a checkpoint; the built-in one if none is named.
///
/// # Errors
///
/// When there is no checkpoint, or it is not what its config says.
pub fn load_model(location: Option<&Path>) -> anyhow::Result<Checkpoint> {
    Ok(match location {
        Some(location) => Checkpoint::load(location)?,
        None => Checkpoint::builtin()?,
    })
}
