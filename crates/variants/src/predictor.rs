//! A model as scores use it: distributions, likelihoods and embeddings of sequences.

use std::ops::{ControlFlow, Range};

use longstrand_kernels::{Cpu, Rows, pool};
use longstrand_model::{Chunking, Meter, Model, Observer, Request, Scratch, State, Tap, Watch};
use longstrand_seq::vocab::Vocabulary;

/// The watch has ended the run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cancelled;

/// A model and the vocabulary that it reads.
#[derive(Debug)]
pub(crate) struct Predictor {
    model: Model<Cpu>,
    vocabulary: Vocabulary,
}

/// log p of A, C, G and T.
pub(crate) type BaseLogProbabilities = [f64; 4];

impl Predictor {
    pub(crate) fn new(model: Model<Cpu>, vocabulary: Vocabulary) -> Self {
        Self { model, vocabulary }
    }

    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    pub(crate) fn scratch(&self) -> Scratch<f32> {
        self.model.scratch()
    }

    /// About how many bytes it takes to read one window of so many bases at a time.
    pub(crate) fn window_bytes(&self, bases: u64) -> u64 {
        self.model.window_bytes(Chunking::Auto, bases)
    }

    /// The longest window that takes at most so many bytes.
    pub(crate) fn longest_window(&self, bytes: u64) -> u64 {
        self.model.longest_window(Chunking::Auto, bytes)
    }

    pub(crate) fn is_causal(&self) -> bool {
        self.model.is_causal()
    }

    /// The state before the first base; none for a model that is not causal.
    pub(crate) fn initial_state(&self) -> Option<State<f32>> {
        self.model.initial_state()
    }

    /// Positions that a causal model is fed at a time.
    pub(crate) fn chunk(&self) -> usize {
        self.model.chunk_positions(Chunking::Auto, usize::MAX)
    }

    /// Distributions over the bases at `positions`, ascending, of the sequence `ids`.
    pub(crate) fn distributions(
        &self,
        ids: &[u8],
        positions: &[usize],
        scratch: &mut Scratch<f32>,
        watch: &dyn Watch,
    ) -> Result<Vec<BaseLogProbabilities>, Cancelled> {
        let bases = self.vocabulary.bases();
        let mut found = Vec::with_capacity(positions.len());
        let mut left = positions;
        self.logits(ids, scratch, watch, |position, row| {
            if let Some((_, rest)) = left.split_first().filter(|(next, _)| **next == position) {
                let total = log_sum_exp(row);
                found.push(bases.map(|id| f64::from(row[usize::from(id)]) - total));
                left = rest;
            }
        })?;
        assert!(left.is_empty(), "a position lies beyond the {} of the sequence", ids.len());
        Ok(found)
    }

    /// Σ log p(x_t | x_<t) over t = 1 … L − 1 of a causal model: the first base is read and not scored.
    pub(crate) fn log_likelihood(
        &self,
        ids: &[u8],
        scratch: &mut Scratch<f32>,
        watch: &dyn Watch,
    ) -> Result<f64, Cancelled> {
        let mut sum = 0.0;
        self.logits(ids, scratch, watch, |position, row| {
            if let Some(&next) = ids.get(position + 1) {
                sum += log_probability(row, next);
            }
        })?;
        Ok(sum)
    }

    /// The mean over `range` of the hidden states that the head reads, `[width]`.
    pub(crate) fn mean_embedding(
        &self,
        ids: &[u8],
        range: Range<usize>,
        scratch: &mut Scratch<f32>,
        watch: &dyn Watch,
    ) -> Result<Vec<f64>, Cancelled> {
        let mut pass =
            MeanPass { meter: self.meter(watch, ids.len()), range: range.clone(), sum: vec![0.0; self.model.width()] };
        let request = Request { taps: &[Tap::Last], logits: false };
        finished(self.model.encode(ids, Chunking::Auto, &request, scratch, &mut pass))?;
        pass.sum.iter_mut().for_each(|sum| *sum /= range.len() as f64);
        Ok(pass.sum)
    }

    /// Feeds the next bases of a sequence to a causal model and hands each one's logits to `take`.
    pub(crate) fn feed(
        &self,
        state: &mut State<f32>,
        ids: &[u8],
        scratch: &mut Scratch<f32>,
        watch: &dyn Watch,
        take: impl FnMut(usize, &[f32]),
    ) -> Result<(), Cancelled> {
        let from = state.position();
        let mut pass = LogitsPass { meter: self.meter(watch, ids.len()), from, take };
        let request = Request { taps: &[], logits: true };
        finished(ids.chunks(self.chunk()).try_for_each(|ids| self.model.feed(state, ids, &request, scratch, &mut pass)))
    }

    fn logits(
        &self,
        ids: &[u8],
        scratch: &mut Scratch<f32>,
        watch: &dyn Watch,
        take: impl FnMut(usize, &[f32]),
    ) -> Result<(), Cancelled> {
        let mut pass = LogitsPass { meter: self.meter(watch, ids.len()), from: 0, take };
        let request = Request { taps: &[], logits: true };
        finished(self.model.encode(ids, Chunking::Auto, &request, scratch, &mut pass))
    }

    /// Follows a pass over so many bases.
    fn meter<'w>(&self, watch: &'w dyn Watch, n_bases: usize) -> Meter<'w> {
        Meter::new(watch, n_bases as u64, self.model.work(n_bases as u64))
    }
}

/// log p of an id under a row of logits over the whole vocabulary, padding included.
pub(crate) fn log_probability(row: &[f32], id: u8) -> f64 {
    f64::from(row[usize::from(id)]) - log_sum_exp(row)
}

/// log Σ exp(x), in f64.
pub(crate) fn log_sum_exp(row: &[f32]) -> f64 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let largest = f64::from(largest);
    largest + row.iter().map(|&x| (f64::from(x) - largest).exp()).sum::<f64>().ln()
}

fn finished(flow: ControlFlow<()>) -> Result<(), Cancelled> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Cancelled),
    }
}

/// Hands each position's logits on.
struct LogitsPass<'w, F> {
    meter: Meter<'w>,
    from: u64,
    take: F,
}

impl<F: FnMut(usize, &[f32])> Observer<f32> for LogitsPass<'_, F> {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, f32>) {}

    fn logits(&mut self, start: u64, rows: Rows<'_, f32>) {
        let first = usize::try_from(start - self.from).expect("a sequence fits in memory");
        for row in 0..rows.len() {
            (self.take)(first + row, rows.row(row));
        }
    }

    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        self.meter.advance(work)
    }
}

/// Sums the hidden states of a range.
struct MeanPass<'w> {
    meter: Meter<'w>,
    range: Range<usize>,
    sum: Vec<f64>,
}

impl Observer<f32> for MeanPass<'_> {
    fn hidden(&mut self, _: Tap, start: u64, rows: Rows<'_, f32>) {
        let start = usize::try_from(start).expect("a sequence fits in memory");
        let (first, last) = (self.range.start.max(start), self.range.end.min(start + rows.len()));
        for position in first..last {
            pool::add_rows(rows.row(position - start), &mut self.sum);
        }
    }

    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        self.meter.advance(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one() {
        let row = [1.5_f32, -80.0, 0.25, 100.0, 99.0];
        let sum: f64 = (0..5).map(|id| log_probability(&row, id).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        assert!(log_sum_exp(&[1.0, f32::NAN]).is_nan());
    }
}
