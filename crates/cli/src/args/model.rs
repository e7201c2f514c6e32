//! `--model`, `--device` and `--precision`: which checkpoint, where it runs, and how.

use std::path::{Path, PathBuf};

use longstrand_model::checkpoint::Checkpoint;

use super::Device;
use super::device::Precision;
use crate::machine::processor::{Chosen, Purpose};

/// Which model, and where it runs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// A Hugging Face folder, a weight file beside its config.json, or organisation/name in the local Hugging Face cache
    /// [default: the built-in model]
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Where to compute: auto (a GPU where there is one that can be used), cpu, cuda, cuda:N, several as cuda:0,1, or all
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Device,
    /// How numbers are held and multiplied on a GPU; the CPU computes in f32
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
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

    /// Opens the device to compute a model on.
    ///
    /// # Errors
    ///
    /// - The device cannot be used, or `LONGSTRAND_SIMD` names vector instructions that are not there.
    /// - The CPU does not compute in the precision.
    pub fn processor(&self, checkpoint: &Checkpoint) -> anyhow::Result<Chosen> {
        Chosen::of(&self.device, self.precision, &checkpoint.config)
    }

    /// Opens the device to train a model on: of several GPUs the first.
    ///
    /// # Errors
    ///
    /// As [`processor`](Self::processor).
    pub fn training_processor(&self, checkpoint: &Checkpoint) -> anyhow::Result<Chosen> {
        Chosen::of_rank(&self.device, self.precision, (Some(&checkpoint.config), Purpose::Training), 0)
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
