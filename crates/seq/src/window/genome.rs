use std::ops::Range;

use super::{
    PlannedWindow, Shard, SourceError, Window, WindowCounts, WindowPlan,
    cut::{cut, is_too_ambiguous},
};
use crate::genome::Genome;

/// The windows of a plan, read from a genome with random access.
///
/// One window's bases are in memory at a time.
pub struct GenomeWindows {
    genome: Genome,
    plan: WindowPlan,
    max_ambiguous: f64,
    remaining: Range<u64>,
    counts: WindowCounts,
}

impl GenomeWindows {
    /// A shard's windows of `plan`. Windows of which a larger fraction than `max_ambiguous` is none of A, C, G, T are
    /// left out.
    pub fn new(genome: Genome, plan: WindowPlan, shard: Shard, max_ambiguous: f64) -> Self {
        let counts = WindowCounts { dropped_partial: plan.n_dropped_partial(shard), ..WindowCounts::default() };
        Self { genome, remaining: plan.shard(shard), plan, max_ambiguous, counts }
    }

    /// What was given and left out so far.
    pub fn counts(&self) -> WindowCounts {
        self.counts
    }

    fn read(&mut self, planned: &PlannedWindow) -> Result<Window, SourceError> {
        let mut bases = Vec::with_capacity((planned.end - planned.start + planned.n_padded) as usize);
        self.genome.read(planned.contig, planned.start..planned.end, &mut bases)?;
        let contig = &self.genome.contigs().get(planned.contig).name;
        Ok(cut(planned, contig, bases))
    }
}

impl Iterator for GenomeWindows {
    type Item = Result<Window, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let planned = self.plan.get(self.remaining.next()?)?;
            match self.read(&planned) {
                Ok(window) if is_too_ambiguous(&window, self.max_ambiguous) => {
                    self.counts.dropped_ambiguous += 1;
                }
                Ok(window) => {
                    self.counts.add(&window, planned.is_partial);
                    return Some(Ok(window));
                }
                Err(error) => {
                    self.remaining = 0..0;
                    return Some(Err(error));
                }
            }
        }
    }
}
