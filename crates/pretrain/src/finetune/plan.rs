//! What a fine-tuning is going to do, and whether there is the memory for it.

use std::{num::NonZeroUsize, path::PathBuf};

use longstrand_kernels::{Cpu, simd::Level};
use longstrand_model::checkpoint::Weights;
use longstrand_model::config::Config;
use longstrand_model::train::TrainMemory;
use longstrand_model::{Chunking, Model};

use super::data::Table;
use super::error::FineTuneError;
use super::full::GROUPS;
use super::lanes::Lanes;
use super::predict::AT_A_TIME;
use super::settings::{FineTuning, Method};
use crate::train::PlannedMemory;

/// Bytes of a parameter, of its gradient, of each of its two moments, and of a hidden state.
const FLOAT: u64 = 4;

/// What a fine-tuning is going to do.
#[derive(Clone, Debug, PartialEq)]
pub struct TuningPlan {
    /// The tables, and how many sequences each has.
    pub tables: Vec<(PathBuf, usize)>,
    /// Bases of the longest sequence.
    pub longest: usize,
    /// Outputs of the head.
    pub outputs: usize,
    /// Parameters of the model with its head.
    pub parameters: u64,
    /// What changes.
    pub method: Method,
    /// Threads.
    pub threads: NonZeroUsize,
    /// Bytes of the sequences and of their pooled hidden states.
    pub sequences: u64,
    /// What the model takes.
    pub memory: PlannedMemory,
    /// Bytes of memory that may be used, where that is known.
    pub available_memory: Option<u64>,
}

impl TuningPlan {
    /// The plan for tables that have been read, and a model with its new head.
    pub(super) fn new(
        tuning: &FineTuning,
        tables: &[&Table],
        config: &Config,
        weights: &Weights,
        outputs: usize,
        level: Level,
    ) -> Self {
        let examples = || tables.iter().flat_map(|table| &table.examples);
        let longest = examples().map(|example| example.ids.len()).max().unwrap_or_default();
        let hidden = FLOAT * config.d_model as u64;
        let needs = Needs { tuning, config, longest, parameters: weights.parameter_count() };
        let model = Model::of_weights(Cpu::new(level), config.clone(), weights);
        let passes = needs.passes(&model, examples().count());
        let memory = match tuning.method {
            Method::HeadOnly => passes,
            Method::Full => passes.or_more(needs.steps()),
        };
        Self {
            tables: tables.iter().map(|table| (table.path.clone(), table.examples.len())).collect(),
            longest,
            outputs,
            parameters: needs.parameters,
            method: tuning.method,
            threads: tuning.threads,
            sequences: examples().map(|example| example.ids.len() as u64 + hidden).sum(),
            memory,
            available_memory: tuning.available_memory,
        }
    }

    /// Bytes that the run takes at its height.
    pub fn total(&self) -> u64 {
        self.sequences + self.memory.total()
    }

    /// Whether there is the memory for it.
    ///
    /// # Errors
    ///
    /// - there is not; the message names what would help
    pub fn check(&self) -> Result<(), FineTuneError> {
        match self.available_memory {
            Some(available) if self.total() > available => {
                Err(FineTuneError::Memory { needed: self.total(), available, advice: self.advice(available) })
            }
            _ => Ok(()),
        }
    }

    /// What would make it fit, as far as can be told.
    fn advice(&self, available: u64) -> String {
        let PlannedMemory { state, gradients, windows, passing } = self.memory;
        let rest = self.sequences + state + gradients + passing;
        let one = windows / self.threads.get() as u64;
        if rest + one <= available {
            return format!("--threads {} may fit", ((available - rest) / one.max(1)).max(1));
        }
        if self.method == Method::Full && self.sequences + 3 * FLOAT * self.parameters + one <= available {
            return "--head-only takes less".into();
        }
        format!("set --max-length below {}, or take a smaller model or table", self.longest)
    }
}

/// What stages of a run take.
struct Needs<'a> {
    tuning: &'a FineTuning,
    config: &'a Config,
    longest: usize,
    parameters: u64,
}

impl Needs<'_> {
    /// Passes over all sequences, without gradients: the weights as loaded, with their head, and made ready.
    fn passes(&self, model: &Model<Cpu>, sequences: usize) -> PlannedMemory {
        let jobs = sequences.div_ceil(AT_A_TIME);
        let at_a_time = Lanes::at_a_time(self.tuning.threads, jobs, self.longest) as u64;
        PlannedMemory {
            state: 2 * FLOAT * self.parameters,
            windows: at_a_time * model.pass_bytes(Chunking::Auto, self.longest),
            gradients: 0,
            passing: FLOAT * self.parameters,
        }
    }

    /// Steps: beside the weights as loaded and with their head those that move, the best so far and two moments.
    fn steps(&self) -> PlannedMemory {
        let train = TrainMemory::of::<f32>(self.config, Chunking::Auto, self.longest);
        let batch = self.tuning.full.batch;
        let groups = batch.div_ceil(batch.div_ceil(GROUPS));
        let at_a_time = Lanes::at_a_time(self.tuning.threads, groups, self.longest) as u64;
        PlannedMemory {
            state: 6 * FLOAT * self.parameters,
            windows: at_a_time * train.scratch(),
            gradients: GROUPS as u64 * train.gradients,
            passing: train.weights + FLOAT * self.parameters,
        }
    }
}
