//! Gradients of a model on a GPU: forward, loss and the way back of several sequences at once.
//!
//! As on a CPU the input of every layer is kept, in the type of the matrices, and everything else is computed again. The
//! norms of a model in bf16 read the inputs as they are kept, forward and back. Gradients are f32 sums in a fixed order.
//! Inputs that the device has no room for are put away in the memory of the host, as far as [`Room`] lets them.

mod classify;
mod cut;
mod head;
mod layer;
mod mixer;
mod norm;
mod pass;
mod shelves;
mod sums;
#[cfg(test)]
mod tests;
mod trail;
mod workspace;

use std::ops::ControlFlow;

use half::bf16;
use longstrand_kernels::cuda::{CudaError, Device};

use super::executor::Executor;
use super::{Arithmetic, check_training};
use crate::checkpoint::Weights;
use crate::config::Config;
use crate::train::{Example, Gradients, Loss};
use crate::watch::Meter;
use classify::Classification;
use head::CrossEntropy;
use pass::Trainer;
pub use shelves::Room;

/// A model on a GPU whose gradients can be computed, and the sums of them.
#[derive(Debug)]
pub struct CudaTrainee {
    trainer: Kind,
}

#[derive(Debug)]
enum Kind {
    Single(Trainer<f32>),
    Bf16(Trainer<bf16>),
}

/// Does the same with the trainer of either type.
macro_rules! with {
    ($kind:expr, $trainer:ident => $do:expr) => {
        match $kind {
            Kind::Single($trainer) => $do,
            Kind::Bf16($trainer) => $do,
        }
    };
}

impl CudaTrainee {
    /// Brings weights that follow their configuration to a device.
    ///
    /// # Errors
    ///
    /// - there is no code for the model on a GPU
    /// - the device has not enough memory, or the driver refuses
    pub fn new(device: Device, arithmetic: Arithmetic, config: &Config, weights: &Weights) -> Result<Self, CudaError> {
        check_training(config)?;
        let (config, single) = (config.clone(), arithmetic.single());
        let trainer = match arithmetic {
            Arithmetic::Single | Arithmetic::Tf32 => {
                Kind::Single(Trainer::new(Executor::new(device, config, weights, single)?, weights)?)
            }
            Arithmetic::Bf16 => Kind::Bf16(Trainer::new(Executor::new(device, config, weights, single)?, weights)?),
        };
        Ok(Self { trainer })
    }

    /// Puts other weights in the place of these, as after a step.
    ///
    /// # Errors
    ///
    /// The device has not enough memory, or the driver refuses.
    pub fn update(&mut self, weights: &Weights) -> Result<(), CudaError> {
        with!(&mut self.trainer, trainer => trainer.update(weights))
    }

    /// Sets the memory that gradients may take: by default what is free on the device, and nothing of the host's.
    pub fn set_room(&mut self, room: Room) {
        with!(&mut self.trainer, trainer => trainer.shelves.room = room);
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        with!(&self.trainer, trainer => &trainer.executor.device)
    }

    /// How many sequences of a length are best taken together: at least one.
    pub fn batch(&self, length: usize) -> usize {
        with!(&self.trainer, trainer => trainer.sequences_of(length)).max(1)
    }

    /// How much is reported to the meter, all in all, for the gradients of a sequence of `len` positions.
    pub fn work(&self, len: u64) -> u64 {
        with!(&self.trainer, trainer => trainer.work(len))
    }

    /// Adds the gradients of Σ weight · cross-entropy / `normaliser` over examples of one length to the sums on the device,
    /// as [`Trainee::gradients`](crate::train::Trainee::gradients) does. `meter` may break it off: then the sums are of no
    /// use.
    ///
    /// # Errors
    ///
    /// The device has not enough memory, or the driver refuses.
    ///
    /// # Panics
    ///
    /// Panics if the model has no language-model head, lengths differ, or an id or label is not in the vocabulary.
    pub fn gradients(
        &mut self,
        examples: &[Example<'_, f32>],
        normaliser: f64,
        meter: &mut Meter<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        let sequences: Vec<&[u8]> = examples.iter().map(|example| example.ids).collect();
        let scale = if normaliser == 0.0 { 0.0 } else { 1.0 / normaliser };
        with!(&mut self.trainer, trainer => {
            examples.iter().for_each(|example| trainer.check(example));
            trainer.gradients(&sequences, &mut CrossEntropy { examples, scale }, meter)
        })
    }

    /// Classifies sequences of one length, as [`Trainee::classify`](crate::train::Trainee::classify) does, and adds the
    /// gradients of a loss to the sums on the device. `d_logits` is given the logits of each sequence, by its place, in
    /// order, and gives the gradient that the loss has by them. `meter` may break it off: then the sums are of no use.
    ///
    /// # Errors
    ///
    /// The device has not enough memory, or the driver refuses.
    ///
    /// # Panics
    ///
    /// Panics if the model has no classification head, lengths differ, a sequence is empty, an id is not in the vocabulary, or
    /// `d_logits` does not give one gradient for each label.
    pub fn classify(
        &mut self,
        sequences: &[&[u8]],
        d_logits: &mut dyn FnMut(usize, &[f64]) -> Vec<f64>,
        meter: &mut Meter<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        assert!(sequences.iter().all(|ids| !ids.is_empty()), "an empty sequence has no class");
        let mut objective = Classification { d_logits };
        with!(&mut self.trainer, trainer => {
            assert!(trainer.score.is_some(), "the model has no classification head");
            trainer.gradients(sequences, &mut objective, meter)
        })
    }

    /// Adds the sums to those of the host, begins anew, and returns the loss of the examples that were added up.
    ///
    /// # Errors
    ///
    /// The driver refuses, or something that was asked for before failed.
    pub fn take(&mut self, gradients: &mut Gradients<f32>) -> Result<Loss, CudaError> {
        with!(&mut self.trainer, trainer => trainer.take(gradients))
    }
}
