//! What a run is going to do, and whether there is the memory for it.

use std::num::NonZeroUsize;

use longstrand_model::{
    Chunking, Crew, Model,
    checkpoint::{TensorSpec, Weights},
    config::Config,
    train::TrainMemory,
};
use serde::Serialize;

use super::{Division, TrainError, TrainingProcessor};
use crate::{collectives::Buckets, config::Settings, data::DataSummary};

/// Bytes of a parameter, of its gradient, and of each of its two moments.
const FLOAT: u64 = 4;

/// What is said of a model that leaves no room for anything else.
const TOO_LARGE: &str = "the model is too large: set model.d_model or model.n_layer lower";

/// What a run is going to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What there is to train on.
    pub data: DataSummary,
    /// Parameters of the model.
    pub parameters: u64,
    /// How the windows of a step are worked on, for each stage of the length: from which step on, and how.
    pub divisions: Vec<(u64, Division)>,
    /// Processes that share a step's windows.
    pub ranks: usize,
    /// How many of them own a window together.
    pub context: usize,
    /// Threads of each.
    pub threads: NonZeroUsize,
    /// What a step takes in the process that takes most.
    pub memory: PlannedMemory,
    /// Bytes of memory that may be used, where that is known.
    pub available_memory: Option<u64>,
}

/// Bytes that a run takes at its height.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct PlannedMemory {
    /// Parameters and the optimizer's moments.
    pub state: u64,
    /// Working memory of the windows that are under way at a time: streams, states, a chunk.
    pub windows: u64,
    /// Sets of gradients.
    pub gradients: u64,
    /// Gradients on their way between ranks.
    pub sums: u64,
    /// The most of what comes one after another: weights made ready, a validation, a checkpoint on its way to the disk.
    pub passing: u64,
}

impl PlannedMemory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.state + self.windows + self.gradients + self.sums + self.passing
    }

    /// What a step takes at this division of a rank's windows, of a model with so many parameters. On a GPU windows are in
    /// its own memory, and one set of gradients is brought to the host.
    pub fn of_step(
        config: &Config,
        processor: &TrainingProcessor,
        parameters: u64,
        division: Division,
        threads: NonZeroUsize,
    ) -> Self {
        let length = usize::try_from(division.longest_stretch()).unwrap_or(usize::MAX);
        let train = TrainMemory::of::<f32>(config, processor.precision(), Chunking::Auto, length);
        let (scratches, sets) = match processor.is_host() {
            true => (division.at_a_time(threads), division.gradient_sets(threads)),
            false => (0, 2),
        };
        Self {
            state: 3 * FLOAT * parameters,
            windows: scratches as u64 * train.scratch(),
            gradients: sets as u64 * train.gradients,
            sums: 0,
            // The weights made ready are given back before the sums are put in the layout of the parameters.
            passing: train.weights.max(FLOAT * parameters),
        }
    }

    /// The larger of each.
    pub(crate) fn or_more(self, other: Self) -> Self {
        Self {
            state: self.state.max(other.state),
            windows: self.windows.max(other.windows),
            gradients: self.gradients.max(other.gradients),
            sums: self.sums.max(other.sums),
            passing: self.passing.max(other.passing),
        }
    }
}

impl Plan {
    /// The plan of a run.
    ///
    /// # Errors
    ///
    /// - settings cannot be used
    /// - a step has fewer windows than there are ranks, or groups of ranks that own one together; these are no whole groups,
    ///   or more than a window has bases, or compute on GPUs
    pub(super) fn new(
        settings: &Settings,
        data: DataSummary,
        (config, weights): (&Config, &Weights),
        (ranks, threads): (usize, NonZeroUsize),
        processor: &TrainingProcessor,
        available_memory: Option<u64>,
    ) -> Result<Self, TrainError> {
        let lengths = settings.lengths()?;
        let context = check_context(settings.run.context_ranks, ranks, lengths.shortest(), processor.is_host())?;
        let division = |from_step: u64, length: u64| {
            let windows = (settings.run.tokens / length) as u32;
            (from_step, Division { context, ..Division::new(windows, length) })
        };
        let divisions: Vec<_> = lengths.stages().iter().map(|stage| division(stage.from_step, stage.length)).collect();
        divisions.iter().try_for_each(|&(from_step, division)| check_windows(from_step, division, ranks))?;
        let parameters = weights.parameter_count();
        let shares = divisions.iter().map(|(_, division)| division.largest_share(ranks));
        let each = shares.map(|share| PlannedMemory::of_step(config, processor, parameters, share, threads));
        let mut memory = each.fold(PlannedMemory::default(), PlannedMemory::or_more);
        memory.sums = sums(weights, ranks);
        // A copy of the weights, their bytes twice, and those of the moments twice.
        memory.passing = memory.passing.max(7 * FLOAT * parameters);
        if let (1.., TrainingProcessor::Cpu(cpu)) = (settings.validation.every, processor) {
            let length = usize::try_from(settings.validation_length()?).unwrap_or(usize::MAX);
            let model = Model::of_weights(*cpu, config.clone(), weights);
            // Long windows are passed by all threads, one after another.
            let at_a_time = if length >= Crew::<()>::LONG { 1 } else { threads.get() };
            let pass = model.pass_bytes(Chunking::Auto, length) * at_a_time as u64;
            memory.passing = memory.passing.max(3 * FLOAT * parameters + pass);
        }
        Ok(Self { data, parameters, divisions, ranks, context, threads, memory, available_memory })
    }

    /// Whether there is the memory for the model itself, its moments and a checkpoint on its way to the disk, before any of
    /// it is made.
    ///
    /// # Errors
    ///
    /// - there is not
    pub(super) fn check_model(config: &Config, available: Option<u64>) -> Result<(), TrainError> {
        let parameters: u64 = TensorSpec::all(config).iter().map(|spec| spec.elements() as u64).sum();
        let needed = (3 + 7) * FLOAT * parameters;
        match available {
            Some(available) if needed > available => {
                Err(TrainError::Memory { needed, available, advice: TOO_LARGE.into() })
            }
            _ => Ok(()),
        }
    }

    /// Whether there is the memory for it.
    ///
    /// # Errors
    ///
    /// - there is not; the message names what would help
    pub fn check(&self) -> Result<(), TrainError> {
        let needed = self.memory.total();
        match self.available_memory {
            Some(available) if needed > available => {
                Err(TrainError::Memory { needed, available, advice: self.advice(available) })
            }
            _ => Ok(()),
        }
    }

    /// Bytes of memory that a step leaves, of which the system keeps an eighth; none where it is not known what there is.
    #[cfg(feature = "cuda")]
    pub(super) fn spare_memory(&self) -> u64 {
        self.available_memory.map_or(0, |available| available.saturating_sub(self.memory.total()) / 8 * 7)
    }

    /// What would make the run fit, as far as can be told.
    fn advice(&self, available: u64) -> String {
        let PlannedMemory { state, windows, gradients, sums, passing } = self.memory;
        let longest = self.divisions.iter().map(|(_, division)| division.length).max().unwrap_or(0);
        let passing = passing + sums;
        let at_a_time = |division: &Division| division.largest_share(self.ranks).at_a_time(self.threads);
        let at_once = self.divisions.iter().map(|(_, division)| at_a_time(division)).max().unwrap_or(1) as u64;
        let one = windows / at_once.max(1);
        if state + gradients.min(2 * state) + passing > available {
            return TOO_LARGE.into();
        }
        if at_once > 1 && state + one + 2 * (state / 3) + passing <= available {
            return format!("--threads {} would fit", self.fitting_threads(available, one));
        }
        format!(
            "the windows are too long: let more processes own each together (--context-ranks), or set --length \
             (data.length or data.stages) below {longest}"
        )
    }

    /// The most threads whose windows fit, where those of one do.
    fn fitting_threads(&self, available: u64, one: u64) -> u64 {
        let PlannedMemory { state, gradients, sums, passing, .. } = self.memory;
        let left = available.saturating_sub(state + gradients + sums + passing);
        (left / one.max(1)).max(1)
    }
}

/// How many ranks own a window together.
fn check_context(context: u64, ranks: usize, shortest: u64, is_on_host: bool) -> Result<usize, TrainError> {
    let expected = match context {
        1 => return Ok(1),
        _ if !is_on_host => "1, as GPUs train on whole windows".into(),
        _ if context == 0 || !(ranks as u64).is_multiple_of(context) => format!("a divisor of the {ranks} ranks"),
        _ if context > shortest => format!("at most the {shortest} bases of a window"),
        _ => return Ok(context as usize),
    };
    let setting = "setting run.context_ranks (--context-ranks)";
    Err(TrainError::Usage(format!("{setting}: expected {expected}, found {context}")))
}

fn check_windows(from_step: u64, division: Division, ranks: usize) -> Result<(), TrainError> {
    let Division { windows, length, context } = division;
    let groups = ranks / context;
    if windows as usize >= groups {
        return Ok(());
    }
    let each = if context > 1 { format!("{groups} groups of {context} ranks") } else { format!("{ranks} ranks") };
    Err(TrainError::Usage(format!(
        "setting run.tokens (--batch-tokens): expected a window for each of {each}, {} bases, found {windows} windows of \
         {length} bases from step {from_step} on",
        groups as u64 * length
    )))
}

/// What sums take on rank 0, which gathers a bucket of every rank, each of which may have grown to twice its size, beside
/// those that come next and go out.
fn sums(weights: &Weights, ranks: usize) -> u64 {
    let lengths: Vec<usize> = weights.tensors().iter().map(|tensor| tensor.len()).collect();
    let buckets = Buckets::new(&lengths, Buckets::BYTES);
    let bytes = |bucket: &[usize]| FLOAT * bucket.iter().map(|&tensor| lengths[tensor] as u64).sum::<u64>();
    let largest = buckets.iter().map(bytes).max().unwrap_or(0);
    if ranks == 1 { 0 } else { 2 * (ranks as u64 + 1) * largest }
}

#[cfg(test)]
mod tests {
    use longstrand_kernels::{Cpu, simd::Level};
    use longstrand_seq::Vocabulary;

    use super::*;
    use crate::{
        config::{Flag, resolve},
        init::initial_weights,
    };

    fn plan(flags: &[Flag], threads: usize, available: Option<u64>) -> Plan {
        of_ranks(1, flags, threads, available).unwrap()
    }

    fn of_ranks(ranks: usize, flags: &[Flag], threads: usize, available: Option<u64>) -> Result<Plan, TrainError> {
        let settings = resolve(Some("caduceus-ph-1k"), None, flags).unwrap();
        let config = Config { n_layer: 1, ..settings.model_config().unwrap() };
        assert_eq!(config.vocab_size, Config::caduceus_ph(256, 1, &Vocabulary::caduceus()).vocab_size);
        let weights = initial_weights(&config, &settings.model.initial(), 1);
        let data = DataSummary { contigs: 1, bases: 1, splits: Vec::new(), pools: Vec::new() };
        let threads = NonZeroUsize::new(threads).unwrap();
        let cpu = Cpu::with_precision(Level::detect().unwrap(), settings.run.precision.into());
        Plan::new(&settings, data, (&config, &weights), (ranks, threads), &cpu.into(), available)
    }

    #[test]
    fn memory_grows_with_the_windows_under_way() {
        let (one, four) = (plan(&[], 1, None), plan(&[], 4, None));
        assert_eq!(4 * one.memory.windows, four.memory.windows);
        assert_eq!(one.memory.gradients, 2 * four.memory.gradients / 32);
        let long = plan(&[Flag::new("data.length", 1 << 17)], 4, None);
        assert!(long.memory.windows > 16 * one.memory.windows);
        assert!(four.check().is_ok());
    }

    #[test]
    fn bf16_halves_what_is_kept_of_every_layer() {
        let long = Flag::new("data.length", 1 << 18);
        let [full, half] = ["f32", "bf16"]
            .map(|precision| plan(&[long.clone(), Flag::new("run.precision", precision)], 1, None).memory);
        // One layer's inputs in two bytes rather than four, and a chunk of them widened.
        let (width, chunk) = (256, 1 << 14);
        assert!(half.windows < full.windows - width * ((1 << 18) * 2 - 4 * chunk), "{half:?} {full:?}");
        assert_eq!((half.state, half.gradients), (full.state, full.gradients));
    }

    #[test]
    fn what_cannot_fit_is_refused_with_what_would() {
        let four = plan(&[], 4, None);
        let short = four.memory.total() - four.memory.windows / 2;
        let message = plan(&[], 4, Some(short)).check().unwrap_err().to_string();
        assert!(message.contains("; --threads 2 would fit"), "{message}");
        let long = [Flag::new("data.length", 1 << 20), Flag::new("validation.every", 0)];
        let message = plan(&long, 4, Some(1 << 30)).check().unwrap_err().to_string();
        assert!(message.ends_with("set --length (data.length or data.stages) below 1048576"), "{message}");
        let message = plan(&[], 4, Some(1 << 20)).check().unwrap_err().to_string();
        assert!(message.contains("set model.d_model or model.n_layer lower"), "{message}");
    }

    #[test]
    fn ranks_share_the_windows_and_take_memory_for_their_sums() {
        let flags = [Flag::new("run.tokens", 7 << 10)];
        let (alone, three) = (plan(&flags, 8, None), of_ranks(3, &flags, 8, None).unwrap());
        assert_eq!(7 * three.memory.windows, 3 * alone.memory.windows);
        assert_eq!(7 * three.memory.gradients, 3 * alone.memory.gradients);
        assert_eq!((alone.memory.sums, three.memory.sums), (0, 8 * FLOAT * three.parameters));
        assert!(of_ranks(7, &flags, 8, None).is_ok());
        let message = of_ranks(8, &flags, 8, None).unwrap_err().to_string();
        let expected =
            "--batch-tokens): expected a window for each of 8 ranks, 8192 bases, found 7 windows of 1024 bases";
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn ranks_that_own_windows_together_share_their_memory() {
        let long = [Flag::new("data.length", 1 << 18), Flag::new("run.tokens", 1 << 18)];
        let flags = |context: i64| [&long[..], &[Flag::new("run.context_ranks", context)]].concat();
        let (alone, four) = (plan(&long, 2, None), of_ranks(4, &flags(4), 2, None).unwrap());
        assert!(four.memory.windows < alone.memory.windows / 2, "{four:?} {alone:?}");
        for (ranks, context, expected) in [
            (4, 3, "--context-ranks): expected a divisor of the 4 ranks, found 3"),
            (1, 2, "--context-ranks): expected a divisor of the 1 ranks, found 2"),
            (4, 2, "expected a window for each of 2 groups of 2 ranks, 524288 bases, found 1 windows of 262144 bases"),
        ] {
            let message = of_ranks(ranks, &flags(context), 2, None).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(check_context(1, 3, 1, false).is_ok());
        let message = check_context(2, 2, 64, false).unwrap_err().to_string();
        assert!(
            message.ends_with("--context-ranks): expected 1, as GPUs train on whole windows, found 2"),
            "{message}"
        );
        let short = [Flag::new("data.length", 2), Flag::new("run.context_ranks", 4)];
        let message = of_ranks(4, &short, 2, None).unwrap_err().to_string();
        assert!(message.contains("--context-ranks): expected at most the 2 bases of a window, found 4"), "{message}");
    }
}
