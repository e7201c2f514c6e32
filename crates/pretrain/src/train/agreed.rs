//! What all ranks must have alike before the first step, and what stops them together.

use std::path::Path;

use longstrand_model::{Processor, Watch};

use super::{TrainError, TrainingProcessor, facts::Inputs};
use crate::{
    collectives::Collectives,
    config::{ConfigFile, Settings, resolve},
};

/// The settings of the run: rank 0's, and those of every other rank that says anything of them. A run that goes on has its
/// own, which rank 0 alone may be able to read.
pub(super) fn settings<C>(
    own: Option<Settings>,
    processor: &Processor,
    path: &Path,
    ranks: &mut C,
) -> Result<Settings, TrainError>
where
    C: Collectives + ?Sized,
{
    ranks.agree("the version of longstrand", env!("CARGO_PKG_VERSION").as_bytes())?;
    let text = own.as_ref().map(Settings::to_toml).transpose()?.unwrap_or_default();
    let of_rank_0 = ranks.broadcast(0, text.into_bytes())?;
    let settings = match own {
        Some(own) => own,
        None => resolve(None, Some(ConfigFile { path, text: &String::from_utf8_lossy(&of_rank_0) }), &[])?,
    };
    ranks.agree("the settings", settings.to_toml()?.as_bytes())?;
    // Two levels of vector instructions may be one in a precision.
    let processor = TrainingProcessor::new(processor, settings.run.precision.into());
    ranks.agree("what is computed on (--device, LONGSTRAND_SIMD)", processor.to_string().as_bytes())?;
    Ok(settings)
}

/// The digests of the files that the run reads, which every rank reads on its own machine.
pub(super) fn inputs<C>(settings: &Settings, ranks: &mut C, watch: &dyn Watch) -> Result<Inputs, TrainError>
where
    C: Collectives + ?Sized,
{
    let inputs = stopped_together(Inputs::read(settings, watch), ranks)?;
    ranks.agree("the genomes and BED files", inputs.digests().as_bytes())?;
    Ok(inputs)
}

/// What this rank has come to, or a stop where the watch of any rank stops it.
pub(super) fn stopped_together<T, C>(result: Result<T, TrainError>, ranks: &mut C) -> Result<T, TrainError>
where
    C: Collectives + ?Sized,
{
    let mut stops = match &result {
        Ok(_) => [0.0],
        Err(TrainError::Cancelled { .. }) => [1.0],
        Err(_) => return result,
    };
    ranks.sum_f64(&mut stops)?;
    if stops[0] > 0.0 { Err(TrainError::Cancelled { resumable: false }) } else { result }
}
