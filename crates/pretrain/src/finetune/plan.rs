//! What a fine-tuning is going to do, and whether there is the memory for it.

use std::{num::NonZeroUsize, path::PathBuf};

use longstrand_kernels::backend::Precision;
use longstrand_model::checkpoint::Weights;
use longstrand_model::config::Config;
use longstrand_model::train::TrainMemory;
use longstrand_model::{Chunking, Engine, Excess};

use super::data::Table;
use super::error::FineTuneError;
use super::full::GROUPS;
use super::lanes::Lanes;
use super::predict::{AT_A_TIME, check_gpu, waiting};
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
    /// The most sequences that are under way at a time.
    pub at_a_time: usize,
    /// Bytes of the sequences and of their pooled hidden states.
    pub sequences: u64,
    /// What the model takes.
    pub memory: PlannedMemory,
    /// Bytes that the head alone would take, one sequence at a time.
    head_only: u64,
    /// Bytes of memory that may be used, where that is known.
    pub available_memory: Option<u64>,
    /// Why the longest sequence does not fit on a GPU.
    excess: Option<Excess>,
}

impl TuningPlan {
    /// The plan for tables that have been read, and a model with its new head.
    pub(super) fn new(
        tuning: &FineTuning,
        tables: &[&Table],
        config: &Config,
        weights: &Weights,
        outputs: usize,
        model: &Engine,
    ) -> Self {
        let examples = || tables.iter().flat_map(|table| &table.examples);
        let longest = examples().map(|example| example.ids.len()).max().unwrap_or_default();
        let hidden = FLOAT * config.d_model as u64;
        let needs = Needs { tuning, model, longest, parameters: weights.parameter_count() };
        let jobs = examples().count().div_ceil(AT_A_TIME);
        let (passes, steps) = (needs.at_a_time(jobs), needs.at_a_time(needs.groups()));
        let in_passes = needs.passes(passes);
        let (at_a_time, memory) = match tuning.method {
            Method::HeadOnly => (passes, in_passes),
            Method::Full => (steps, in_passes.or_more(needs.steps(steps))),
        };
        let sequences = examples().map(|example| example.ids.len() as u64 + hidden).sum();
        Self {
            tables: tables.iter().map(|table| (table.path.clone(), table.examples.len())).collect(),
            longest,
            outputs,
            parameters: needs.parameters,
            method: tuning.method,
            threads: tuning.threads,
            at_a_time,
            sequences,
            memory,
            head_only: sequences + needs.passes(1).total(),
            available_memory: tuning.available_memory,
            excess: check_gpu(model, longest).err(),
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
        if let Some(excess) = self.excess {
            return Err(FineTuneError::GpuMemory { longest: self.longest, excess });
        }
        match self.available_memory {
            Some(available) if self.total() > available => {
                Err(FineTuneError::Memory { needed: self.total(), available, advice: self.advice(available) })
            }
            _ => Ok(()),
        }
    }

    /// What would make it fit, as far as can be told.
    fn advice(&self, available: u64) -> String {
        let PlannedMemory { state, gradients, windows, passing, .. } = self.memory;
        let rest = self.sequences + state + gradients + passing;
        let one = windows / self.at_a_time as u64;
        if rest + one <= available {
            return format!("--threads {} may fit", ((available - rest) / one.max(1)).max(1));
        }
        if self.method == Method::Full && self.head_only <= available {
            return "--head-only takes less".into();
        }
        format!("set --max-length below {}, or take a smaller model or table", self.longest)
    }
}

/// What stages of a run take.
struct Needs<'a> {
    tuning: &'a FineTuning,
    model: &'a Engine,
    longest: usize,
    parameters: u64,
}

impl Needs<'_> {
    /// Groups of a batch.
    fn groups(&self) -> usize {
        let batch = self.tuning.full.batch;
        batch.div_ceil(batch.div_ceil(GROUPS))
    }

    /// Sequences whose working memory is the host's at a time. All that wait for a GPU count as one.
    fn at_a_time(&self, jobs: usize) -> usize {
        if self.model.gathers() { 1 } else { Lanes::at_a_time(self.tuning.threads, jobs, self.longest) }
    }

    /// Passes over all sequences, without gradients: the weights as loaded, with their head, and made ready. Of a sequence
    /// that waits for a GPU there are its ids, twice, and its vector.
    fn passes(&self, at_a_time: usize) -> PlannedMemory {
        let windows = match waiting(self.model, self.longest) {
            Some(lanes) => lanes as u64 * (2 * self.longest as u64 + FLOAT * self.model.width() as u64),
            None => at_a_time as u64 * self.model.pass_bytes(Chunking::Auto, self.longest),
        };
        PlannedMemory {
            state: 2 * FLOAT * self.parameters,
            windows,
            passing: FLOAT * self.parameters,
            ..PlannedMemory::default()
        }
    }

    /// Steps: beside the weights as loaded and with their head those that move, the best so far and two moments. Of a GPU one
    /// set of gradients is brought to the host.
    fn steps(&self, at_a_time: usize) -> PlannedMemory {
        let train = TrainMemory::of::<f32>(self.model.config(), Precision::Full, Chunking::Auto, self.longest);
        let (scratches, sets) = if self.model.gathers() { (0, 2) } else { (at_a_time as u64, GROUPS as u64) };
        PlannedMemory {
            state: 6 * FLOAT * self.parameters,
            windows: scratches * train.scratch(),
            gradients: sets * train.gradients,
            passing: train.weights + FLOAT * self.parameters,
            ..PlannedMemory::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use longstrand_kernels::simd::Level;
    use longstrand_seq::Vocabulary;

    use super::super::data::Example;
    use super::super::settings::{Input, Optimization, Strands};
    use super::super::task::{ClassWeights, TaskKind};
    use super::*;
    use crate::init::{InitOptions, initial_weights};

    fn plan(method: Method, threads: usize, longest: usize, available_memory: Option<u64>) -> TuningPlan {
        let config = Config::caduceus_ph(64, 2, &Vocabulary::caduceus());
        let weights = initial_weights(&config, &InitOptions::default(), 1);
        let example = |line| Example { line, label: None, ids: vec![7; longest] };
        let table = Table { path: "t.tsv".into(), examples: (0..100).map(example).collect() };
        let tuning = FineTuning {
            input: Input::Folds { table: table.path.clone(), folds: 2 },
            genome: None,
            genome_options: longstrand_seq::GenomeOptions::default(),
            kind: TaskKind::Classification,
            method,
            strands: Strands::Both,
            longest,
            valid_fraction: 0.1,
            class_weights: ClassWeights::Equal,
            head: Optimization::HEAD,
            full: Optimization::FULL,
            seed: 0,
            threads: NonZeroUsize::new(threads).unwrap(),
            available_memory,
        };
        let model = Engine::of_weights(&Level::widest().into(), &config, &weights).unwrap();
        TuningPlan::new(&tuning, &[&table], &config, &weights, 2, &model)
    }

    #[test]
    fn memory_grows_with_threads_and_sequences() {
        let of = |threads, longest| plan(Method::Full, threads, longest, None).memory.windows;
        assert_eq!(of(4, 500), 4 * of(1, 500));
        assert_eq!(of(16, 500), 8 * of(1, 500), "a batch has eight groups");
        assert_eq!(of(4, 20_000), of(1, 20_000), "long sequences go one by one");
        assert!(of(1, 1_000) > of(1, 500));
        let (full, head) = (plan(Method::Full, 1, 500, None), plan(Method::HeadOnly, 1, 500, None));
        assert!(head.total() < full.total() && head.memory.gradients == 0);
    }

    #[test]
    fn what_cannot_fit_is_refused_with_what_would() {
        let needed = plan(Method::Full, 4, 2_000, None);
        assert!(plan(Method::Full, 4, 2_000, Some(needed.total())).check().is_ok());
        let message =
            |method, longest, available| plan(method, 4, longest, Some(available)).check().unwrap_err().to_string();
        let short = needed.total() - needed.memory.windows / 2;
        assert!(message(Method::Full, 2_000, short).ends_with("; --threads 2 may fit"));
        let head_only = plan(Method::HeadOnly, 1, 2_000, None).total();
        assert!(message(Method::Full, 2_000, head_only).ends_with("; --head-only takes less"));
        let message = message(Method::HeadOnly, 300_000, 1 << 20);
        assert!(message.ends_with("set --max-length below 300000, or take a smaller model or table"), "{message}");
    }
}
