//! A chunk of some sequences through a layer.

use longstrand_kernels::cuda::{Buffer, CudaError, Real, View, ViewMut};
use longstrand_kernels::linear::cuda::{self as linear, Matrix, MatrixMut};
use longstrand_kernels::{Write, norm, pointwise};

use super::arithmetics::Arithmetics;
use super::layout::{Layout, Plane, Stretch};
use super::mixer::{BranchState, Target, adds};
use super::weights::Layer;
use super::workspace::Workspace;
use crate::layer::Join;

impl<T: Real> Layer<T> {
    /// Width of the residual stream, D.
    pub(super) fn width(&self, how: Arithmetics) -> usize {
        self.projections(0).input.len() / how.mixer.projection_rows()
    }

    /// Adds to a chunk of the residual stream, `[used columns, D]`, what the layer makes of `normed`.
    pub(super) fn forward(
        &self,
        how: Arithmetics,
        stretch: Stretch<'_>,
        work: &mut Workspace<T>,
        residual: ViewMut<'_, f32>,
        states: &mut [BranchState],
    ) -> Result<(), CudaError> {
        let adds_up = self.join == Join::SumBeforeProjection && adds(&how.mixer);
        for (i, state) in states.iter_mut().enumerate() {
            if self.branches[i].projections.is_some() {
                self.project(how, i, stretch.layout, work)?;
            }
            let Workspace { projected, inner, y, y_second, .. } = work;
            let target = match (i, adds_up) {
                (0, _) => Target { y, write: Write::Set },
                (_, true) => Target { y, write: Write::Add },
                (_, false) => Target { y: y_second.as_mut().expect("a second output"), write: Write::Set },
            };
            let branch = &self.branches[i];
            branch.core.run(how, branch.walk(stretch), projected, inner, state, target)?;
        }
        let Workspace { y, y_second, mixed, .. } = work;
        match y_second {
            None => self.finish(how, stretch.layout, [(0, &*y)], None, residual),
            Some(second) => self.finish_both(how, stretch.layout, [y, second], mixed.as_mut(), residual),
        }
    }

    /// Computes the output of one branch alone, before its output projection, from `normed`.
    pub(super) fn forward_branch(
        &self,
        how: Arithmetics,
        index: usize,
        stretch: Stretch<'_>,
        work: &mut Workspace<T>,
        state: &mut BranchState,
        y: &mut Plane<T>,
    ) -> Result<(), CudaError> {
        self.project(how, index, stretch.layout, work)?;
        let (branch, target) = (&self.branches[index], Target { y, write: Write::Set });
        branch.core.run(how, branch.walk(stretch), &work.projected, &mut work.inner, state, target)
    }

    /// As [`Self::forward`] where the output of the second branch, `kept`, is there already.
    pub(super) fn forward_beside(
        &self,
        how: Arithmetics,
        stretch: Stretch<'_>,
        work: &mut Workspace<T>,
        residual: ViewMut<'_, f32>,
        state: &mut BranchState,
        kept: &mut Plane<T>,
    ) -> Result<(), CudaError> {
        self.project(how, 0, stretch.layout, work)?;
        let Workspace { projected, inner, y, mixed, .. } = work;
        let (branch, layout) = (&self.branches[0], stretch.layout);
        let walk = branch.walk(stretch);
        if self.join == Join::SumBeforeProjection && adds(&how.mixer) {
            branch.core.run(how, walk, projected, inner, state, Target { y: kept, write: Write::Add })?;
            return self.finish(how, layout, [(0, &*kept)], None, residual);
        }
        branch.core.run(how, walk, projected, inner, state, Target { y, write: Write::Set })?;
        self.finish_both(how, layout, [y, kept], mixed.as_mut(), residual)
    }

    /// The projected output of one branch, `[used columns, D]`, from `normed`.
    pub(super) fn output(
        &self,
        how: Arithmetics,
        index: usize,
        stretch: Stretch<'_>,
        work: &mut Workspace<T>,
        state: &mut BranchState,
        out: ViewMut<'_, f32>,
    ) -> Result<(), CudaError> {
        self.project(how, index, stretch.layout, work)?;
        let Workspace { projected, inner, y, .. } = work;
        let (branch, target) = (&self.branches[index], Target { y, write: Write::Set });
        branch.core.run(how, branch.walk(stretch), projected, inner, state, target)?;
        self.project_out(how, index, stretch.layout, y, out, Write::Set)
    }

    /// Norms a chunk of the residual stream, `[used columns, D]`.
    pub(super) fn normalize<R: Real>(&self, work: &mut Workspace<T>, residual: View<'_, R>) -> Result<(), CudaError> {
        let out = work.normed.view_mut().slice(..residual.len());
        norm::cuda::forward(&self.norm.params(), norm::cuda::Input::Stream(residual), out)
    }

    fn project(
        &self,
        how: Arithmetics,
        index: usize,
        layout: Layout,
        work: &mut Workspace<T>,
    ) -> Result<(), CudaError> {
        self.project_into(how, index, layout, &work.normed, &mut work.projected)
    }

    /// Computes what the cores read of the norm's output, `[used columns, D]`.
    pub(super) fn project_into(
        &self,
        how: Arithmetics,
        index: usize,
        layout: Layout,
        normed: &Buffer<T>,
        projected: &mut Plane<T>,
    ) -> Result<(), CudaError> {
        let projections = self.projections(index);
        let (rows, width) = (how.mixer.projection_rows(), self.width(how));
        let weight = Matrix::new(projections.input.view(), rows, width, width);
        let normed = Matrix::new(normed.view(), layout.used(), width, width).transposed();
        how.columns(weight, normed, projected.matrix_mut(layout, 0..rows), Write::Set)?;
        match &projections.input_bias {
            Some(bias) => linear::add_bias_to_rows(bias.view(), projected.matrix_mut(layout, 0..rows)),
            None => Ok(()),
        }
    }

    /// As [`Self::finish`], of both branches, where their outputs are apart.
    fn finish_both(
        &self,
        how: Arithmetics,
        layout: Layout,
        [first, second]: [&mut Plane<T>; 2],
        mixed: Option<&mut [Buffer<f32>; 2]>,
        residual: ViewMut<'_, f32>,
    ) -> Result<(), CudaError> {
        if self.join == Join::SumBeforeProjection {
            first.add(layout, 0..how.mixer.d_inner(), second)?;
            return self.finish(how, layout, [(0, &*first)], None, residual);
        }
        self.finish(how, layout, [(0, &*first), (1, &*second)], mixed, residual)
    }

    /// Projects the outputs of branches and adds them, joined, to the residual stream.
    fn finish<'a>(
        &self,
        how: Arithmetics,
        layout: Layout,
        outputs: impl IntoIterator<Item = (usize, &'a Plane<T>)>,
        mixed: Option<&mut [Buffer<f32>; 2]>,
        mut residual: ViewMut<'_, f32>,
    ) -> Result<(), CudaError> {
        let Some(mixed) = mixed else {
            return outputs
                .into_iter()
                .try_for_each(|(i, y)| self.project_out(how, i, layout, y, residual.reborrow(), Write::Add));
        };
        for ((i, y), out) in outputs.into_iter().zip(&mut *mixed) {
            self.project_out(how, i, layout, y, out.view_mut().slice(..residual.len()), Write::Set)?;
        }
        let [first, second] = mixed;
        let len = residual.len();
        let mut product = first.view_mut().slice(..len);
        pointwise::cuda::multiply(product.reborrow(), second.view().slice(..len))?;
        pointwise::cuda::add(residual, product.as_view())
    }

    /// The output projection of a branch, `[used columns, D]`.
    pub(super) fn project_out(
        &self,
        how: Arithmetics,
        index: usize,
        layout: Layout,
        y: &Plane<T>,
        mut out: ViewMut<'_, f32>,
        write: Write,
    ) -> Result<(), CudaError> {
        let projections = self.projections(index);
        let (inner, used) = (how.mixer.d_inner(), layout.used());
        let width = projections.output.len() / inner;
        let weight = Matrix::new(projections.output.view(), width, inner, inner).transposed();
        how.rows(y.whole(layout).transposed(), weight, MatrixMut::new(out.reborrow(), used, width, width), write)?;
        match &projections.output_bias {
            Some(bias) => linear::add_bias_to_columns(bias.view(), MatrixMut::new(out, used, width, width)),
            None => Ok(()),
        }
    }
}
