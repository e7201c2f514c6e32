//! `--model`: which checkpoint.

use std::path::Path;

use longstrand_model::checkpoint::Checkpoint;

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
