//! A language model and Markov models, asked for the same targets.

use std::mem;

use longstrand_model::Watch;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_seq::Vocabulary;

use super::{EvaluateError, Evaluator, Halt, Tally};
use crate::baseline::{Markov, Neighbours};
use crate::objective::Batch;

/// Models, and what they have made of targets so far.
pub(super) struct Judges<'a> {
    evaluator: Evaluator,
    tally: Tally,
    baselines: Vec<(&'a Markov, Tally)>,
    vocabulary: Vocabulary,
    is_causal: bool,
}

impl<'a> Judges<'a> {
    /// Refuses Markov models that see what a causal one does not.
    pub(super) fn new(
        evaluator: Evaluator,
        baselines: &'a [Markov],
        checkpoint: &Checkpoint,
    ) -> Result<Self, EvaluateError> {
        let is_causal = checkpoint.config.is_causal();
        if let Some(markov) = baselines.iter().find(|markov| is_causal && !markov.neighbours().are_causal()) {
            let (name, neighbours) = (&checkpoint.name, markov.neighbours());
            return Err(EvaluateError::Usage(format!(
                "{name} sees bases to the left alone: expected a Markov model of such, found {neighbours}"
            )));
        }
        let baselines = baselines.iter().map(|markov| (markov, Tally::default())).collect();
        let (tally, vocabulary) = (Tally::default(), checkpoint.vocabulary.clone());
        Ok(Self { evaluator, tally, baselines, vocabulary, is_causal })
    }

    /// Adds what they make of a batch.
    pub(super) fn add(&mut self, batch: &Batch, watch: &dyn Watch) -> Result<(), Halt> {
        for (markov, tally) in &mut self.baselines {
            markov.add(batch, &self.vocabulary, self.is_causal, tally);
        }
        self.evaluator.add(batch, &mut self.tally, watch)
    }

    /// Positions of windows of a length that are best worked on together.
    pub(super) fn batch(&self, length: usize) -> usize {
        self.evaluator.batch(length)
    }

    /// What they have made of all batches, of which none is left.
    pub(super) fn take(&mut self) -> (Tally, Vec<(Neighbours, Tally)>) {
        let of = |(markov, tally): &mut (&Markov, Tally)| (markov.neighbours(), mem::take(tally));
        (mem::take(&mut self.tally), self.baselines.iter_mut().map(of).collect())
    }
}
