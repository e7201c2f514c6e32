//! Rank 0 gives all others what it begins with, so that they need not see its folder.

use serde::{Deserialize, Serialize};

use super::{TrainError, spike::RunningLoss, step::Learner};
use crate::collectives::{CollectiveError, Collectives};

/// What a run begins or goes on with, beside weights and moments.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Start {
    pub(super) running: RunningLoss,
    /// The step of the last validation.
    pub(super) validated: Option<u64>,
}

/// Replaces weights, moments and `start` by those of rank 0, bit for bit.
pub(super) fn give<C>(start: Start, learner: &mut Learner, ranks: &mut C) -> Result<Start, TrainError>
where
    C: Collectives + ?Sized,
{
    if ranks.world_size() == 1 {
        return Ok(start);
    }
    let own = serde_json::to_vec(&(learner.optimizer().step(), start)).expect("numbers are JSON");
    let (step, start) = serde_json::from_slice(&ranks.broadcast(0, own)?).expect("rank 0 runs this version");
    let mut weights = learner.weights().clone();
    for tensor in weights.tensors_mut() {
        tensor.copy_from_slice(&floats(tensor, ranks)?);
    }
    let mut optimizer = learner.optimizer().clone();
    let moments = learner.optimizer().state().map(|(name, values)| Ok((name, floats(values, ranks)?)));
    let moments: Vec<_> = moments.collect::<Result<_, CollectiveError>>()?;
    optimizer.restore(step, moments).expect("rank 0 trains the same model");
    learner.restore(weights, optimizer);
    Ok(start)
}

/// A tensor of rank 0.
fn floats<C: Collectives + ?Sized>(own: &[f32], ranks: &mut C) -> Result<Vec<f32>, CollectiveError> {
    let own = match ranks.rank() {
        0 => own.iter().flat_map(|value| value.to_le_bytes()).collect(),
        _ => Vec::new(),
    };
    let bytes = ranks.broadcast(0, own)?;
    Ok(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}
