//! A fine-tuning from tables to predictions.

use std::fmt;
use std::path::Path;

use longstrand_model::checkpoint::{Checkpoint, Weights};
use longstrand_model::config::{ClassifierPooling, Config, Head};
use longstrand_model::{Engine, Processor, Watch};
use longstrand_seq::labelled::Labels;

use super::data::{Example, Part, Table, open_genome};
use super::deal::{folds, held_out};
use super::error::FineTuneError;
use super::full::FullFit;
use super::head::{HeadFit, outputs_of};
use super::lanes::Lanes;
use super::measures::Measures;
use super::plan::TuningPlan;
use super::predict::{Passes, Prediction, Progress, Recipe, mean_loss, measures, predictions};
use super::settings::{FineTuning, Input, Method, Strands};
use super::task::Task;

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

/// A model's configuration and weights with a new head of zeros.
fn with_head(checkpoint: &Checkpoint, outputs: usize) -> (Config, Weights) {
    let head = Head::SequenceClassification { n_labels: outputs, pooling: ClassifierPooling::Mean };
    let config = Config { head, ..checkpoint.config.clone() };
    let score = Some(vec![0.0; outputs * config.d_model]);
    let weights = Weights { lm_head: None, score, ..checkpoint.weights.clone() };
    (config, weights)
}

/// Tables in memory.
struct Tables {
    train: Table,
    valid: Option<Table>,
    test: Option<Table>,
}

impl Tables {
    fn all(&self) -> impl Iterator<Item = &Table> {
        [Some(&self.train), self.valid.as_ref(), self.test.as_ref()].into_iter().flatten()
    }
}

/// What a run works with.
struct Prepared {
    tables: Tables,
    task: Task,
    config: Config,
    weights: Weights,
    plan: TuningPlan,
}

/// Parameters that a run came to.
struct Fitted {
    weights: Weights,
    epochs: Vec<Epoch>,
}

impl FineTuning {
    /// What a run would do. Tables are read, and nothing is computed.
    ///
    /// # Errors
    ///
    /// - as [`Self::run`], but for what only a run meets
    pub fn plan(
        &self,
        checkpoint: &Checkpoint,
        processor: &Processor,
        watch: &dyn Watch,
    ) -> Result<TuningPlan, FineTuneError> {
        Ok(self.prepare(checkpoint, processor, watch)?.plan)
    }

    /// Tunes a model, and predicts the validation and the test part.
    ///
    /// # Errors
    ///
    /// - a number is out of bounds, or the model's dialect has no classification head;
    /// - a table or the genome cannot be used, or a part would be empty;
    /// - it would take more memory than there is, or a device fails;
    /// - the loss is no number any more;
    /// - the watch stops the run, or there are no threads.
    pub fn run(
        &self,
        checkpoint: &Checkpoint,
        processor: &Processor,
        watch: &dyn Watch,
    ) -> Result<FineTuned, FineTuneError> {
        let Prepared { tables, task, config, weights, plan } = self.prepare(checkpoint, processor, watch)?;
        plan.check()?;
        let (lanes, progress) = (Lanes::new(self.threads)?, Progress::new(watch));
        let both = self.strands == Strands::Both && config.rcps.is_none();
        let passes = Passes { vocabulary: &checkpoint.vocabulary, both, lanes: &lanes, progress: &progress };
        let run = Run { tuning: self, task: &task, config: &config, weights: &weights, processor, passes: &passes };
        progress.expect(tables.all().map(|table| table.examples.len()).sum());
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

    fn prepare(
        &self,
        checkpoint: &Checkpoint,
        processor: &Processor,
        watch: &dyn Watch,
    ) -> Result<Prepared, FineTuneError> {
        self.check()?;
        let tables = self.read(checkpoint, watch)?;
        let task = Task::of_table(self.kind, &tables.train)?;
        let (config, weights) = with_head(checkpoint, task.outputs());
        if let Input::Files { .. } = self.input {
            config.to_json(&checkpoint.vocabulary)?;
        }
        for table in tables.all() {
            table.targets(&task)?;
        }
        let all: Vec<&Table> = tables.all().collect();
        let model = Engine::of_weights(processor, &config, &weights)?;
        let plan = TuningPlan::new(self, &all, &config, &weights, task.outputs(), &model);
        Ok(Prepared { tables, task, config, weights, plan })
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
    processor: &'a Processor,
    passes: &'a Passes<'a>,
}

type Outcome = (Vec<Epoch>, Vec<Measured>, Option<Weights>);

impl Run<'_> {
    fn files(&self, tables: &Tables) -> Result<Outcome, FineTuneError> {
        let model = self.model(self.weights)?;
        let hidden = |table: &Table| self.hidden(&model, table);
        let train_hidden = hidden(&tables.train)?;
        let valid_hidden = tables.valid.as_ref().map(hidden).transpose()?;
        let test_hidden = tables.test.as_ref().map(hidden).transpose()?;
        drop(model);
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
        let hidden = self.hidden(&self.model(self.weights)?, table)?;
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

    fn model(&self, weights: &Weights) -> Result<Engine, FineTuneError> {
        Ok(Engine::of_weights(self.processor, self.config, weights)?)
    }

    fn hidden(&self, model: &Engine, table: &Table) -> Result<Vec<Vec<f32>>, FineTuneError> {
        self.passes.hidden(model, &table.examples.iter().collect::<Vec<&Example>>())
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
        let Self { tuning, task, config, processor, passes, .. } = *self;
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
        let full = FullFit { task, class_weights, optimization: &tuning.full, seed, processor, config, passes };
        let full = full.fit(weights, loss, train, valid)?;
        Ok(Fitted { weights: full.weights, epochs: [head.epochs, full.epochs].concat() })
    }

    fn measure(&self, name: String, part: &Part<'_>, weights: &Weights) -> Result<Measured, FineTuneError> {
        let outputs = match (self.tuning.method, &weights.score) {
            (Method::HeadOnly, Some(score)) => outputs_of(score, &part.hidden),
            _ => {
                self.passes.progress.expect(part.len());
                self.passes.outputs(&self.model(weights)?, &part.examples)?
            }
        };
        let predictions = predictions(self.task, &part.examples, &outputs);
        let measures = Some(measures(&predictions, &part.targets));
        Ok(Measured { part: name, predictions, measures })
    }
}
