//! Likelihoods of a causal model that has read everything from an anchor on.
//!
//! One pass goes from the anchor over the alleles of all records behind it and carries the model's state. Where it
//! comes to an allele, the state at hand is what the allele starts from: an alternate allele costs its own bases and its
//! tail, and the reference allele costs nothing, as the pass reads it anyway. A pass is never dearer than
//! reading each allele's sequence from the anchor by itself, since these sequences begin with the same bases.
//!
//! States are taken on a grid of [`GRID`] bases from the anchor, and an allele is fed from the grid point before it. Mamba-2 works in
//! blocks that begin with a call; so its results do not depend on where other alleles lie either.
//!
//! Positions here are those of the strand being read: bases from the span's first base on, in its orientation.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use longstrand_model::Scratch;
use longstrand_seq::Strand;
use longstrand_seq::strand::reverse_complement;

use crate::allele::Edit;
use crate::error::ScoreError;
use crate::options::{Anchor, ScoreOptions};
use crate::predictor::log_probability;
use crate::task::{Bench, Task};
use crate::trails::{Point, TrailKey, Trails};

/// Bases between points at which a state may be taken.
const GRID: u64 = 64;

/// Numbers of an answer: log p and the bases that it counts, of the reference and of the alternate allele.
const WIDTH: usize = 4;

/// Bases between states that are kept for later groups of records.
pub(crate) const MILESTONE: u64 = 1 << 16;

/// Edits that are read in one pass from the same anchor.
pub(crate) struct AnchoredTask<'a> {
    trail: TrailKey,
    span: Range<u64>,
    strand: Strand,
    tail: u64,
    trails: &'a Mutex<Trails>,
    /// In the order of their starts on the strand.
    edits: Vec<&'a Edit>,
    questions: Vec<usize>,
}

/// Tasks for edits on a strand, and the spans that they lie in.
pub(crate) fn tasks<'a>(
    edits: &[&'a Edit],
    spans: &[Range<u64>],
    bench: &Bench<'_>,
    strand: Strand,
    trails: &'a Mutex<Trails>,
) -> Vec<AnchoredTask<'a>> {
    let options = bench.options;
    let block = block(options);
    let mut tasks: BTreeMap<(usize, u64, u64), AnchoredTask<'a>> = BTreeMap::new();
    for (question, (&edit, span)) in edits.iter().zip(spans).enumerate() {
        let anchor = anchor(edit, span, strand, block);
        let task = tasks.entry((edit.contig, span.start, anchor)).or_insert_with(|| AnchoredTask {
            trail: TrailKey { contig: edit.contig, span_start: span.start, anchor, strand },
            span: span.clone(),
            strand,
            tail: options.tail,
            trails,
            edits: Vec::new(),
            questions: Vec::new(),
        });
        task.edits.push(edit);
        task.questions.push(question);
    }
    let mut tasks: Vec<AnchoredTask<'a>> = tasks.into_values().collect();
    tasks.iter_mut().for_each(AnchoredTask::sort);
    tasks
}

/// Where the pass for an edit begins: with the span, or with the block before that of the edit's first base.
fn anchor(edit: &Edit, span: &Range<u64>, strand: Strand, block: Option<u64>) -> u64 {
    let Some(block) = block else { return 0 };
    match strand {
        Strand::Forward => ((edit.start / block).saturating_sub(1) * block).saturating_sub(span.start),
        Strand::Reverse => {
            let last = edit.end().max(edit.start + 1) - 1;
            span.end.saturating_sub((last / block + 2) * block)
        }
    }
}

/// The bases of the reference, 0-based and half-open, that an edit's score has read on a strand.
pub(crate) fn window(edit: &Edit, span: &Range<u64>, options: &ScoreOptions, strand: Strand) -> Range<u64> {
    let anchor = anchor(edit, span, strand, block(options));
    match strand {
        Strand::Forward => span.start + anchor..edit.end().saturating_add(options.tail).min(span.end),
        Strand::Reverse => edit.start.saturating_sub(options.tail).max(span.start)..span.end - anchor,
    }
}

/// Bases of a block, unless passes begin with the contig.
fn block(options: &ScoreOptions) -> Option<u64> {
    (options.anchor == Anchor::Block).then_some(options.context.get())
}

impl Task for AnchoredTask<'_> {
    fn questions(&self) -> &[usize] {
        &self.questions
    }

    fn width(&self) -> usize {
        WIDTH
    }

    fn bases(&self) -> u64 {
        self.edits.last().map_or(0, |edit| self.tail_end(edit) - self.trail.anchor)
    }

    /// Where passes are gathered, most are over alleles and their tails.
    fn positions(&self, bench: &Bench<'_>) -> usize {
        let whole = self.bases();
        let most = if bench.predictor.gathers() { whole.min(self.tail.saturating_add(GRID)) } else { whole };
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    fn describe(&self, strand: Strand, text: &mut dyn fmt::Write) -> fmt::Result {
        let TrailKey { contig, anchor, .. } = self.trail;
        write!(text, "anchored {contig} {:?} {anchor} {strand} {}", self.span, self.tail)?;
        self.edits.iter().try_for_each(|edit| {
            let bases = |bases| String::from_utf8_lossy(bases);
            write!(text, " {} {} {}", edit.start, bases(&edit.reference), bases(&edit.alternate))
        })
    }

    fn run(&self, bench: &Bench<'_>, _: Strand, scratch: &mut Scratch<f32>) -> Result<Vec<f64>, ScoreError> {
        let mut pass = Pass::from(self, bench, scratch);
        let mut answers = vec![0.0; self.edits.len() * WIDTH];
        let mut due: Vec<Due> = Vec::new();
        for (i, edit) in self.edits.iter().enumerate() {
            let range = self.range(edit);
            pass.go_to(self.grid_point(range.start), range.start, &mut due, &mut answers)?;
            if i + 1 == self.edits.len() {
                pass.keep();
            }
            let [reference, alternate] = self.alleles(edit);
            let end = self.tail_end(edit);
            answers[i * WIDTH + 2..][..2].copy_from_slice(&pass.allele(range.start, &alternate, range.end..end)?);
            match self.read(bench, range.clone())?.eq_ignore_ascii_case(&reference) {
                true => due.push(Due { edit: i, counted: range.start..end }),
                false => {
                    let answer = pass.allele(range.start, &reference, range.end..end)?;
                    answers[i * WIDTH..][..2].copy_from_slice(&answer);
                }
            }
        }
        let end = due.iter().map(|due| due.counted.end).max().unwrap_or(0);
        pass.go_to(self.round_up(end), end, &mut due, &mut answers)?;
        Ok(answers)
    }
}

impl AnchoredTask<'_> {
    /// Positions that go through the model where a pass begins with the last kept state: those of the reference, and of each
    /// edited sequence from the point before it to the end of its tail. `kept` has for each trail where that state is.
    pub(crate) fn tokens(&self, kept: &mut HashMap<TrailKey, u64>) -> u64 {
        let starts = || self.edits.iter().map(|edit| self.range(edit).start);
        let (Some(first), Some(last)) = (starts().next(), starts().next_back()) else { return 0 };
        let is_before = |position: &u64| *position <= self.grid_point(first);
        let begin = kept.get(&self.trail).copied().filter(is_before).unwrap_or(self.trail.anchor);
        let end = self.edits.iter().map(|edit| self.tail_end(edit)).max().map_or(begin, |end| self.round_up(end));
        kept.insert(self.trail, self.grid_point(last));
        let edited = |edit: &&Edit| {
            let range = self.range(edit);
            let sequence =
                range.start - self.grid_point(range.start) + edit.alternate.len() as u64 + self.tail_end(edit);
            // The last base is predicted and not read.
            (sequence - range.end).saturating_sub(1)
        };
        end - begin + self.edits.iter().map(edited).sum::<u64>()
    }

    fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.edits.len()).collect();
        order.sort_by_key(|&i| self.range(self.edits[i]).start);
        self.edits = order.iter().map(|&i| self.edits[i]).collect();
        self.questions = order.iter().map(|&i| self.questions[i]).collect();
    }

    /// Bases of the span.
    fn length(&self) -> u64 {
        self.span.end - self.span.start
    }

    /// The bases that an edit replaces, as the strand counts them.
    fn range(&self, edit: &Edit) -> Range<u64> {
        match self.strand {
            Strand::Forward => edit.start - self.span.start..edit.end() - self.span.start,
            Strand::Reverse => self.span.end - edit.end()..self.span.end - edit.start,
        }
    }

    /// One past the last base that counts for an edit.
    fn tail_end(&self, edit: &Edit) -> u64 {
        self.range(edit).end.saturating_add(self.tail).min(self.length())
    }

    /// The reference and the alternate bases, as the strand reads them.
    fn alleles(&self, edit: &Edit) -> [Vec<u8>; 2] {
        [&edit.reference, &edit.alternate].map(|allele| {
            let mut allele = allele.clone();
            if self.strand == Strand::Reverse {
                reverse_complement(&mut allele);
            }
            allele
        })
    }

    /// Bases of the strand.
    fn read(&self, bench: &Bench<'_>, range: Range<u64>) -> Result<Vec<u8>, longstrand_seq::Error> {
        let range = match self.strand {
            Strand::Forward => self.span.start + range.start..self.span.start + range.end,
            Strand::Reverse => self.span.end - range.end..self.span.end - range.start,
        };
        bench.reference.read(self.trail.contig, range, self.strand)
    }

    /// The last point at or before a position at which a state may be taken.
    fn grid_point(&self, position: u64) -> u64 {
        position - (position - self.trail.anchor) % GRID
    }

    fn round_up(&self, position: u64) -> u64 {
        let beyond = position.saturating_sub(self.trail.anchor).next_multiple_of(GRID) + self.trail.anchor;
        beyond.min(self.length())
    }
}

/// A reference allele whose likelihood is known when the pass has come to the end of its tail.
struct Due {
    edit: usize,
    counted: Range<u64>,
}

/// The pass over the reference.
struct Pass<'a> {
    task: &'a AnchoredTask<'a>,
    bench: &'a Bench<'a>,
    scratch: &'a mut Scratch<f32>,
    point: Point,
    /// log p of the bases from `recent_from` up to the point.
    recent: Vec<f64>,
    recent_from: u64,
}

impl<'a> Pass<'a> {
    /// A pass from the last kept state before the first edit, or from the anchor.
    fn from(task: &'a AnchoredTask<'a>, bench: &'a Bench<'a>, scratch: &'a mut Scratch<f32>) -> Self {
        let first = task.edits.first().map_or(task.trail.anchor, |edit| task.grid_point(task.range(edit).start));
        let kept = task.trails.lock().unwrap_or_else(PoisonError::into_inner).last(&task.trail, first);
        let point = kept.unwrap_or_else(|| Point {
            position: task.trail.anchor,
            state: bench.predictor.initial_state().expect("an anchored score is of a causal model"),
            logits: None,
        });
        Self { task, bench, scratch, recent: Vec::new(), recent_from: point.position, point }
    }

    /// Reads on to `position` and settles what becomes due; log p is kept from `needed` on and for what is still due.
    fn go_to(&mut self, position: u64, needed: u64, due: &mut Vec<Due>, answers: &mut [f64]) -> Result<(), ScoreError> {
        let chunk = (self.bench.predictor.chunk() as u64 / GRID * GRID).max(GRID);
        while self.point.position < position {
            let start = self.point.position;
            let ids = self.ids(start..(start + chunk).min(position))?;
            self.feed(&ids)?;
            due.retain(|due| {
                let is_due = due.counted.end <= self.point.position;
                if is_due {
                    answers[due.edit * WIDTH..][..2].copy_from_slice(&self.sum(&due.counted));
                }
                !is_due
            });
            self.forget(due.iter().map(|due| due.counted.start).min().unwrap_or(needed).min(needed));
            if start / MILESTONE != self.point.position / MILESTONE {
                self.keep();
            }
        }
        Ok(())
    }

    /// Feeds the next bases of the reference.
    fn feed(&mut self, ids: &[u8]) -> Result<(), ScoreError> {
        let Self { bench, scratch, point, recent, .. } = self;
        if let Some(&first) = ids.first() {
            // Nothing tells the first base of all: it is read and counts nothing.
            recent.push(point.logits.as_ref().map_or(0.0, |logits| log_probability(logits, first)));
        }
        let mut last = Vec::new();
        bench.predictor.feed(&mut point.state, ids, scratch, bench.watch, |i, logits| match ids.get(i + 1) {
            Some(&next) => recent.push(log_probability(logits, next)),
            None => last = logits.to_vec(),
        })?;
        point.logits = Some(last);
        point.position += ids.len() as u64;
        Ok(())
    }

    /// log p of an allele at `start` and of the bases behind it, and how many bases these are.
    fn allele(&mut self, start: u64, allele: &[u8], behind: Range<u64>) -> Result<[f64; 2], ScoreError> {
        let mut ids = self.ids(self.point.position..start)?;
        let from = ids.len();
        ids.extend(allele.iter().map(|&base| self.bench.predictor.vocabulary().id(base)));
        ids.extend(self.ids(behind)?);
        let Some((_, fed)) = ids.split_last() else { return Ok([0.0; 2]) };
        let (mut sum, mut counted) = (0.0, 0);
        let mut count = |place: usize, logits: &[f32]| {
            if place >= from {
                sum += log_probability(logits, ids[place]);
                counted += 1;
            }
        };
        if let Some(logits) = &self.point.logits {
            count(0, logits);
        }
        let mut state = self.point.state.clone();
        self.bench.predictor.feed(&mut state, fed, self.scratch, self.bench.watch, |i, logits| count(i + 1, logits))?;
        Ok([sum, f64::from(counted)])
    }

    fn ids(&self, range: Range<u64>) -> Result<Vec<u8>, ScoreError> {
        let mut ids = self.task.read(self.bench, range)?;
        self.bench.predictor.vocabulary().encode_in_place(&mut ids);
        Ok(ids)
    }

    /// log p of bases that the pass has read, and how many count.
    fn sum(&self, counted: &Range<u64>) -> [f64; 2] {
        let place = |position: u64| (position - self.recent_from) as usize;
        let uncounted = u64::from(counted.start == self.task.trail.anchor);
        let sum = self.recent[place(counted.start)..place(counted.end)].iter().sum();
        [sum, (counted.end - counted.start - uncounted) as f64]
    }

    fn forget(&mut self, before: u64) {
        let gone = before.clamp(self.recent_from, self.point.position) - self.recent_from;
        self.recent.drain(..gone as usize);
        self.recent_from += gone;
    }

    /// Keeps the state for later passes from the same anchor.
    fn keep(&self) {
        let mut trails = self.task.trails.lock().unwrap_or_else(PoisonError::into_inner);
        trails.keep(&self.task.trail, &self.point);
    }
}
