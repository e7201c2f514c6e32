//! Files to measures.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{Engine, Processor, TokenFile, Watch};
use longstrand_seq::bed::read_bed;
use longstrand_seq::window::{GenomeWindows, Partial, Shard, Targets, Window, WindowOptions, WindowPlan, WindowSize};
use longstrand_seq::{Genome, GenomeOptions, region};

use super::error::EvaluateError;
use super::judges::Judges;
use super::{Class, Evaluator, Tally};
use crate::baseline::{Markov, Neighbours};
use crate::objective::{Batch, IGNORED, Masking, Objective, Preparation};
use crate::random::{Draws, Purpose};

/// What a model is to predict.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Where sequences come from.
    pub input: Input,
    /// The most windows, or sequences, of each length; the first ones are taken.
    pub limit: Option<NonZeroU64>,
    /// Threads that compute.
    pub threads: NonZeroUsize,
}

/// Where sequences come from.
#[derive(Clone, Debug)]
pub enum Input {
    /// Windows of a genome.
    Genome(WindowsOf),
    /// Token ids and targets, as they are; see [`TokenFile`].
    Tokens(PathBuf),
}

/// Windows of a genome, of each length and each fraction of masked bases.
#[derive(Clone, Debug)]
pub struct WindowsOf {
    /// FASTA or 2bit.
    pub path: PathBuf,
    /// How the genome is understood.
    pub genome: GenomeOptions,
    /// Regions (1-based, closed) that are tiled; empty for all contigs.
    pub regions: Vec<String>,
    /// BED files of which each interval gives one window of each length around its centre.
    pub beds: Vec<PathBuf>,
    /// Bases of a window; what is shorter is left out.
    pub lengths: Vec<NonZeroU64>,
    /// Windows of which a larger fraction is none of A, C, G, T are left out.
    pub max_ambiguous: f64,
    /// How bases are hidden from a masked language model, for each fraction that is selected.
    pub maskings: Vec<Masking>,
    /// What decides which bases are hidden.
    pub seed: u64,
}

/// What a model made of windows of one length, and of one fraction of hidden bases.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Positions of a window.
    pub length: u64,
    /// The fraction of bases that were selected; none of a causal model, and of a file of tokens.
    pub selected: Option<f64>,
    /// How many windows.
    pub windows: u64,
    /// How many windows were left out, as too short or too ambiguous.
    pub left_out: u64,
    /// What the targets add up to.
    pub tally: Tally,
    /// What Markov models make of the same targets.
    pub baselines: Vec<(Neighbours, Tally)>,
}

impl Evaluation {
    /// Predicts, and measures.
    ///
    /// # Errors
    ///
    /// - the model has no language-model head, or no `[MASK]` where bases are to be hidden;
    /// - a file cannot be read, or does not have a region;
    /// - no window is left, or none has a target;
    /// - a device has no room for the weights, or fails;
    /// - the watch stops the run.
    pub fn run(
        &self,
        checkpoint: &Checkpoint,
        processor: impl Into<Processor>,
        watch: &dyn Watch,
    ) -> Result<Vec<Measured>, EvaluateError> {
        self.run_beside(&[], checkpoint, processor, watch)
    }

    /// As [`Self::run`], with Markov models asked for the same targets.
    ///
    /// # Errors
    ///
    /// - a Markov model looks to the right and the language model is causal;
    /// - as [`Self::run`].
    pub fn run_beside(
        &self,
        baselines: &[Markov],
        checkpoint: &Checkpoint,
        processor: impl Into<Processor>,
        watch: &dyn Watch,
    ) -> Result<Vec<Measured>, EvaluateError> {
        let engine = Engine::new(&processor.into(), checkpoint)?;
        let evaluator = Evaluator::new(engine, checkpoint, self.threads).ok_or_else(|| {
            let name = &checkpoint.name;
            EvaluateError::Usage(format!("evaluate needs a language model, and {name} has no such head"))
        })?;
        let mut judges = Judges::new(evaluator, baselines, checkpoint)?;
        let measured = match &self.input {
            Input::Tokens(path) => vec![self.tokens(path, checkpoint, &mut judges, watch)?],
            Input::Genome(windows) => self.windows(windows, checkpoint, &mut judges, watch)?,
        };
        if let Some(none) = measured.iter().find(|measured| measured.tally.total(Class::All).targets == 0) {
            let path = match &self.input {
                Input::Tokens(path) => path.clone(),
                Input::Genome(windows) => windows.path.clone(),
            };
            return Err(EvaluateError::NoTargets { path, windows: none.windows });
        }
        let trained = checkpoint.config.trained_context;
        if let Some((trained, longest)) = trained.zip(measured.iter().map(|measured| measured.length).max())
            && longest > trained
        {
            watch.warn(&format!("windows of up to {longest} bases; the model was trained at {trained}"));
        }
        Ok(measured)
    }

    fn windows(
        &self,
        windows: &WindowsOf,
        checkpoint: &Checkpoint,
        judges: &mut Judges<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<Measured>, EvaluateError> {
        let objectives: Vec<(Objective, Option<f64>)> = match checkpoint.config.is_causal() {
            true => vec![(Objective::Causal, None)],
            false => {
                windows.maskings.iter().map(|&masking| (Objective::Masked(masking), Some(masking.select))).collect()
            }
        };
        let mut measured = Vec::new();
        for &length in &windows.lengths {
            for &(objective, selected) in &objectives {
                let preparation = Preparation::new(objective, checkpoint.vocabulary.clone(), 1.0)?;
                let of_length = self.windows_of_length(windows, length, &preparation, judges, watch)?;
                measured.push(Measured { selected, ..of_length });
            }
        }
        match measured.iter().find(|measured| measured.windows == 0) {
            None => Ok(measured),
            Some(none) => Err(EvaluateError::NoWindows {
                path: windows.path.clone(),
                length: none.length,
                left_out: none.left_out,
            }),
        }
    }

    /// Measures windows of one length, prepared in one way.
    fn windows_of_length(
        &self,
        windows: &WindowsOf,
        length: NonZeroU64,
        preparation: &Preparation,
        judges: &mut Judges<'_>,
        watch: &dyn Watch,
    ) -> Result<Measured, EvaluateError> {
        let mut source = windows.open(length, watch)?;
        let mut taken = Taken::new(preparation, windows.seed, length.get() as usize);
        let at_a_time = judges.batch(length.get() as usize);
        for window in source.by_ref().take(self.limit()) {
            taken.push(&window?);
            if taken.batch.ids.len() >= at_a_time {
                taken.judge(judges, watch)?;
            }
        }
        taken.judge(judges, watch)?;
        let counts = source.counts();
        let left_out = counts.dropped_partial + counts.dropped_ambiguous;
        let (tally, baselines) = judges.take();
        Ok(Measured { length: length.get(), selected: None, windows: taken.index, left_out, tally, baselines })
    }

    fn tokens(
        &self,
        path: &Path,
        checkpoint: &Checkpoint,
        judges: &mut Judges<'_>,
        watch: &dyn Watch,
    ) -> Result<Measured, EvaluateError> {
        let vocabulary = &checkpoint.vocabulary;
        let file = TokenFile::read(path, vocabulary.len(), |id| vocabulary.is_base(id))?;
        let labels: Vec<u8> = file.labels.iter().map(|label| label.unwrap_or(IGNORED)).collect();
        let windows = (file.ids.len() / file.length).min(self.limit());
        let per_batch = (judges.batch(file.length) / file.length).max(1);
        for first in (0..windows).step_by(per_batch) {
            let rows = first * file.length..(first + per_batch).min(windows) * file.length;
            let (ids, labels) = (file.ids[rows.clone()].to_vec(), labels[rows].to_vec());
            let batch = Batch { length: file.length, ids, labels, weights: None };
            judges.add(&batch, watch)?;
        }
        let (tally, baselines) = judges.take();
        let (length, windows) = (file.length as u64, windows as u64);
        Ok(Measured { length, selected: None, windows, left_out: 0, tally, baselines })
    }

    fn limit(&self) -> usize {
        self.limit.map_or(usize::MAX, |limit| usize::try_from(limit.get()).unwrap_or(usize::MAX))
    }
}

impl WindowsOf {
    fn open(&self, length: NonZeroU64, watch: &dyn Watch) -> Result<GenomeWindows, EvaluateError> {
        let genome = Genome::open(&self.path, &self.genome)?;
        if let Some(notice) = genome.notice() {
            watch.note(&notice);
        }
        let targets = self.targets(&genome)?;
        let options = WindowOptions {
            size: WindowSize::Bases(length),
            partial: Partial::Drop,
            max_ambiguous: self.max_ambiguous,
            ..WindowOptions::default()
        };
        let plan = WindowPlan::new(genome.contigs(), &targets, &options)?;
        Ok(GenomeWindows::new(genome, plan, Shard::WHOLE, self.max_ambiguous))
    }

    fn targets(&self, genome: &Genome) -> Result<Targets, EvaluateError> {
        let contigs = genome.contigs();
        if !self.beds.is_empty() {
            let records: Result<Vec<_>, _> = self.beds.iter().map(|bed| read_bed(bed, contigs)).collect();
            return Ok(Targets::Bed(records?.into_iter().flatten().collect()));
        }
        if self.regions.is_empty() {
            return Ok(Targets::Contigs);
        }
        let regions: Result<Vec<_>, _> = self.regions.iter().map(|text| region::parse(text, contigs)).collect();
        Ok(Targets::Regions(
            regions.map_err(|error| EvaluateError::Region { path: self.path.clone(), error: error.into() })?,
        ))
    }
}

/// Windows that are prepared and not yet judged.
struct Taken<'a> {
    preparation: &'a Preparation,
    seed: u64,
    batch: Batch,
    /// Windows so far.
    index: u64,
}

impl<'a> Taken<'a> {
    fn new(preparation: &'a Preparation, seed: u64, length: usize) -> Self {
        Self { preparation, seed, batch: preparation.batch(length), index: 0 }
    }

    fn push(&mut self, window: &Window) {
        let draws = Draws::new(self.seed, Purpose::ValidationMask, self.index >> 32, self.index as u32);
        self.preparation.push(&mut self.batch, &window.bases, &draws);
        self.index += 1;
    }

    fn judge(&mut self, judges: &mut Judges<'_>, watch: &dyn Watch) -> Result<(), EvaluateError> {
        judges.add(&self.batch, watch)?;
        self.batch = self.preparation.batch(self.batch.length);
        Ok(())
    }
}
