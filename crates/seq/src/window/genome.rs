use std::ops::Range;

use super::{
    SourceError, Window, WindowCounts, WindowPlan,
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
    /// The windows of `plan` with the given ordinals; [`WindowPlan::shard`] gives those of a shard, and a later start
    /// resumes a run. Windows of which a larger fraction than `max_ambiguous` is none of A, C, G, T are left out.
    pub fn new(genome: Genome, plan: WindowPlan, ordinals: Range<u64>, max_ambiguous: f64) -> Self {
        let counts = WindowCounts { dropped_partial: plan.n_dropped_partial(), ..WindowCounts::default() };
        Self { genome, remaining: ordinals.start..ordinals.end.min(plan.n_windows()), plan, max_ambiguous, counts }
    }

    /// What was given and left out so far.
    pub fn counts(&self) -> WindowCounts {
        self.counts
    }

    /// The whole plan.
    pub fn plan(&self) -> &WindowPlan {
        &self.plan
    }

    /// The ordinals that are yet to come.
    pub fn remaining(&self) -> Range<u64> {
        self.remaining.clone()
    }

    fn read(&mut self, index: u64) -> Result<Window, SourceError> {
        let planned = self.plan.get(index).expect("ordinals end with the plan");
        let mut bases = Vec::with_capacity((planned.end - planned.start + planned.n_padded) as usize);
        self.genome.read(planned.contig, planned.start..planned.end, &mut bases)?;
        let contig = &self.genome.contigs().get(planned.contig).name;
        Ok(cut(&planned, contig, bases))
    }
}

impl Iterator for GenomeWindows {
    type Item = Result<Window, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let index = self.remaining.next()?;
            match self.read(index) {
                Ok(window) if is_too_ambiguous(&window, self.max_ambiguous) => {
                    self.counts.dropped_ambiguous += 1;
                }
                Ok(window) => {
                    self.counts.add(&window);
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
