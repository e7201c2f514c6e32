//! One pass of a model, watched.

use std::ops::ControlFlow;

use longstrand_kernels::Rows;
use longstrand_model::{Meter, Tap, VectorObserver};

use super::rows::WindowRows;
use crate::options::layer_name;

/// Takes the vectors of a pass, and hands them on at once where there are `rows` to take them.
pub(super) struct Pass<'a, 'w> {
    taps: &'a [Tap],
    /// The vectors of each tap that were not handed on, `[spans, width]`.
    kept: Vec<Vec<f32>>,
    rows: Option<&'a mut WindowRows<'w>>,
    meter: &'a mut Meter<'w>,
    flow: ControlFlow<()>,
}

impl<'a, 'w> Pass<'a, 'w> {
    pub(super) fn new(taps: &'a [Tap], rows: Option<&'a mut WindowRows<'w>>, meter: &'a mut Meter<'w>) -> Self {
        Self { taps, kept: vec![Vec::new(); taps.len()], rows, meter, flow: ControlFlow::Continue(()) }
    }

    /// The vectors of each tap that were not handed on.
    pub(super) fn finish(self) -> ControlFlow<(), Vec<Vec<f32>>> {
        self.flow?;
        ControlFlow::Continue(self.kept)
    }
}

impl VectorObserver for Pass<'_, '_> {
    fn vectors(&mut self, tap: Tap, first: usize, vectors: Rows<'_, f32>) {
        let Some(i) = self.taps.iter().position(|&other| other == tap) else { return };
        match (&mut self.rows, self.flow) {
            (None, _) => (0..vectors.len()).for_each(|row| self.kept[i].extend_from_slice(vectors.row(row))),
            (Some(rows), ControlFlow::Continue(())) => {
                let layer = layer_name(tap);
                self.flow = (0..vectors.len()).try_for_each(|row| rows.emit(&layer, first + row, vectors.row(row)));
            }
            (Some(_), ControlFlow::Break(())) => {}
        }
    }

    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        self.flow?;
        self.meter.advance(work)
    }
}
