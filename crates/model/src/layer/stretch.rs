//! What stretches of a sequence that several ranks own tell each other at a layer.

use longstrand_kernels::{Backend, Rows, Write};

use super::backward::{LayerTransposed, Passage, Way, projections};
use super::{Join, Layer};
use crate::checkpoint::LayerWeights;
use crate::scratch::Place;
use crate::train::BackwardPlace;

impl<B: Backend> Layer<B> {
    /// Columns that a branch's convolution looks back, K−1.
    pub(crate) fn columns_before(&self, index: usize) -> usize {
        self.branches[index].core.columns_before()
    }

    /// Step sizes of a position in a branch: I, or H of Mamba-2.
    pub(crate) fn step_count(&self, index: usize) -> usize {
        self.branches[index].core.step_count()
    }

    /// What passes a branch's convolution at some rows of the residual stream, `[rows, C]`.
    pub(crate) fn columns(&self, place: &mut Place<'_, B>, index: usize, residual: &[B::Scalar]) -> Vec<B::Scalar> {
        let rows = self.normalize(place, residual);
        self.projections(index).project(place, rows, false);
        place.scratch.projected.main.filled(rows).to_vec()
    }

    /// Adds the step sizes of the chunk that [`Self::advance`] has just walked.
    pub(crate) fn elapsed(&self, place: &mut Place<'_, B>, index: usize, rows: usize, sums: &mut [f64]) {
        self.branches[index].core.elapsed(place, rows, sums);
    }

    /// Makes of a state of the scan, or of a gradient of one, what is left of it after a time.
    pub(crate) fn fade(&self, index: usize, elapsed: &[f64], state: &mut [B::Scalar]) {
        self.branches[index].core.fade(elapsed, state);
    }

    /// As [`Self::backward`] of one branch, for the gradient of the scan's state alone; adds the chunk's step sizes. The
    /// gradient of the input is left alone.
    pub(crate) fn retreat(
        &self,
        transposed: &LayerTransposed<B>,
        place: &mut BackwardPlace<'_, B>,
        index: usize,
        passage: Passage<'_, B::Scalar>,
        sums: &mut [f64],
    ) {
        let rows = self.normalize(&mut place.forward(), passage.residual);
        let Passage { chunk, d_out, entering, d_states, .. } = passage;
        let mut d_mixed = place.adjoints.d_mixed.take();
        let d_out = Rows::new(d_out, self.d_model);
        let way = Way { layer: self, transposed, chunk, rows, entering, d_states };
        let d_out = match self.join {
            Join::Product => {
                way.factor(place, index, d_out, &mut d_mixed);
                d_mixed.rows(rows)
            }
            Join::Sum | Join::SumBeforeProjection => d_out,
        };
        self.projections(index).project(&mut place.forward(), rows, true);
        transposed.projections(self.owner(index)).enter(place, d_out);
        let core = &self.branches[index].core;
        let stretch = self.stretch(index, chunk, rows);
        core.retreat(place, stretch, &entering[index], &mut way.d_states[index].ssm, sums);
        place.adjoints.d_mixed = d_mixed;
    }

    /// From the gradient of what passes a branch's convolution at some rows, `[rows, C]`, to those of the residual stream
    /// there, `[rows, D]`, and of the parameters before it: all are added to.
    pub(crate) fn columns_backward(
        &self,
        transposed: &LayerTransposed<B>,
        place: &mut BackwardPlace<'_, B>,
        index: usize,
        (residual, d_columns): (&[B::Scalar], &[B::Scalar]),
        d_in: &mut [B::Scalar],
        gradient: &mut LayerWeights<B::Scalar>,
    ) {
        let rows = self.normalize(&mut place.forward(), residual);
        place.adjoints.d_main.get(rows).copy_from_slice(d_columns);
        let owner = self.owner(index);
        let (in_proj, _) = projections(gradient, owner);
        transposed.projections(owner).leave_main(place, rows, Write::Set, in_proj);
        let d_normed = place.adjoints.d_normed.filled(rows);
        self.norm.backward(place.backend, residual, d_normed, d_in, Write::Add, &mut gradient.norm);
    }
}
