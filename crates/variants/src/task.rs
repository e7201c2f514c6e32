//! Work that answers questions.
//!
//! Alleles are scored from the answers to *questions*: what distribution a model sees at a site, how likely it finds a
//! sequence. Alleles share questions, and a *task* answers several of them in one pass. An answer depends on its question,
//! the reference, the model and the options alone, never on what else is asked: which questions share a task changes
//! what the answers cost.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use longstrand_model::{Crew, Lanes, Scratch, Watch};
use longstrand_seq::Strand;

use crate::error::ScoreError;
use crate::journal::{Journal, Key};
use crate::options::ScoreOptions;
use crate::predictor::Predictor;
use crate::reference::Reference;
use crate::share::Share;

/// What tasks work with.
#[derive(Clone, Copy)]
pub(crate) struct Bench<'a> {
    pub(crate) predictor: &'a Predictor,
    pub(crate) reference: &'a Reference,
    pub(crate) options: &'a ScoreOptions,
    pub(crate) watch: &'a dyn Watch,
    pub(crate) share: &'a Share<'a>,
}

/// A piece of work that answers one or more questions on one strand.
pub(crate) trait Task: Sync {
    /// The questions, by their places in the caller's list.
    fn questions(&self) -> &[usize];

    /// Numbers of an answer.
    fn width(&self) -> usize;

    /// Bases that are about to be computed.
    fn bases(&self) -> u64;

    /// Positions of most passes that it takes, by which tasks are divided among threads.
    fn positions(&self, bench: &Bench<'_>) -> usize {
        let _ = bench;
        usize::try_from(self.bases()).unwrap_or(usize::MAX)
    }

    /// Writes a text that no other task of any run under the same identity has.
    fn describe(&self, strand: Strand, text: &mut dyn fmt::Write) -> fmt::Result;

    /// The answers, `[questions, width]`.
    fn run(&self, bench: &Bench<'_>, strand: Strand, scratch: &mut Scratch<f32>) -> Result<Vec<f64>, ScoreError>;
}

/// Answers to all questions on one strand, `[questions, width]`.
pub(crate) struct Answers {
    values: Vec<f64>,
    width: usize,
}

impl Answers {
    pub(crate) fn get(&self, question: usize) -> &[f64] {
        &self.values[question * self.width..][..self.width]
    }
}

/// Does the tasks whose answers the journal does not have, and tells the journal.
pub(crate) fn answer<T: Task>(
    tasks: &[T],
    questions: usize,
    strand: Strand,
    bench: &Bench<'_>,
    crew: &mut Crew<Scratch<f32>>,
    journal: &mut Journal,
) -> Result<Answers, ScoreError> {
    let width = tasks.first().map_or(0, Task::width);
    let mut answers = Answers { values: vec![f64::NAN; questions * width], width };
    let mut jobs: Vec<(&T, Key)> = Vec::new();
    let all: u64 = tasks.iter().map(Task::bases).sum();
    let mut done = 0;
    for task in tasks {
        let key = Key::of(|text| task.describe(strand, text));
        match journal.known(&key) {
            Some(values) if values.len() == task.questions().len() * width => {
                answers.fill(task, values);
                done += task.bases();
            }
            _ => jobs.push((task, key)),
        }
    }
    let predictor = bench.predictor;
    let (long, short): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|(task, _)| predictor.is_filled_by(task.positions(bench)));
    let positions = short.iter().map(|(task, _)| task.positions(bench)).max().unwrap_or(0);
    let lanes = predictor.lanes(positions, short.len(), crew.threads());
    bench.share.advance(done, all);
    let gathered = Mutex::new((&mut answers, journal, done));
    let work = |(task, key): (&T, Key), scratch: &mut Scratch<f32>| {
        let values = task.run(bench, strand, scratch)?;
        let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.0.fill(task, &values);
        gathered.2 += task.bases();
        bench.share.advance(gathered.2, all);
        gathered.1.add(key, values)
    };
    crew.run(Lanes::Together, long, work)?;
    crew.run(lanes, short, work)?;
    bench.share.end_round();
    Ok(answers)
}

impl Answers {
    fn fill(&mut self, task: &impl Task, values: &[f64]) {
        for (&question, answer) in task.questions().iter().zip(values.chunks_exact(self.width)) {
            self.values[question * self.width..][..self.width].copy_from_slice(answer);
        }
    }
}
