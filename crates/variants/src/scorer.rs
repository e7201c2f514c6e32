//! Alleles to scores.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;

use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::config::Head;
use longstrand_model::{Crew, Processor, Scratch};
use longstrand_seq::{Genome, Strand};
use longstrand_table::{ScoreLayout, StrandScores};

use crate::allele::{Edit, Reason};
use crate::anchored;
use crate::edits::{self, Measure, edits_of};
use crate::error::ScoreError;
use crate::journal::Journal;
use crate::memory;
use crate::options::{Anchor, Column, Score, ScoreOptions, check_context};
use crate::predictor::Predictor;
use crate::provenance::ModelFacts;
use crate::reference::Reference;
use crate::resolve::Resolved;
use crate::share::Share;
use crate::sites::{Reading, Site, base, sites_of, substituted};
use crate::task::{Answers, Bench, answer};
use crate::trails::Trails;
use crate::window;

/// A model, a reference and what is computed of each allele.
pub(crate) struct Scorer {
    model: ModelFacts,
    pub(crate) predictor: Predictor,
    pub(crate) reference: Reference,
    pub(crate) options: ScoreOptions,
    pub(crate) crew: Crew<Scratch<f32>>,
    trails: Mutex<Trails>,
}

/// What is known of an allele.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scored {
    /// A value for each column of each score.
    pub values: Vec<StrandScores>,
    /// The bases of the reference that all its windows have together, 0-based, half-open.
    pub window: Option<Range<u64>>,
    /// How many of them are none of A, C, G, T.
    pub n_ambiguous: Option<u64>,
    /// Why each of the scores is missing.
    pub reasons: Vec<Option<Reason>>,
    /// The same in a text.
    pub reason: Option<String>,
    /// Values that were left out because they are infinite or not a number.
    pub not_finite: u64,
}

impl Scorer {
    /// Makes a checkpoint ready and checks that the options suit it.
    ///
    /// # Errors
    ///
    /// - [`ScoreError::Usage`]; of a context, also that its windows take more than the memory that is available, in bytes;
    /// - a device has no room for the weights, or cannot compute.
    pub(crate) fn new(
        checkpoint: &Checkpoint,
        processor: &Processor,
        genome: Genome,
        mut options: ScoreOptions,
        threads: NonZeroUsize,
        available_memory: Option<u64>,
    ) -> Result<Self, ScoreError> {
        check(checkpoint, &mut options)?;
        let predictor = Predictor::new(processor, checkpoint)?;
        let crew = Crew::new(threads, predictor.scratch());
        let (model, reference) = (ModelFacts::of(checkpoint, processor), Reference::new(genome));
        let scorer = Self { model, predictor, reference, options, crew, trails: Mutex::default() };
        let context = scorer.options.context.get();
        memory::check(&scorer.predictor, context, scorer.longest_window(), available_memory)?;
        Ok(scorer)
    }

    /// Bases of the longest window that a score may read.
    pub(crate) fn longest_window(&self) -> u64 {
        let (options, context) = (&self.options, self.options.context.get());
        let each = options.scores.iter().map(|score| match score {
            Score::Likelihood if options.anchor != Anchor::Window => 0,
            // It is not filled up where the genome has less.
            Score::Likelihood => context.min(self.reference.longest_span()),
            Score::Masked | Score::Wildtype | Score::Embedding => context,
        });
        each.max().unwrap_or(0)
    }

    pub(crate) fn model(&self) -> &ModelFacts {
        &self.model
    }

    /// Whether passes of several threads are computed together.
    pub(crate) fn gathers(&self) -> bool {
        self.predictor.gathers()
    }

    pub(crate) fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The options, with the scores that are computed.
    pub(crate) fn options(&self) -> &ScoreOptions {
        &self.options
    }

    /// The columns of all scores.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &'static Column> + use<> {
        let scores = self.options.scores.clone();
        scores.into_iter().flat_map(|score| score.columns())
    }

    /// The table of all scores.
    pub(crate) fn layout(&self) -> ScoreLayout {
        ScoreLayout::new(self.columns().map(|column| column.name))
    }

    /// Scores alleles, each as if it were alone.
    ///
    /// # Errors
    ///
    /// - the reference cannot be read, or the journal not written;
    /// - the watch stops the run.
    pub(crate) fn score(
        &mut self,
        alleles: &[Resolved],
        journal: &mut Journal,
        share: &Share<'_>,
    ) -> Result<Vec<Scored>, ScoreError> {
        let columns = self.columns().count();
        let Self { predictor, reference, options, crew, trails, .. } = self;
        let bench = Bench { predictor, reference, options, watch: share.watch(), share };
        share.begin(options.scores.len() * options.strands.each().len());
        let mut scored: Vec<Builder> = alleles.iter().map(|resolved| Builder::new(resolved, columns)).collect();
        let mut column = 0;
        for &score in &options.scores {
            let mut round = Round { bench: &bench, crew, journal, trails, scored: &mut scored, score, column };
            match score {
                Score::Masked => round.sites(Reading::Masked)?,
                Score::Wildtype => round.sites(Reading::OnGrid)?,
                Score::Likelihood if options.anchor != Anchor::Window => round.anchored()?,
                Score::Likelihood => round.edits(Measure::Likelihood)?,
                Score::Embedding => round.edits(Measure::Embedding)?,
            }
            column += score.columns().len();
        }
        scored.into_iter().map(|builder| builder.finish(&options.scores, reference)).collect()
    }
}

fn check(checkpoint: &Checkpoint, options: &mut ScoreOptions) -> Result<(), ScoreError> {
    let config = &checkpoint.config;
    let name = &checkpoint.name;
    let usage = |message: String| Err(ScoreError::Usage(message));
    let causal = config.is_causal();
    if options.scores.is_empty() {
        options.scores.push(if causal { Score::Likelihood } else { Score::Masked });
    }
    options.scores.sort_unstable();
    options.scores.dedup();
    check_context(options.context)?;
    let has_head = matches!(config.head, Head::LanguageModel { .. });
    for &score in &options.scores {
        match score {
            Score::Embedding => {}
            _ if !has_head => {
                return usage(format!(
                    "--score {score} needs a language model, and {name} has no such head; embedding needs none"
                ));
            }
            Score::Likelihood if !causal => {
                return usage(format!(
                    "--score likelihood is of causal models, and {name} reads both ways; masked suits it"
                ));
            }
            Score::Masked | Score::Wildtype if causal => {
                return usage(format!(
                    "--score {score} is of masked language models, and {name} is causal; likelihood suits it"
                ));
            }
            Score::Masked if checkpoint.vocabulary.mask().is_none() => {
                return usage(format!("--score masked needs a mask, and the vocabulary of {name} has none"));
            }
            _ => {}
        }
    }
    match options.anchor == Anchor::Window || options.scores.contains(&Score::Likelihood) {
        true => Ok(()),
        false => usage(format!("--anchor {} is of --score likelihood, which is not asked for", options.anchor)),
    }
}

/// A score of all alleles that can have it.
struct Round<'a, 'r> {
    bench: &'a Bench<'a>,
    crew: &'a mut Crew<Scratch<f32>>,
    journal: &'a mut Journal,
    trails: &'a Mutex<Trails>,
    scored: &'a mut [Builder<'r>],
    score: Score,
    /// The score's first column.
    column: usize,
}

impl<'r> Round<'_, 'r> {
    /// Sums log p(alt) − log p(ref) over the bases that an allele substitutes.
    fn sites(&mut self, reading: Reading) -> Result<(), ScoreError> {
        let context = self.bench.options.context.get();
        for builder in &mut *self.scored {
            let Some((edit, span)) = builder.edit() else { continue };
            match substituted(edit) {
                Ok(positions) => {
                    for position in positions {
                        builder.saw(&reading.window(position, context, span));
                    }
                }
                Err(reason) => builder.lacks(self.score, reason),
            }
        }
        let (sites, spans) = sites_of(self.scored.iter().filter_map(Builder::edit));
        let tasks = reading.tasks(&sites, &spans, context);
        for &strand in self.bench.options.strands.each() {
            let answers = answer(&tasks, sites.len(), strand, self.bench, self.crew, self.journal)?;
            for builder in &mut *self.scored {
                if let Some(value) = builder.log_ratio(&sites, &answers) {
                    builder.set(self.column, strand, &[value]);
                }
            }
        }
        Ok(())
    }

    /// What is measured of both sequences in a window.
    fn edits(&mut self, measure: Measure) -> Result<(), ScoreError> {
        let context = self.bench.options.context.get();
        let (edits, spans) = self.all_edits();
        let tasks = edits::tasks(&edits, &spans, context, measure);
        for builder in &mut *self.scored {
            if let Some((edit, span)) = builder.edit() {
                builder.saw(&window::of_edit(edit, context, span));
            }
        }
        for &strand in self.bench.options.strands.each() {
            let answers = answer(&tasks, edits.len(), strand, self.bench, self.crew, self.journal)?;
            self.set_all(strand, &edits, &answers, |answer| match measure {
                Measure::Likelihood => likelihoods(answer).to_vec(),
                Measure::Embedding => answer[..3].to_vec(),
            });
        }
        Ok(())
    }

    /// Likelihoods behind an anchor.
    fn anchored(&mut self) -> Result<(), ScoreError> {
        let (edits, spans) = self.all_edits();
        for &strand in self.bench.options.strands.each() {
            let tasks = anchored::tasks(&edits, &spans, self.bench, strand, self.trails);
            let answers = answer(&tasks, edits.len(), strand, self.bench, self.crew, self.journal)?;
            self.set_all(strand, &edits, &answers, |answer| likelihoods(answer).to_vec());
            for builder in &mut *self.scored {
                if let Some((edit, span)) = builder.edit() {
                    builder.saw(&anchored::window(edit, span, self.bench.options, strand));
                }
            }
        }
        Ok(())
    }

    /// All edits, each once, in order, and the spans that they lie in.
    fn all_edits(&self) -> (Vec<&'r Edit>, Vec<Range<u64>>) {
        edits_of(self.scored.iter().filter_map(Builder::edit))
    }

    fn set_all(&mut self, strand: Strand, edits: &[&Edit], answers: &Answers, values: impl Fn(&[f64]) -> Vec<f64>) {
        for builder in &mut *self.scored {
            if let Some((edit, _)) = builder.edit() {
                let question = edits.binary_search(&edit).expect("every edit has been asked about");
                builder.set(self.column, strand, &values(answers.get(question)));
            }
        }
    }
}

/// The likelihood ratio, and that of the mean base. A sequence of the first base alone counts none, and its mean is 0.
fn likelihoods(answer: &[f64]) -> [f64; 2] {
    let &[reference, n_reference, alternate, n_alternate] = answer else { panic!("a likelihood has four numbers") };
    [alternate - reference, alternate / n_alternate.max(1.0) - reference / n_reference.max(1.0)]
}

/// An allele's scores as they come in.
struct Builder<'r> {
    resolved: &'r Resolved,
    /// By column of all scores.
    values: Vec<StrandScores>,
    lacking: Vec<(Score, Reason)>,
    window: Option<Range<u64>>,
}

impl<'r> Builder<'r> {
    fn new(resolved: &'r Resolved, columns: usize) -> Self {
        Self { resolved, values: vec![StrandScores::default(); columns], lacking: Vec::new(), window: None }
    }

    fn edit(&self) -> Option<(&'r Edit, &'r Range<u64>)> {
        self.resolved.as_ref().ok().map(|(edit, span)| (edit, span))
    }

    /// Bases of the reference have been read for this allele.
    fn saw(&mut self, window: &Range<u64>) {
        self.window = Some(match &self.window {
            Some(seen) => seen.start.min(window.start)..seen.end.max(window.end),
            None => window.clone(),
        });
    }

    fn lacks(&mut self, score: Score, reason: Reason) {
        self.lacking.push((score, reason));
    }

    /// Values of a score's columns, of which the first one is at `column`, on a strand.
    fn set(&mut self, column: usize, strand: Strand, values: &[f64]) {
        for (cell, &value) in self.values[column..].iter_mut().zip(values) {
            match strand {
                Strand::Forward => cell.forward = Some(value),
                Strand::Reverse => cell.reverse = Some(value),
            }
        }
    }

    /// Σ log p(alt) − log p(ref) over the bases that the allele substitutes.
    fn log_ratio(&self, sites: &[Site], answers: &Answers) -> Option<f64> {
        let (edit, _) = self.edit()?;
        let ratio = |(position, from, to)| {
            let site = Site { contig: edit.contig, position };
            let distribution = answers.get(sites.binary_search(&site).ok()?);
            Some(distribution[base(to)?] - distribution[base(from)?])
        };
        edit.substitutions()?.map(ratio).sum()
    }

    fn finish(mut self, scores: &[Score], reference: &Reference) -> Result<Scored, ScoreError> {
        for cell in &mut self.values {
            cell.score = match (cell.forward, cell.reverse) {
                (Some(forward), Some(reverse)) => Some((forward + reverse) / 2.0),
                (forward, reverse) => forward.or(reverse),
            };
        }
        let n_ambiguous = match (self.edit(), &self.window) {
            (Some((edit, _)), Some(window)) => Some(reference.count_ambiguous(edit.contig, window)?),
            _ => None,
        };
        let mut not_finite = 0;
        let mut column = 0;
        for &score in scores {
            let cells = &mut self.values[column..][..score.columns().len()];
            column += cells.len();
            let left_out: u64 = cells.iter_mut().map(leave_out_not_finite).sum();
            if left_out > 0 {
                self.lacking.push((score, Reason::NotFinite));
            }
            not_finite += left_out;
        }
        let reasons: Vec<Option<Reason>> = scores.iter().map(|&score| self.why(score)).collect();
        let reason = told(scores, &reasons);
        Ok(Scored { values: self.values, window: self.window, n_ambiguous, reasons, reason, not_finite })
    }

    /// Why a score is missing.
    fn why(&self, score: Score) -> Option<Reason> {
        let of_score = || self.lacking.iter().find(|(lacking, _)| *lacking == score).map(|(_, reason)| *reason);
        self.resolved.as_ref().err().copied().or_else(of_score)
    }
}

/// A reason for all scores stands alone; those of some scores stand behind their names.
fn told(scores: &[Score], reasons: &[Option<Reason>]) -> Option<String> {
    let first = reasons.iter().flatten().next()?;
    if reasons.iter().all(|reason| reason.as_ref() == Some(first)) {
        return Some(first.to_string());
    }
    let each = scores.iter().zip(reasons).filter_map(|(score, reason)| Some(format!("{score}:{}", reason.as_ref()?)));
    Some(each.collect::<Vec<_>>().join("|"))
}

fn leave_out_not_finite(cell: &mut StrandScores) -> u64 {
    let mut left_out = 0;
    for value in [&mut cell.score, &mut cell.forward, &mut cell.reverse] {
        if value.take_if(|value| !value.is_finite()).is_some() {
            left_out += 1;
        }
    }
    left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_behind_their_scores_unless_they_are_all_the_same() {
        let scores = [Score::Masked, Score::Embedding];
        let text = |reasons: [Option<Reason>; 2]| told(&scores, &reasons);
        assert_eq!(text([None, None]), None);
        assert_eq!(text([Some(Reason::NoEnd); 2]).as_deref(), Some("no_end"));
        assert_eq!(text([None, Some(Reason::NotFinite)]).as_deref(), Some("embedding:not_finite"));
        let both = [Some(Reason::NotASubstitution), Some(Reason::NotFinite)];
        assert_eq!(text(both).as_deref(), Some("masked:not_a_substitution|embedding:not_finite"));
    }
}
