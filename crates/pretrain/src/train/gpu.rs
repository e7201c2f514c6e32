//! A rank's windows on a GPU.

use std::ops::ControlFlow;

use longstrand_model::{
    EngineError, Meter,
    checkpoint::Weights,
    config::Config,
    cuda::{CudaTrainee, Room},
    train::{Example, Gradients, Loss},
};
use rayon::prelude::*;

use super::{TrainError, TrainingProcessor, division::Windows};
use crate::objective::Batch;

/// The model on a GPU, once a step has been taken there.
#[derive(Default)]
pub(super) struct GpuPasses {
    trainee: Option<CudaTrainee>,
    /// Bytes of the host's memory in which a long window's inputs of layers may be put away.
    pub(super) host_room: u64,
}

impl GpuPasses {
    /// Puts the gradients of a rank's windows in the place of what the set held.
    pub(super) fn gradients<R>(
        &mut self,
        (processor, config, weights): (&TrainingProcessor, &Config, &Weights),
        windows: &Windows<'_, R>,
        set: &mut Gradients<f32>,
    ) -> Result<Loss, TrainError>
    where
        R: Fn(u32) -> Result<Batch, TrainError> + Sync,
    {
        let TrainingProcessor::Cuda { device, arithmetic } = processor else { unreachable!("the learner is on a GPU") };
        let failed = |error| TrainError::Engine(EngineError::of(device, &error));
        // It is put back when the step is done: what breaks off leaves sums that are of no use.
        let mut trainee = match self.trainee.take() {
            Some(mut trainee) => {
                trainee.update(weights).map_err(failed)?;
                trainee
            }
            None => CudaTrainee::new(device.clone(), *arithmetic, config, weights).map_err(failed)?,
        };
        trainee.set_room(Room { device: None, host: self.host_room });
        let length = usize::try_from(windows.own.length).expect("a window fits in memory");
        let at_a_time = u32::try_from(trainee.batch(length)).unwrap_or(u32::MAX);
        for start in (0..windows.own.windows).step_by(at_a_time as usize) {
            let group = start..start.saturating_add(at_a_time).min(windows.own.windows);
            let batches: Vec<Batch> =
                group.clone().into_par_iter().map(|i| windows.read(i)).collect::<Result<_, _>>()?;
            let examples: Vec<Example<'_, f32>> = batches.iter().map(example).collect();
            let bases = windows.bases(group.end) - windows.bases(group.start);
            let work = trainee.work(windows.own.length) * u64::from(group.end - group.start);
            let mut meter = Meter::new(windows.watch, bases, work);
            match trainee.gradients(&examples, windows.step.bases() as f64, &mut meter).map_err(failed)? {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(()) => return Err(TrainError::Cancelled { resumable: true }),
            }
        }
        set.zero();
        let loss = trainee.take(set).map_err(failed)?;
        self.trainee = Some(trainee);
        Ok(loss)
    }
}

fn example(batch: &Batch) -> Example<'_, f32> {
    Example { ids: &batch.ids, labels: &batch.labels, weights: batch.weights.as_deref() }
}
