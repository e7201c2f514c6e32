//! A model as scores use it: distributions, likelihoods and embeddings of sequences.

use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};

use longstrand_kernels::Rows;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{
    Chunking, Engine, EngineError, Excess, Lanes, Meter, Observer, Pooling, Processor, Request, Scratch, State, Tap,
    VectorObserver, Watch,
};
use longstrand_seq::vocab::Vocabulary;

/// Why a pass ended early.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Halt {
    /// The watch has ended the run.
    Cancelled,
    /// A device has failed.
    Failed(EngineError),
}

/// A model and the vocabulary that it reads.
#[derive(Debug)]
pub(crate) struct Predictor {
    model: Engine,
    vocabulary: Vocabulary,
}

/// log p of A, C, G and T.
pub(crate) type BaseLogProbabilities = [f64; 4];

impl Predictor {
    pub(crate) fn new(processor: &Processor, checkpoint: &Checkpoint) -> Result<Self, EngineError> {
        Ok(Self { model: Engine::new(processor, checkpoint)?, vocabulary: checkpoint.vocabulary.clone() })
    }

    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    pub(crate) fn scratch(&self) -> Scratch<f32> {
        self.model.scratch()
    }

    /// Refuses windows of so many bases that take more memory than there is: of this machine's, as many bytes as are available,
    /// where that is known.
    pub(crate) fn check_window(&self, bases: u64, available: Option<u64>) -> Result<(), Excess> {
        self.model.check_window(Chunking::Auto, bases, available)
    }

    /// Bytes that a pass over so many bases takes.
    pub(crate) fn pass_bytes(&self, bases: usize) -> u64 {
        self.model.pass_bytes(Chunking::Auto, bases)
    }

    /// Bytes that one window of so many bases at a time takes.
    pub(crate) fn window_bytes(&self, bases: u64) -> u64 {
        self.model.window_bytes(Chunking::Auto, bases)
    }

    /// Whether passes of several threads are computed together.
    pub(crate) fn gathers(&self) -> bool {
        self.model.gathers()
    }

    /// Whether a pass over so many bases is best computed by itself.
    pub(crate) fn is_filled_by(&self, bases: usize) -> bool {
        self.model.is_filled_by(bases)
    }

    /// How so many passes over about so many bases are divided among threads.
    pub(crate) fn lanes(&self, bases: usize, passes: usize, threads: NonZeroUsize) -> Lanes {
        self.model.lanes(bases, passes, threads)
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
    ) -> Result<Vec<BaseLogProbabilities>, Halt> {
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
    ) -> Result<f64, Halt> {
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
    ) -> Result<Vec<f64>, Halt> {
        let mut pass = MeanPass { meter: self.meter(watch, ids.len()), mean: Vec::new() };
        let pooling = Pooling::mean(range.start as u64..range.end as u64);
        self.finished(self.model.pool(ids, Chunking::Auto, &[Tap::Last], &pooling, scratch, &mut pass))?;
        Ok(pass.mean.into_iter().map(f64::from).collect())
    }

    /// Feeds the next bases of a sequence to a causal model and hands each one's logits to `take`.
    pub(crate) fn feed(
        &self,
        state: &mut State<f32>,
        ids: &[u8],
        scratch: &mut Scratch<f32>,
        watch: &dyn Watch,
        take: impl FnMut(usize, &[f32]),
    ) -> Result<(), Halt> {
        let from = state.position();
        let mut pass = LogitsPass { meter: self.meter(watch, ids.len()), from, take };
        let request = Request { taps: &[], logits: true };
        self.finished(
            ids.chunks(self.chunk()).try_for_each(|ids| self.model.feed(state, ids, &request, scratch, &mut pass)),
        )
    }

    fn logits(
        &self,
        ids: &[u8],
        scratch: &mut Scratch<f32>,
        watch: &dyn Watch,
        take: impl FnMut(usize, &[f32]),
    ) -> Result<(), Halt> {
        let mut pass = LogitsPass { meter: self.meter(watch, ids.len()), from: 0, take };
        let request = Request { taps: &[], logits: true };
        self.finished(self.model.encode(ids, Chunking::Auto, &request, scratch, &mut pass))
    }

    fn finished(&self, flow: ControlFlow<()>) -> Result<(), Halt> {
        match flow {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(self.model.failure().map_or(Halt::Cancelled, Halt::Failed)),
        }
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

/// Keeps the mean of a range.
struct MeanPass<'w> {
    meter: Meter<'w>,
    mean: Vec<f32>,
}

impl VectorObserver for MeanPass<'_> {
    fn vectors(&mut self, _: Tap, _: usize, rows: Rows<'_, f32>) {
        self.mean = rows.row(0).to_vec();
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
