//! The way back of a chunk through a layer.

use std::ops::Range;

use longstrand_kernels::Write;
use longstrand_kernels::cuda::{CudaError, Real, View, ViewMut};
use longstrand_kernels::linear::cuda::{self as linear, Matrix, MatrixMut};
use longstrand_kernels::{norm, pointwise};

use super::mixer::{Retrace, backward, gate_backward};
use super::norm::{NormBackward, NormPlace};
use super::sums::{Sums, add_gradient};
use super::trail::Trail;
use super::workspace::{Adjoints, Product};
use crate::checkpoint::LinearWeights;
use crate::cuda::arithmetics::Arithmetics;
use crate::cuda::layout::{Layout, Stretch};
use crate::cuda::mixer::BranchState;
use crate::cuda::weights::Layer;
use crate::cuda::workspace::Workspace;
use crate::layer::Join;

/// A chunk on its way back through a layer.
pub(super) struct Passage<'a, T: Real> {
    pub(super) stretch: Stretch<'a>,
    /// The layer's input, `[used columns, D]`.
    pub(super) input: View<'a, T>,
    /// Gradient of the layer's output, `[used columns, D]`.
    pub(super) d_out: View<'a, T>,
    /// Gradient of the layer's input, which is added to: the residual connection's share is there already.
    pub(super) d_in: ViewMut<'a, f32>,
    /// The states of all branches that the chunk was entered with.
    pub(super) entering: &'a [&'a BranchState],
    /// In: the gradients of the states that forward left with. Out: those of `entering`.
    pub(super) d_states: &'a mut [BranchState],
}

/// The way back through a layer.
pub(super) struct LayerBackward<'a, T: Real> {
    pub(super) layer: &'a Layer<T>,
    pub(super) index: usize,
    pub(super) how: Arithmetics,
    pub(super) sums: &'a mut Sums,
    pub(super) work: &'a mut Adjoints<T>,
    /// Whether the trail of all branches is there from the way forward.
    pub(super) is_traced: bool,
}

/// Passes sequences through a layer whose branches share projections and leaves the trail for the way back; `normed` is what
/// the norm gives, and `y` is worked in.
pub(super) fn forward_traced<T: Real>(
    (layer, how): (&Layer<T>, Arithmetics),
    stretch: Stretch<'_>,
    work: &mut Workspace<T>,
    trail: &mut Trail<T>,
    states: &mut [BranchState],
    residual: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    let layout = stretch.layout;
    layer.project_into(how, 0, layout, &work.normed, &mut trail.projected)?;
    for (i, state) in states.iter_mut().enumerate() {
        let branch = &layer.branches[i];
        trail.walk((&branch.core, how), branch.walk(stretch), i, state, &mut work.y)?;
    }
    let y = trail.output(&how.mixer, layout, &mut work.y)?;
    layer.project_out(how, 0, layout, y, residual, Write::Add)
}

impl<T: Real> LayerBackward<'_, T> {
    /// The way back through some of the branches. Which are taken together is a matter of cost alone.
    pub(super) fn run(&mut self, branches: Range<usize>, mut passage: Passage<'_, T>) -> Result<(), CudaError> {
        let Adjoints { input, normed, .. } = &mut *self.work;
        let len = passage.input.len();
        pointwise::cuda::convert(passage.input, input.view_mut().slice(..len))?;
        let stream = norm::cuda::Input::<T, T>::Stream(passage.input);
        norm::cuda::forward(&self.layer.norm.params(), stream, normed.view_mut().slice(..len))?;
        let d_out = passage.d_out;
        match self.layer.join {
            Join::SumBeforeProjection => self.shared(branches, &mut passage, d_out, Write::Set)?,
            Join::Sum => {
                for i in branches.clone() {
                    let write = if i == branches.start { Write::Set } else { Write::Add };
                    self.shared(i..i + 1, &mut passage, d_out, write)?;
                }
            }
            Join::Product => self.product(branches, &mut passage)?,
        }
        let Adjoints { input, d_normed, .. } = &*self.work;
        let d = self.layer.width(self.how);
        let place = NormPlace::of(&self.sums.places.weights.layers[self.index].norm);
        let gradient = NormBackward { norm: &self.layer.norm, width: d, place };
        let (x, d_out) = (input.view().slice(..len), d_normed.view().slice(..len));
        gradient.run(passage.stretch.layout, x, d_out, passage.d_in.reborrow(), Write::Add, self.sums)
    }

    /// Branches whose outputs are multiplied: the gradient of one's has the other's as a factor, which is computed again.
    fn product(&mut self, branches: Range<usize>, passage: &mut Passage<'_, T>) -> Result<(), CudaError> {
        let Some(mut product) = self.work.product.take() else { unreachable!("there is room for the product") };
        let result = branches.clone().try_for_each(|i| {
            let write = if i == branches.start { Write::Set } else { Write::Add };
            let len = passage.input.len();
            let Product { other, d_mixed, forward } = &mut product;
            let mut state = passage.entering[1 - i].copy()?;
            self.layer.normalize(forward, passage.input)?;
            self.layer.output(self.how, 1 - i, passage.stretch, forward, &mut state, other.view_mut().slice(..len))?;
            // d_mixed = d_out ⊙ other
            pointwise::cuda::convert(other.view().slice(..len), d_mixed.view_mut().slice(..len))?;
            pointwise::cuda::multiply(d_mixed.view_mut().slice(..len), passage.d_out)?;
            self.shared(i..i + 1, passage, d_mixed.view().slice(..len), write)
        });
        self.work.product = Some(product);
        result
    }

    /// Branches that share projections, from the gradient of what their output projection gives; sets or adds to the
    /// gradient of the norm's output.
    fn shared(
        &mut self,
        branches: Range<usize>,
        passage: &mut Passage<'_, T>,
        d_out: View<'_, T>,
        write: Write,
    ) -> Result<(), CudaError> {
        let (layout, stretch) = (passage.stretch.layout, passage.stretch);
        let owner = if self.layer.branches[branches.start].projections.is_some() { branches.start } else { 0 };
        self.enter(owner, layout, d_out)?;
        if !self.is_traced {
            self.project(owner, layout)?;
            for i in branches.clone() {
                let (branch, mut state) = (&self.layer.branches[i], passage.entering[i].copy()?);
                let Adjoints { trail, core, .. } = &mut *self.work;
                let walk = branch.walk(stretch);
                trail.walk((&branch.core, self.how), walk, i - branches.start, &mut state, core.spare())?;
            }
        }
        gate_backward(self.how, layout, self.work)?;
        for i in branches.clone() {
            let retrace = Retrace {
                walk: self.layer.branches[i].walk(stretch),
                trace: i - branches.start,
                entering: passage.entering[i],
                d_state: &mut passage.d_states[i],
                place: (self.index, i),
            };
            backward((&self.layer.branches[i].core, self.how), self.work, retrace, self.sums)?;
        }
        // One projection of the sum of the directions has one bias.
        let bias = self.layer.join != Join::SumBeforeProjection || branches.start == 0;
        self.leave(owner, layout, d_out, bias, write)
    }

    /// Computes what the cores read.
    fn project(&mut self, owner: usize, layout: Layout) -> Result<(), CudaError> {
        let Adjoints { normed, trail, .. } = &mut *self.work;
        self.layer.project_into(self.how, owner, layout, normed, &mut trail.projected)
    }

    /// From the gradient of the output to that of what its projection read.
    fn enter(&mut self, owner: usize, layout: Layout, d_out: View<'_, T>) -> Result<(), CudaError> {
        let (inner, d) = (self.how.mixer.d_inner(), self.layer.width(self.how));
        let output = &self.layer.projections(owner).output;
        let weight = Matrix::new(output.view(), d, inner, inner).transposed();
        let d_out = Matrix::new(d_out, layout.used(), d, d).transposed();
        self.how.columns(weight, d_out, self.work.d_y.matrix_mut(layout, 0..inner), Write::Set)
    }

    /// The gradients of both projections, and that of the norm's output, which is set or added to.
    fn leave(
        &mut self,
        owner: usize,
        layout: Layout,
        d_out: View<'_, T>,
        bias: bool,
        write: Write,
    ) -> Result<(), CudaError> {
        let (inner, d, projected) =
            (self.how.mixer.d_inner(), self.layer.width(self.how), self.how.mixer.projection_rows());
        let of = self.sums.places.branch(self.index, owner);
        let (in_proj, out_proj) = of.projections().expect("the owner has projections");
        let place = |LinearWeights { weight, bias }: &LinearWeights<Range<usize>>| {
            (weight[0].clone(), bias.as_ref().map(|bias| bias[0].clone()))
        };
        let ((in_weight, in_bias), (out_weight, out_bias)) = (place(in_proj), place(out_proj));
        let Adjoints { normed, d_normed, d_projected, trail: Trail { y, .. }, .. } = &mut *self.work;
        for columns in layout.positions() {
            let rows = columns.start * d..columns.end * d;
            let d_rows = Matrix::new(d_out.slice(rows.clone()), columns.len(), d, d);
            let x = y.matrix_of(layout, 0..inner, columns.clone()).transposed();
            add_gradient(self.how, d_rows.transposed(), x, self.sums, &out_weight)?;
            if let Some(place) = out_bias.as_ref().filter(|_| bias) {
                linear::bias_gradient_of_columns(d_rows, self.sums.view_mut().0.slice(place.clone()))?;
            }
            let d_columns = d_projected.matrix_of(layout, 0..projected, columns.clone());
            let x = Matrix::new(normed.view().slice(rows), columns.len(), d, d);
            add_gradient(self.how, d_columns, x, self.sums, &in_weight)?;
            if let Some(place) = &in_bias {
                linear::bias_gradient_of_rows(d_columns, self.sums.view_mut().0.slice(place.clone()))?;
            }
        }
        let input = &self.layer.projections(owner).input;
        let weight = Matrix::new(input.view(), projected, d, d);
        let out = MatrixMut::new(d_normed.view_mut(), layout.used(), d, d);
        self.how.rows(d_projected.whole(layout).transposed(), weight, out, write)
    }
}
