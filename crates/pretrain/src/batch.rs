//! A step's windows, read and prepared.

use std::ops::Range;

use crate::{
    objective::{Batch, Preparation},
    sample::{Place, SampleError, Sampled, Sampler},
    source::Sources,
};

/// What makes batches: where windows lie and what is learned from them.
#[derive(Clone, Debug)]
pub struct Batches {
    sampler: Sampler,
    preparation: Preparation,
}

/// A batch and where its windows lie.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlacedBatch {
    /// What is learned.
    pub batch: Batch,
    /// Where each window lies.
    pub places: Vec<Place>,
    /// How many windows were drawn that would not do.
    pub rejected: u64,
}

impl Batches {
    /// Prepares what `sampler` draws.
    pub fn new(sampler: Sampler, preparation: Preparation) -> Self {
        Self { sampler, preparation }
    }

    /// What draws.
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// What prepares.
    pub fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// The windows of a step that have these places in its whole batch, read from the genomes that the sampler was made
    /// for. Parts of a step, put together, are the step.
    ///
    /// # Errors
    ///
    /// As [`Sampler::read`].
    pub fn read(&self, sources: &mut Sources, step: u64, indices: Range<u32>) -> Result<PlacedBatch, SampleError> {
        let length = self.sampler.length(step) as usize;
        let mut placed = PlacedBatch { batch: self.preparation.batch(length), ..PlacedBatch::default() };
        let mut bases = Vec::with_capacity(length);
        for index in indices {
            let Sampled { place, rejected } = self.sampler.read(sources, step, index, &mut bases)?;
            self.preparation.push(&mut placed.batch, &bases, &self.sampler.mask_draws(step, index));
            placed.places.push(place);
            placed.rejected += rejected;
        }
        Ok(placed)
    }
}
