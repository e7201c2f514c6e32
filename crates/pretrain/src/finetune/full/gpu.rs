//! The gradients of a batch on a GPU.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use longstrand_model::checkpoint::Weights;
use longstrand_model::config::Config;
use longstrand_model::cuda::CudaTrainee;
use longstrand_model::train::Gradients;
use longstrand_model::{EngineError, Gpus, Meter};

use super::super::error::FineTuneError;
use super::{Case, FullFit, Learned};

/// Sequences of one length together, one length after another; of several GPUs the first.
pub(super) struct GpuLearner {
    gpus: Gpus,
    /// The model, once a batch has been learned from.
    trainee: Option<CudaTrainee>,
    gradients: Gradients<f32>,
}

impl GpuLearner {
    pub(super) fn new(gpus: &Gpus, config: &Config, weights: &Weights) -> Self {
        Self { gpus: gpus.clone(), trainee: None, gradients: Gradients::new(config, weights) }
    }

    pub(super) fn learn(
        &mut self,
        fit: &FullFit<'_>,
        weights: &Weights,
        cases: &[Case<'_>],
    ) -> Result<Learned, FineTuneError> {
        let device = self.gpus.first().clone();
        let failed = |error| FineTuneError::Engine(EngineError::of(&device, &error));
        // It is put back when the batch is done: what breaks off leaves sums that are of no use.
        let mut trainee = match self.trainee.take() {
            Some(mut trainee) => {
                trainee.update(weights).map_err(failed)?;
                trainee
            }
            None => CudaTrainee::new(device.clone(), self.gpus.arithmetic(), fit.config, weights).map_err(failed)?,
        };
        let mut loss = 0.0;
        for group in by_length(cases) {
            let ids: Vec<&[u8]> = group.iter().map(|case| case.ids.as_ref()).collect();
            let mut d_outputs = |place: usize, outputs: &[f64]| {
                let (of_sequence, d_outputs) = group[place].judge(fit.task, outputs);
                loss += of_sequence;
                d_outputs
            };
            // Bases are told sequence by sequence; here a run is only stopped.
            let mut meter = Meter::new(fit.passes.progress.watch, 0, 0);
            match trainee.classify(&ids, &mut d_outputs, &mut meter).map_err(failed)? {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(()) => return Err(FineTuneError::Cancelled),
            }
            group.iter().try_for_each(|case| fit.passes.progress.passed(case.ids.len()))?;
        }
        self.gradients.zero();
        trainee.take(&mut self.gradients).map_err(failed)?;
        self.trainee = Some(trainee);
        Ok(Learned { loss, gradients: self.gradients.fold(fit.config, weights) })
    }
}

/// The sequences of each length, the longest first, in the order of the batch.
fn by_length<'a, 'b>(cases: &'a [Case<'b>]) -> Vec<Vec<&'a Case<'b>>> {
    let mut sorted: Vec<&Case<'_>> = cases.iter().collect();
    sorted.sort_by_key(|case| Reverse(case.ids.len()));
    sorted.chunk_by(|a, b| a.ids.len() == b.ids.len()).map(<[_]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::*;

    #[test]
    fn those_of_one_length_are_together_in_their_order() {
        let case = |(i, len): (usize, usize)| Case {
            ids: vec![7; len].into(),
            target: Target::Class(i),
            weight: 1.0,
            share: 1.0,
        };
        let cases: Vec<Case<'_>> = [5, 9, 5, 1, 9, 5].into_iter().enumerate().map(case).collect();
        let groups = by_length(&cases);
        let places = |group: &Vec<&Case<'_>>| group.iter().map(|case| case.target.stratum()).collect::<Vec<_>>();
        assert_eq!(groups.iter().map(places).collect::<Vec<_>>(), [vec![1, 4], vec![0, 2, 5], vec![3]]);
        assert!(by_length(&[]).is_empty());
    }
}
