//! One pass of a model, watched.

use std::ops::ControlFlow;

use longstrand_kernels::Rows;
use longstrand_model::{Meter, Observer, Tap};

use super::rows::WindowRows;
use crate::options::layer_name;
use crate::pool::Pooler;

/// Pools what a pass gives, and hands it on at once where there are `rows` to take it.
pub(super) struct Pass<'a, 'w> {
    taps: &'a [Tap],
    poolers: Vec<Pooler>,
    /// Vectors handed on, for each tap.
    handed_on: Vec<usize>,
    /// Numbers in a vector.
    width: usize,
    rows: Option<&'a mut WindowRows<'w>>,
    meter: &'a mut Meter<'w>,
    flow: ControlFlow<()>,
}

impl<'a, 'w> Pass<'a, 'w> {
    pub(super) fn new(
        taps: &'a [Tap],
        poolers: Vec<Pooler>,
        width: usize,
        rows: Option<&'a mut WindowRows<'w>>,
        meter: &'a mut Meter<'w>,
    ) -> Self {
        Self { taps, handed_on: vec![0; poolers.len()], poolers, width, rows, meter, flow: ControlFlow::Continue(()) }
    }

    /// The vectors of each tap that were not handed on.
    pub(super) fn finish(mut self) -> ControlFlow<(), Vec<Vec<f32>>> {
        self.flow?;
        ControlFlow::Continue(self.poolers.iter_mut().map(Pooler::take).collect())
    }
}

impl Observer<f32> for Pass<'_, '_> {
    fn hidden(&mut self, tap: Tap, start: u64, hidden: Rows<'_, f32>) {
        let Some(i) = self.taps.iter().position(|&other| other == tap) else { return };
        self.poolers[i].add(start, hidden);
        let (Some(rows), ControlFlow::Continue(())) = (&mut self.rows, self.flow) else { return };
        let vectors = self.poolers[i].take();
        self.flow = rows.emit(&layer_name(tap), self.handed_on[i], &vectors);
        self.handed_on[i] += vectors.len() / self.width;
    }

    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        self.flow?;
        self.meter.advance(work)
    }
}
