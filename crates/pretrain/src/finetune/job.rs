//! A fine-tuning from tables to predictions, and a tuned model on another table.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use longstrand_kernels::{Cpu, simd::Level};
use longstrand_model::checkpoint::{Checkpoint, Weights};
use longstrand_model::config::{ClassifierPooling, Config, Head};
use longstrand_model::{Model, Watch};
use longstrand_seq::labelled::Labels;
use longstrand_seq::{Genome, GenomeOptions};

use super::data::{Example, Part, Table};
use super::deal::{folds, held_out};
use super::error::FineTuneError;
use super::full::FullFit;
use super::head::{HeadFit, outputs_of};
use super::lanes::Lanes;
use super::measures::Measures;
use super::predict::{Passes, Prediction, Progress, Recipe, mean_loss, measures, predictions};
use super::task::{ClassWeights, Task, TaskKind};
use crate::optimizer::AdamWOptions;
use crate::schedule::{FirstStep, Form, Schedule, Warmup};

/// What is learned from.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A table for each part.
    Files {
        /// What is learned from.
        train: PathBuf,
        /// What decides the best epoch; without it a part of `train` is held out for that.
        valid: Option<PathBuf>,
        /// What only measures.
        test: Option<PathBuf>,
    },
    /// One table that is split into so many parts; each in turn is the test part.
    Folds {
        /// The table.
        table: PathBuf,
        /// How many parts, at least 2.
        folds: usize,
    },
}

/// What changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// The head.
    HeadOnly,
    /// The head, and then all parameters.
    Full,
}

/// Which strands are used of a model that is not equivariant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Strands {
    /// Both.
    #[default]
    Both,
    /// The sequence as it is given.
    Forward,
}

/// How parameters are moved: AdamW (β 0.9 and 0.999), a linear warm-up and half a cosine down to 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimization {
    /// Times that each sequence is seen.
    pub epochs: u64,
    /// Sequences of a step, at least 1.
    pub batch: usize,
    /// The highest learning rate.
    pub rate: f64,
    /// Decay of matrices.
    pub weight_decay: f64,
    /// The fraction of steps in which the rate rises.
    pub warmup: f64,
    /// The largest norm of all gradients.
    pub clip: f64,
}

impl Optimization {
    /// What suits a head alone.
    pub const HEAD: Self = Self { epochs: 40, batch: 64, rate: 1e-2, weight_decay: 0.01, warmup: 0.1, clip: 1.0 };

    /// What suits all parameters of a trained model.
    pub const FULL: Self = Self { epochs: 3, batch: 32, rate: 2e-4, weight_decay: 0.01, warmup: 0.1, clip: 1.0 };

    pub(super) fn adamw(&self) -> AdamWOptions {
        AdamWOptions { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: self.weight_decay }
    }

    pub(super) fn schedule(&self, sequences: usize) -> Schedule {
        let steps = self.epochs * sequences.div_ceil(self.batch) as u64;
        let warmup = (self.warmup * steps as f64).round() as u64;
        Schedule {
            warmup: Warmup { start: 0.0, steps: warmup, first: FirstStep::OneIncrement },
            peak: self.rate,
            form: Form::Cosine { steps, last: 0.0 },
        }
    }
}

/// A fine-tuning.
#[derive(Clone, Debug, PartialEq)]
pub struct FineTuning {
    /// The tables.
    pub input: Input,
    /// The genome of tables of intervals.
    pub genome: Option<PathBuf>,
    /// How it is understood.
    pub genome_options: GenomeOptions,
    /// What labels are.
    pub kind: TaskKind,
    /// What changes.
    pub method: Method,
    /// Which strands are used.
    pub strands: Strands,
    /// Bases of a sequence that are used, around its centre; at least 1.
    pub longest: usize,
    /// The fraction of the training table that is held out to decide the best epoch where there is no validation table; of 0
    /// the last epoch counts.
    pub valid_fraction: f64,
    /// How much classes count.
    pub class_weights: ClassWeights,
    /// How the head is fitted.
    pub head: Optimization,
    /// How all parameters are tuned.
    pub full: Optimization,
    /// What orders, strands and parts depend on.
    pub seed: u64,
    /// Threads.
    pub threads: NonZeroUsize,
}

/// What came of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// What changed.
    pub stage: Method,
    /// Its number, from 1.
    pub epoch: u64,
    /// Mean loss while it was learned.
    pub loss: f64,
    /// Mean loss on the validation part afterwards.
    pub valid_loss: Option<f64>,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.loss)?;
        if let Some(loss) = self.valid_loss {
            write!(f, ", validation {loss:.4}")?;
        }
        write!(f, " in epoch {}", self.epoch)
    }
}

/// Predictions for a part.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// `valid`, `test` or `fold-N`.
    pub part: String,
    /// One for each sequence.
    pub predictions: Vec<Prediction>,
    /// How good they are; none without labels.
    pub measures: Option<Measures>,
}

/// What a fine-tuning gave.
#[derive(Clone, Debug)]
pub struct FineTuned {
    /// The tuned model; none where there were folds.
    pub checkpoint: Option<Checkpoint>,
    /// How it is applied.
    pub recipe: Recipe,
    /// Epochs, those of each fold in turn.
    pub epochs: Vec<Epoch>,
    /// Predictions; with folds one part for each, in which no sequence was learned from.
    pub parts: Vec<Measured>,
}

/// A tuned model on another table.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// The table, with or without labels.
    pub table: PathBuf,
    /// The genome of a table of intervals.
    pub genome: Option<PathBuf>,
    /// How it is understood.
    pub genome_options: GenomeOptions,
    /// How the model is applied.
    pub recipe: Recipe,
    /// Threads.
    pub threads: NonZeroUsize,
}

/// The parameters of the epoch with the smallest validation loss, or of the last one where there is no such loss.
pub(super) struct Best<T> {
    loss: f64,
    kept: T,
}

impl<T> Best<T> {
    pub(super) fn new(kept: T) -> Self {
        Self { loss: f64::INFINITY, kept }
    }

    pub(super) fn offer(&mut self, loss: Option<f64>, kept: impl FnOnce() -> T) {
        if loss.is_none_or(|loss| loss < self.loss) {
            self.loss = loss.unwrap_or(self.loss);
            self.kept = kept();
        }
    }

    pub(super) fn into_kept(self) -> T {
        self.kept
    }
}

/// Opens the genome of tables of intervals.
fn open_genome(
    path: Option<&Path>,
    options: &GenomeOptions,
    watch: &dyn Watch,
) -> Result<Option<Genome>, FineTuneError> {
    let genome = path.map(|path| Genome::open(path, options)).transpose()?;
    if let Some(notice) = genome.as_ref().and_then(Genome::notice) {
        watch.note(&notice);
    }
    Ok(genome)
}

/// A model's configuration and weights with a new head of zeros.
fn with_head(checkpoint: &Checkpoint, outputs: usize) -> (Config, Weights) {
    let head = Head::SequenceClassification { n_labels: outputs, pooling: ClassifierPooling::Mean };
    let config = Config { head, ..checkpoint.config.clone() };
    let score = Some(vec![0.0; outputs * config.d_model]);
    let weights = Weights { lm_head: None, score, ..checkpoint.weights.clone() };
    (config, weights)
}

/// Tables in memory and their hidden states.
struct Tables {
    train: Table,
    valid: Option<Table>,
    test: Option<Table>,
}

/// Parameters that a run came to.
struct Fitted {
    weights: Weights,
    epochs: Vec<Epoch>,
}

impl FineTuning {
    /// Tunes a model, and predicts the validation and the test part.
    ///
    /// # Errors
    ///
    /// - a number is out of bounds, or the model's dialect has no classification head;
    /// - a table or the genome cannot be used, or a part would be empty;
    /// - the loss is no number any more;
    /// - the watch stops the run, or there are no threads.
    pub fn run(&self, checkpoint: &Checkpoint, level: Level, watch: &dyn Watch) -> Result<FineTuned, FineTuneError> {
        self.check()?;
        let tables = self.read(checkpoint, watch)?;
        let task = Task::of_table(self.kind, &tables.train)?;
        let (config, weights) = with_head(checkpoint, task.outputs());
        if let Input::Files { .. } = self.input {
            config.to_json(&checkpoint.vocabulary)?;
        }
        let (lanes, progress) = (Lanes::new(self.threads)?, Progress::new(watch));
        let both = self.strands == Strands::Both && config.rcps.is_none();
        let passes = Passes { vocabulary: &checkpoint.vocabulary, both, lanes: &lanes, progress: &progress };
        let run = Run { tuning: self, task: &task, config: &config, weights: &weights, level, passes: &passes };
        let all = [Some(&tables.train), tables.valid.as_ref(), tables.test.as_ref()];
        for table in all.into_iter().flatten() {
            table.targets(&task)?;
            progress.expect(table.examples.len());
        }
        let (epochs, parts, tuned) = match self.input {
            Input::Files { .. } => run.files(&tables)?,
            Input::Folds { folds, .. } => run.folds(&tables.train, folds)?,
        };
        let name = format!("{}-tuned", checkpoint.name);
        let checkpoint = tuned
            .map(|weights| Checkpoint::new(name, config.clone(), weights, checkpoint.vocabulary.clone()))
            .transpose()?;
        let recipe = Recipe { task, longest: self.longest, strands: self.strands };
        Ok(FineTuned { checkpoint, recipe, epochs, parts })
    }

    fn check(&self) -> Result<(), FineTuneError> {
        let usage = |message: String| Err(FineTuneError::Usage(message));
        if !(0.0..1.0).contains(&self.valid_fraction) {
            return usage(format!(
                "expected a validation fraction of at least 0 and below 1, found {}",
                self.valid_fraction
            ));
        }
        for optimization in [&self.head, &self.full] {
            let Optimization { rate, weight_decay, warmup, clip, batch, .. } = *optimization;
            if !(rate > 0.0 && rate.is_finite()) {
                return usage(format!("expected a learning rate above 0, found {rate}"));
            }
            if !(weight_decay >= 0.0 && weight_decay.is_finite()) {
                return usage(format!("expected a weight decay of at least 0, found {weight_decay}"));
            }
            if !(0.0..=1.0).contains(&warmup) || clip.is_nan() || clip <= 0.0 || batch == 0 {
                return usage("expected a warm-up from 0 to 1, a clipping norm above 0 and a batch above 0".into());
            }
        }
        match self.input {
            Input::Folds { folds: 0 | 1, .. } => usage("expected at least 2 folds".into()),
            _ if self.longest == 0 => usage("expected at least one base of each sequence".into()),
            _ => Ok(()),
        }
    }

    fn read(&self, checkpoint: &Checkpoint, watch: &dyn Watch) -> Result<Tables, FineTuneError> {
        let mut genome = open_genome(self.genome.as_deref(), &self.genome_options, watch)?;
        let mut read = |path: &Path| {
            Table::read(path, genome.as_mut(), Labels::Required, &checkpoint.vocabulary, self.longest, watch)
        };
        match &self.input {
            Input::Files { train, valid, test } => Ok(Tables {
                train: read(train)?,
                valid: valid.as_deref().map(&mut read).transpose()?,
                test: test.as_deref().map(&mut read).transpose()?,
            }),
            Input::Folds { table, .. } => Ok(Tables { train: read(table)?, valid: None, test: None }),
        }
    }
}

/// A fine-tuning that is under way.
struct Run<'a> {
    tuning: &'a FineTuning,
    task: &'a Task,
    config: &'a Config,
    /// Those it begins with.
    weights: &'a Weights,
    level: Level,
    passes: &'a Passes<'a>,
}

type Outcome = (Vec<Epoch>, Vec<Measured>, Option<Weights>);

impl Run<'_> {
    fn files(&self, tables: &Tables) -> Result<Outcome, FineTuneError> {
        let hidden = |table: &Table| self.hidden(table);
        let train_hidden = hidden(&tables.train)?;
        let valid_hidden = tables.valid.as_ref().map(hidden).transpose()?;
        let test_hidden = tables.test.as_ref().map(hidden).transpose()?;
        let part = |(table, hidden)| Part::of_table(table, hidden, self.task);
        let train = part((&tables.train, &train_hidden))?;
        let valid = tables.valid.as_ref().zip(valid_hidden.as_deref()).map(part).transpose()?;
        let test = tables.test.as_ref().zip(test_hidden.as_deref()).map(part).transpose()?;
        let (train, valid) = match valid {
            Some(valid) => (train, valid),
            None => self.hold_out(&train, &tables.train.path)?,
        };
        let fitted = self.fit(&train, &valid, self.tuning.seed)?;
        let mut parts = Vec::new();
        if valid.len() > 0 {
            parts.push(self.measure("valid".into(), &valid, &fitted.weights)?);
        }
        if let Some(test) = test {
            parts.push(self.measure("test".into(), &test, &fitted.weights)?);
        }
        Ok((fitted.epochs, parts, Some(fitted.weights)))
    }

    fn folds(&self, table: &Table, count: usize) -> Result<Outcome, FineTuneError> {
        let hidden = self.hidden(table)?;
        let all = Part::of_table(table, &hidden, self.task)?;
        if all.len() < 2 * count {
            let expected = format!("at least {} sequences for {count} folds", 2 * count);
            return Err(FineTuneError::TooFew { path: table.path.clone(), expected, found: all.len() });
        }
        let of = folds(&all.strata(), count, self.tuning.seed);
        let (mut epochs, mut parts) = (Vec::new(), Vec::new());
        for fold in 0..count {
            let test = all.filter(|place| of[place] == fold);
            let (train, valid) = self.hold_out(&all.filter(|place| of[place] != fold), &table.path)?;
            let fitted = self.fit(&train, &valid, self.tuning.seed)?;
            epochs.extend(fitted.epochs);
            parts.push(self.measure(format!("fold-{}", fold + 1), &test, &fitted.weights)?);
        }
        Ok((epochs, parts, None))
    }

    fn hidden(&self, table: &Table) -> Result<Vec<Vec<f32>>, FineTuneError> {
        let model = Model::of_weights(Cpu::new(self.level), self.config.clone(), self.weights);
        self.passes.hidden(&model, &table.examples.iter().collect::<Vec<&Example>>())
    }

    /// Takes a validation part out of a training part.
    fn hold_out<'b>(&self, part: &Part<'b>, path: &Path) -> Result<(Part<'b>, Part<'b>), FineTuneError> {
        let is_out = held_out(&part.strata(), self.tuning.valid_fraction, self.tuning.seed);
        let (train, valid) = (part.filter(|place| !is_out[place]), part.filter(|place| is_out[place]));
        match train.len() {
            0 => Err(FineTuneError::TooFew { path: path.into(), expected: "sequences to learn from".into(), found: 0 }),
            _ => Ok((train, valid)),
        }
    }

    fn fit(&self, train: &Part<'_>, valid: &Part<'_>, seed: u64) -> Result<Fitted, FineTuneError> {
        let Self { tuning, task, config, level, passes, .. } = *self;
        let class_weights = tuning.class_weights;
        let head = HeadFit { task, class_weights, optimization: &tuning.head, seed };
        let head = head.fit(train, valid, passes.progress)?;
        let weights = Weights { score: Some(head.score.clone()), ..self.weights.clone() };
        if tuning.method == Method::HeadOnly {
            return Ok(Fitted { weights, epochs: head.epochs });
        }
        let outputs = outputs_of(&head.score, &valid.hidden);
        let counts = task.weights(&valid.targets, class_weights);
        let loss = (valid.len() > 0).then(|| mean_loss(task, &outputs, valid, &counts));
        passes.progress.expect(tuning.full.epochs as usize * (train.len() + valid.len()));
        let full = FullFit { task, class_weights, optimization: &tuning.full, seed, level, config, passes };
        let full = full.fit(weights, loss, train, valid)?;
        Ok(Fitted { weights: full.weights, epochs: [head.epochs, full.epochs].concat() })
    }

    fn measure(&self, name: String, part: &Part<'_>, weights: &Weights) -> Result<Measured, FineTuneError> {
        let outputs = match (self.tuning.method, &weights.score) {
            (Method::HeadOnly, Some(score)) => outputs_of(score, &part.hidden),
            _ => {
                self.passes.progress.expect(part.len());
                let model = Model::of_weights(Cpu::new(self.level), self.config.clone(), weights);
                self.passes.outputs(&model, &part.examples)?
            }
        };
        let predictions = predictions(self.task, &part.examples, &outputs);
        let measures = Some(measures(&predictions, &part.targets));
        Ok(Measured { part: name, predictions, measures })
    }
}

impl Application {
    /// Predicts a table.
    ///
    /// # Errors
    ///
    /// - the model has no classification head, or another number of outputs than the recipe;
    /// - the table or the genome cannot be used;
    /// - the watch stops the run, or there are no threads.
    pub fn run(&self, checkpoint: &Checkpoint, level: Level, watch: &dyn Watch) -> Result<Measured, FineTuneError> {
        let (expected, name) = (self.recipe.task.outputs(), &checkpoint.name);
        match checkpoint.config.head {
            Head::SequenceClassification { n_labels, .. } if n_labels == expected => {}
            Head::SequenceClassification { n_labels, .. } => {
                let message = format!("{name}: expected a head of {expected} outputs, found one of {n_labels}");
                return Err(FineTuneError::Usage(message));
            }
            _ => return Err(FineTuneError::Usage(format!("{name} has no classification head"))),
        }
        let mut genome = open_genome(self.genome.as_deref(), &self.genome_options, watch)?;
        let (vocabulary, recipe) = (&checkpoint.vocabulary, &self.recipe);
        let table = Table::read(&self.table, genome.as_mut(), Labels::Optional, vocabulary, recipe.longest, watch)?;
        let (lanes, progress) = (Lanes::new(self.threads)?, Progress::new(watch));
        progress.expect(table.examples.len());
        let both = recipe.strands == Strands::Both && checkpoint.config.rcps.is_none();
        let passes = Passes { vocabulary, both, lanes: &lanes, progress: &progress };
        let examples: Vec<&Example> = table.examples.iter().collect();
        let targets = table.is_labelled().then(|| table.targets(&recipe.task)).transpose()?;
        let outputs = passes.outputs(&Model::new(Cpu::new(level), checkpoint), &examples)?;
        let predictions = predictions(&recipe.task, &examples, &outputs);
        let measures = targets.map(|targets| measures(&predictions, &targets));
        Ok(Measured { part: "test".into(), predictions, measures })
    }
}
