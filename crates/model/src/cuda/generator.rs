//! Bases drawn from a causal model: sequences step side by side, and their states stay on the device.

#[cfg(test)]
mod tests;

use std::ops::Range;

use half::bf16;
use longstrand_kernels::cuda::{CudaError, Real, ViewMut};
use longstrand_kernels::step::cuda::{Layer, MAX_SEQUENCES, MAX_WIDTH, Mixer, Model, Stepper};
use longstrand_kernels::step::{BASES, Choice};

use super::executor::Executor;
use super::mixer::{BranchState, Core};
use super::state::transposed;
use super::{CudaModel, Kind, weights};
use crate::config::{Config, MixerConfig};
use crate::mixer::MixerState;
use crate::stream::State;

pub use longstrand_kernels::step::cuda::NOT_FINITE;

/// The most sequences that are worth drawing together: from a few hundred on their products fill any device.
const MOST: usize = 1_024;

/// Bytes of the states of sequences that wait on the host to be drawn together.
const WAITING: usize = 1 << 30;

/// Sequences that are drawn together.
#[derive(Debug)]
pub struct CudaGenerator<'a> {
    steppers: Steppers<'a>,
    mixer: MixerConfig,
}

#[derive(Debug)]
enum Steppers<'a> {
    Single(Stepper<'a, f32>),
    Bf16(Stepper<'a, bf16>),
}

/// Does the same with the stepper of either type.
macro_rules! with {
    ($steppers:expr, $stepper:ident => $do:expr) => {
        match $steppers {
            Steppers::Single($stepper) => $do,
            Steppers::Bf16($stepper) => $do,
        }
    };
}

impl CudaModel {
    /// Makes room for so many sequences that are drawn together, up to `block` bases each at a time. `bases` are the ids of A, C,
    /// G and T. While it draws, nobody else may ask the device for anything.
    ///
    /// # Errors
    ///
    /// - there is no code for it on a GPU
    /// - the device has not enough memory
    ///
    /// # Panics
    ///
    /// Panics if the model is not causal or has no language-model head, or for no sequences or more than
    /// [`most_drawn`](Self::most_drawn).
    pub fn generator(
        &self,
        choice: Choice,
        bases: [u8; BASES],
        sequences: usize,
        block: usize,
    ) -> Result<CudaGenerator<'_>, CudaError> {
        check(self.config())?;
        let steppers = match &self.executor {
            Kind::Single(executor) => {
                Steppers::Single(Stepper::new(executor.step_model(bases), choice, sequences, block)?)
            }
            Kind::Bf16(executor) => Steppers::Bf16(Stepper::new(executor.step_model(bases), choice, sequences, block)?),
        };
        Ok(CudaGenerator { steppers, mixer: self.config().mixer })
    }

    /// How many sequences are best drawn together at most, as the memory of device and host goes: at least one.
    ///
    /// # Errors
    ///
    /// - there is no code for it on a GPU
    /// - the driver refuses
    ///
    /// # Panics
    ///
    /// Panics if the model is not causal or has no language-model head.
    pub fn most_drawn(&self) -> Result<usize, CudaError> {
        check(self.config())?;
        let free = self.device().free_bytes()? + self.device().memory().cached;
        let of_one = match &self.executor {
            Kind::Single(executor) => executor.step_model([0; BASES]).bytes_per_sequence(),
            Kind::Bf16(executor) => executor.step_model([0; BASES]).bytes_per_sequence(),
        };
        // Large buffers are made larger by an eighth at most.
        let fit = (free / 4 * 3) as usize / of_one;
        Ok(fit.min(WAITING / of_one).min(MOST.min(MAX_SEQUENCES)).max(1))
    }
}

/// Refuses what there is no code for.
fn check(config: &Config) -> Result<(), CudaError> {
    match config.d_model.max(config.mixer.d_inner()) > MAX_WIDTH {
        true => Err(CudaError::Unsupported { what: "generation with a model of more than 24,576 channels" }),
        false => Ok(()),
    }
}

impl<T: Real> Executor<T> {
    /// The weights as steps use them.
    fn step_model(&self, bases: [u8; BASES]) -> Model<'_, T> {
        assert!(self.config.is_causal(), "the model is not causal");
        let head = self.weights.head.as_ref().expect("the model has a language-model head");
        Model {
            embedding: self.weights.tables[0].view(),
            layers: self.weights.layers.iter().map(step_layer).collect(),
            norm: self.weights.norm_f.params(),
            head: head.tables[0].view(),
            bases,
        }
    }
}

fn step_layer<T: Real>(layer: &weights::Layer<T>) -> Layer<'_, T> {
    let (projections, core) = (layer.projections(0), &layer.branches[0].core);
    let (convolution, mixer) = match core {
        Core::Mamba(core) => {
            let (selection, delta) = (core.x_proj.view(), core.dt_proj.view());
            (core.convolution.params(), Mixer::Mamba { selection, delta, scan: core.scan_params() })
        }
        Core::Mamba2(core) => {
            (core.convolution.params(), Mixer::Mamba2 { duality: core.params(), norm: core.norm_params() })
        }
    };
    Layer {
        norm: layer.norm.params(),
        input: projections.input.view(),
        input_bias: projections.input_bias.as_ref().map(|bias| bias.view()),
        convolution,
        mixer,
        output: projections.output.view(),
        output_bias: projections.output_bias.as_ref().map(|bias| bias.view()),
    }
}

impl CudaGenerator<'_> {
    /// How many sequences are drawn together.
    pub fn sequences(&self) -> usize {
        with!(&self.steppers, stepper => stepper.sequences())
    }

    /// Has some sequences go on from a state, after which logits of A, C, G and T say what comes next.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    ///
    /// # Panics
    ///
    /// Panics if the state is another model's, or there are no such sequences.
    pub fn go_on_from(
        &mut self,
        sequences: Range<usize>,
        state: &State<f32>,
        logits: [f32; BASES],
    ) -> Result<(), CudaError> {
        with!(&mut self.steppers, stepper => go_on_from(stepper, &self.mixer, sequences, state, logits))
    }

    /// Feeds the next id of each sequence.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    ///
    /// # Panics
    ///
    /// Panics if there is not one id for each sequence.
    pub fn feed(&mut self, ids: &[u8]) -> Result<(), CudaError> {
        with!(&mut self.steppers, stepper => stepper.feed(ids))
    }

    /// Of each sequence, what comes next: logits of A, C, G and T.
    ///
    /// # Errors
    ///
    /// The driver refuses, or a kernel has failed.
    pub fn logits(&self) -> Result<Vec<[f32; BASES]>, CudaError> {
        let logits = with!(&self.steppers, stepper => stepper.logits().to_vec())?;
        Ok(logits.chunks_exact(BASES).map(|row| [row[0], row[1], row[2], row[3]]).collect())
    }

    /// Begins to draw the next bases of all sequences, one for each of the numbers in [0, 1), `[steps, sequences]`.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    ///
    /// # Panics
    ///
    /// Panics if there are not as many numbers for each sequence, or more than in a block.
    pub fn begin(&mut self, units: &[f64]) -> Result<(), CudaError> {
        with!(&mut self.steppers, stepper => stepper.begin(units))
    }

    /// Waits for the bases that were begun, `[steps, sequences]`: 0 to 3 for A, C, G and T, or [`NOT_FINITE`] where a logit was
    /// not, after which a sequence means nothing.
    ///
    /// # Errors
    ///
    /// The driver refuses, or a kernel has failed.
    ///
    /// # Panics
    ///
    /// Panics if more are asked for than in a block.
    pub fn finish(&self, bases: &mut [u8]) -> Result<(), CudaError> {
        with!(&self.steppers, stepper => stepper.finish(bases))
    }
}

fn go_on_from<T: Real>(
    stepper: &mut Stepper<'_, T>,
    mixer: &MixerConfig,
    sequences: Range<usize>,
    state: &State<f32>,
    logits: [f32; BASES],
) -> Result<(), CudaError> {
    let (of_conv, of_scan) = BranchState::sizes(mixer);
    for (i, layer) in state.layers.iter().enumerate() {
        let MixerState { conv, ssm } = &layer[0];
        assert_eq!((conv.len(), ssm.len()), (of_conv, of_scan), "the state is another model's");
        let conv: Vec<f32> = transposed(conv, mixer.conv_channels()).collect();
        let [to_conv, to_scan] = stepper.state_mut(i);
        spread(to_conv, &sequences, &conv)?;
        spread(to_scan, &sequences, ssm)?;
    }
    spread(stepper.logits_mut(), &sequences, &logits)
}

/// Writes the same values for some sequences: for one from the host, and then from those that have them for as many more.
fn spread(all: ViewMut<'_, f32>, sequences: &Range<usize>, values: &[f32]) -> Result<(), CudaError> {
    let size = values.len();
    let mut part = all.slice(sequences.start * size..sequences.end * size);
    part.reborrow().slice(..size).write(values)?;
    let mut there = 1;
    while there < sequences.len() {
        let more = there.min(sequences.len() - there);
        let (from, to) = part.reborrow().split_at(there * size);
        to.slice(..more * size).copy_from(from.as_view().slice(..more * size))?;
        there += more;
    }
    Ok(())
}
