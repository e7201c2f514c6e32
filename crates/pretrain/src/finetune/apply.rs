//! A tuned model on another table.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::config::Head;
use longstrand_model::{Engine, Processor, Watch};
use longstrand_seq::GenomeOptions;
use longstrand_seq::labelled::Labels;

use super::data::{Example, Table, open_genome};
use super::error::FineTuneError;
use super::job::Measured;
use super::lanes::Lanes;
use super::predict::{Passes, Progress, Recipe, check_gpu, measures, predictions};
use super::settings::Strands;

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

impl Application {
    /// Predicts a table.
    ///
    /// # Errors
    ///
    /// - the model has no classification head, or another number of outputs than the recipe;
    /// - the table or the genome cannot be used;
    /// - a device fails, or has not enough memory;
    /// - the watch stops the run, or there are no threads.
    pub fn run(
        &self,
        checkpoint: &Checkpoint,
        processor: &Processor,
        watch: &dyn Watch,
    ) -> Result<Measured, FineTuneError> {
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
        let model = Engine::new(processor, checkpoint)?;
        let longest = examples.iter().map(|example| example.ids.len()).max().unwrap_or_default();
        check_gpu(&model, longest).map_err(|excess| FineTuneError::GpuMemory { longest, excess })?;
        let outputs = passes.outputs(&model, &examples)?;
        let predictions = predictions(&recipe.task, &examples, &outputs);
        let measures = targets.map(|targets| measures(&predictions, &targets));
        Ok(Measured { part: "test".into(), predictions, measures })
    }
}
