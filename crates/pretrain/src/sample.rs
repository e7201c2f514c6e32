//! Which windows a step takes.
//!
//! ```text
//! (seed, step, index in the batch, attempt) ─ Philox ─ ordinal ─ Pool ─ interval ┐
//!                                                    ─ strand ───────────────────┴─ Place ─ bases ─ too many N? next attempt
//! ```
//!
//! Windows are drawn with replacement: all admissible starts are equally likely, so that an interval counts by the number
//! of windows that fit. A window with too many bases other than A, C, G and T is drawn again with the next attempt's
//! numbers, so that it depends on nothing but seed, step, index and the genomes.

mod error;
mod lengths;
mod pool;

pub use error::SampleError;
pub use lengths::{LengthError, Lengths, Stage};
pub use pool::{Pool, PoolSummary};

use std::collections::BTreeMap;

use longstrand_seq::{Interval, Strand, strand::reverse_complement};

use crate::{
    random::{Draws, Purpose, below, join, unit},
    source::Sources,
    split::Area,
};

/// Where a window lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// The contig, numbered through all genomes, and the bases; 0-based, half-open.
    pub interval: Interval,
    /// The strand that is read.
    pub strand: Strand,
}

/// A window that was drawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sampled {
    /// Where it lies.
    pub place: Place,
    /// How many windows before it would not do.
    pub rejected: u64,
}

/// What windows are drawn by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleOptions {
    /// What makes the difference between two runs.
    pub seed: u64,
    /// The probability that a window is read from the reverse strand.
    pub reverse_complement: f64,
    /// Windows of which a larger fraction than this is none of A, C, G, T are drawn again; 0 to 1.
    pub max_ambiguous: f64,
}

/// The windows of every step, as a function. It holds no bases and never changes.
#[derive(Clone, Debug)]
pub struct Sampler {
    pools: BTreeMap<u64, Pool>,
    lengths: Lengths,
    options: SampleOptions,
    purpose: Purpose,
}

/// Windows that are tried before a run gives up.
const MOST_ATTEMPTS: u64 = 1_000;

impl Sampler {
    /// The windows of training steps.
    ///
    /// # Errors
    ///
    /// - no window of one of the lengths lies in the area
    /// - windows side by side are asked for whose length does not divide [`ROW`](crate::split::ROW)
    pub fn training(
        area: &Area,
        sources: &Sources,
        lengths: &Lengths,
        options: SampleOptions,
    ) -> Result<Self, SampleError> {
        Self::new(area, sources, lengths, Purpose::Window, options)
    }

    /// Windows of one length for validation, on the forward strand: with one seed always the same, whatever the seed of
    /// the training. Their step is 0.
    ///
    /// # Errors
    ///
    /// As [`Self::training`].
    pub fn fixed(area: &Area, sources: &Sources, length: u64, options: SampleOptions) -> Result<Self, SampleError> {
        let options = SampleOptions { reverse_complement: 0.0, ..options };
        Self::new(area, sources, &Lengths::constant(length), Purpose::ValidationWindow, options)
    }

    fn new(
        area: &Area,
        sources: &Sources,
        lengths: &Lengths,
        purpose: Purpose,
        options: SampleOptions,
    ) -> Result<Self, SampleError> {
        let pool = |stage: &Stage| Ok((stage.length, Pool::new(area, sources, stage.length)?));
        let pools = lengths.stages().iter().map(pool).collect::<Result<_, SampleError>>()?;
        Ok(Self { pools, lengths: lengths.clone(), options, purpose })
    }

    /// What windows there are, for each length.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.values()
    }

    /// The length of a step's windows.
    pub fn length(&self, step: u64) -> u64 {
        self.lengths.at(step)
    }

    /// Where a window lies, should the attempts before this one not do; `None` when nothing lies there that may be taken.
    ///
    /// `index` is the window's place in the whole step's batch, whichever device works on it.
    pub fn place(&self, step: u64, index: u32, attempt: u64) -> Option<Place> {
        let [a, b, c, d] = Draws::new(self.options.seed, self.purpose, step, index).block(attempt);
        let pool = &self.pools[&self.length(step)];
        let interval = pool.get(below(join(a, b), pool.len()))?;
        let is_reverse = unit(join(c, d)) < self.options.reverse_complement;
        Some(Place { interval, strand: if is_reverse { Strand::Reverse } else { Strand::Forward } })
    }

    /// Finds a window of the genomes it was made for, and replaces `bases` by the window's: 5' to 3' of its strand, in the
    /// file's case, where lower case is the soft mask.
    ///
    /// # Errors
    ///
    /// - a genome cannot be read
    /// - no window was found that will do
    pub fn read(
        &self,
        sources: &mut Sources,
        step: u64,
        index: u32,
        bases: &mut Vec<u8>,
    ) -> Result<Sampled, SampleError> {
        for attempt in 0..MOST_ATTEMPTS {
            let Some(place) = self.place(step, index, attempt) else { continue };
            sources.read(&place.interval, bases)?;
            if n_ambiguous(bases) as f64 > self.options.max_ambiguous * bases.len() as f64 {
                continue;
            }
            if place.strand == Strand::Reverse {
                reverse_complement(bases);
            }
            return Ok(Sampled { place, rejected: attempt });
        }
        Err(SampleError::Attempts { step, index, length: self.length(step), attempts: MOST_ATTEMPTS })
    }

    /// The random numbers that decide what is masked in a window.
    pub fn mask_draws(&self, step: u64, index: u32) -> Draws {
        let purpose = if self.purpose == Purpose::Window { Purpose::Mask } else { Purpose::ValidationMask };
        Draws::new(self.options.seed, purpose, step, index)
    }
}

/// How many bases are none of A, C, G, T, in either case.
fn n_ambiguous(bases: &[u8]) -> usize {
    bases.iter().filter(|base| !matches!(base.to_ascii_uppercase(), b'A' | b'C' | b'G' | b'T')).count()
}

#[cfg(test)]
mod tests;
