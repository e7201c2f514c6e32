//! A chunk of some sequences through a layer.

use std::ops::Range;

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real, View, ViewMut};
use longstrand_kernels::linear::cuda::{self as linear, Matrix, MatrixMut, Positions, SinglePrecision};
use longstrand_kernels::{Direction, Write, causal_conv1d, norm, pointwise, selective_scan};

use super::layout::{Layout, Plane};
use super::weights::{Layer, MambaCore};
use super::workspace::{Inner, Workspace};
use crate::config::MambaConfig;
use crate::layer::Join;

/// The state of one branch of one layer, of all sequences.
#[derive(Debug)]
pub(super) struct BranchState {
    /// Inputs of the convolution, `[sequences, I, K-1]`.
    pub(super) conv: Buffer<f32>,
    /// `[sequences, N, I]`
    pub(super) ssm: Buffer<f32>,
}

impl BranchState {
    /// The state before the start of sequences.
    pub(super) fn zeros(device: &Device, mixer: MambaConfig, sequences: usize) -> Result<Self, CudaError> {
        let MambaConfig { d_inner, d_state, d_conv, .. } = mixer;
        Ok(Self {
            conv: device.zeros(sequences * d_inner * (d_conv - 1))?,
            ssm: device.zeros(sequences * d_state * d_inner)?,
        })
    }

    /// The same state, in memory of its own.
    pub(super) fn copy(&self) -> Result<Self, CudaError> {
        let copy = |from: &Buffer<f32>| {
            let mut to = from.device().buffer(from.len())?;
            to.view_mut().copy_from(from.view())?;
            Ok(to)
        };
        Ok(Self { conv: copy(&self.conv)?, ssm: copy(&self.ssm)? })
    }

    /// The convolution's inputs before some of the sequences.
    pub(super) fn conv_of(&self, mixer: MambaConfig, sequences: Range<usize>) -> View<'_, f32> {
        self.conv.view().slice(of_sequences(mixer.d_inner * (mixer.d_conv - 1), sequences))
    }

    pub(super) fn conv_of_mut(&mut self, mixer: MambaConfig, sequences: Range<usize>) -> ViewMut<'_, f32> {
        self.conv.view_mut().slice(of_sequences(mixer.d_inner * (mixer.d_conv - 1), sequences))
    }

    /// The scan's state of some of the sequences.
    pub(super) fn scan_of(&mut self, mixer: MambaConfig, sequences: Range<usize>) -> ViewMut<'_, f32> {
        self.ssm.view_mut().slice(of_sequences(mixer.d_inner * mixer.d_state, sequences))
    }

    /// Bytes of a state of one sequence.
    pub(super) fn bytes(mixer: MambaConfig) -> usize {
        (mixer.d_conv - 1 + mixer.d_state) * mixer.d_inner * size_of::<f32>()
    }
}

/// The elements of some sequences that have so many each.
fn of_sequences(size: usize, sequences: Range<usize>) -> Range<usize> {
    sequences.start * size..sequences.end * size
}

/// Sequences of all strands that are worked on together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch<'a> {
    pub(super) layout: Layout,
    /// Of each strand, whose sequences lie side by side, whether the layer meets it backwards in time.
    pub(super) backwards: &'a [bool],
}

impl Stretch<'_> {
    /// Each strand's sequences, and whether they are met backwards.
    pub(super) fn strands(&self) -> impl Iterator<Item = (Range<usize>, bool)> {
        let count = self.layout.sequences / self.backwards.len();
        self.backwards.iter().enumerate().map(move |(i, &backwards)| (i * count..(i + 1) * count, backwards))
    }
}

/// How layers compute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arithmetics {
    pub(super) mixer: MambaConfig,
    pub(super) single: SinglePrecision,
}

impl Arithmetics {
    /// A product over positions that are columns of the output.
    pub(super) fn columns<T: Real>(
        self,
        a: Matrix<'_, T>,
        b: Matrix<'_, T>,
        out: MatrixMut<'_, T>,
        write: Write,
    ) -> Result<(), CudaError> {
        linear::product(a, b, out, write, Positions::Columns, self.single)
    }

    /// A product over positions that are rows of the output.
    pub(super) fn rows<T: Real, O: Real>(
        self,
        a: Matrix<'_, T>,
        b: Matrix<'_, T>,
        out: MatrixMut<'_, O>,
        write: Write,
    ) -> Result<(), CudaError> {
        linear::product(a, b, out, write, Positions::Rows, self.single)
    }
}

impl<T: Real> Layer<T> {
    /// Width of the residual stream, D.
    pub(super) fn width(&self, how: Arithmetics) -> usize {
        self.projections(0).input.len() / (2 * how.mixer.d_inner)
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
        let is_sum = self.join == Join::SumBeforeProjection;
        for (i, state) in states.iter_mut().enumerate() {
            if self.branches[i].projections.is_some() {
                self.project(how, i, stretch.layout, work)?;
            }
            let (y, write) = match (i, is_sum) {
                (0, _) => (&mut work.y, Write::Set),
                (_, true) => (&mut work.y, Write::Add),
                (_, false) => (work.y_second.as_mut().expect("a second output"), Write::Set),
            };
            self.run(how, i, stretch, &mut work.inner, state, y, write)?;
        }
        let Workspace { y, y_second, mixed, .. } = work;
        let outputs = [Some((0, &*y)), y_second.as_ref().map(|y| (1, y))];
        let outputs = outputs.into_iter().flatten().take(states.len());
        self.finish(how, stretch.layout, outputs, mixed.as_mut(), residual)
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
        self.run(how, index, stretch, &mut work.inner, state, y, Write::Set)
    }

    /// As [`Self::forward`] where the output of the other branch, `kept`, is there already.
    pub(super) fn forward_beside(
        &self,
        how: Arithmetics,
        index: usize,
        stretch: Stretch<'_>,
        work: &mut Workspace<T>,
        residual: ViewMut<'_, f32>,
        state: &mut BranchState,
        kept: &mut Plane<T>,
    ) -> Result<(), CudaError> {
        self.project(how, index, stretch.layout, work)?;
        let Workspace { inner, y, mixed, .. } = work;
        let layout = stretch.layout;
        if self.join == Join::SumBeforeProjection {
            self.run(how, index, stretch, inner, state, kept, Write::Add)?;
            return self.finish(how, layout, [(0, &*kept)], None, residual);
        }
        self.run(how, index, stretch, inner, state, y, Write::Set)?;
        let outputs = [(index, &*y), (1 - index, &*kept)];
        self.finish(how, layout, outputs, mixed.as_mut(), residual)
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
        let Workspace { inner, y, .. } = work;
        self.run(how, index, stretch, inner, state, y, Write::Set)?;
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
        self.project_into(how, index, layout, &work.normed, &mut work.inner.xz)
    }

    /// Computes x and z of a branch from the norm's output, `[used columns, D]`.
    pub(super) fn project_into(
        &self,
        how: Arithmetics,
        index: usize,
        layout: Layout,
        normed: &Buffer<T>,
        xz: &mut Plane<T>,
    ) -> Result<(), CudaError> {
        let projections = self.projections(index);
        let (inner, width) = (how.mixer.d_inner, self.width(how));
        let weight = Matrix::new(projections.input.view(), 2 * inner, width, width);
        let normed = Matrix::new(normed.view(), layout.used(), width, width).transposed();
        how.columns(weight, normed, xz.matrix_mut(layout, 0..2 * inner), Write::Set)?;
        match &projections.input_bias {
            Some(bias) => linear::add_bias_to_rows(bias.view(), xz.matrix_mut(layout, 0..2 * inner)),
            None => Ok(()),
        }
    }

    /// What a branch makes of x and z, the gate included.
    fn run(
        &self,
        how: Arithmetics,
        index: usize,
        stretch: Stretch<'_>,
        inner: &mut Inner<T>,
        state: &mut BranchState,
        y: &mut Plane<T>,
        write: Write,
    ) -> Result<(), CudaError> {
        let branch = &self.branches[index];
        let MambaConfig { d_inner, d_state, dt_rank, .. } = how.mixer;
        let core = &branch.core;
        let layout = stretch.layout;
        let Inner { xz, u, selected, delta } = inner;
        for (sequences, backwards) in stretch.strands() {
            core.convolve(how, branch.on(backwards), layout, sequences, xz, u, state)?;
        }
        core.select(how, layout, u, selected, delta)?;
        for (sequences, backwards) in stretch.strands() {
            let (first, count) = (sequences.start, sequences.len());
            let inputs = selective_scan::cuda::Inputs {
                u: u.rows(layout).sequences(first, count),
                delta: delta.rows(layout).sequences(first, count),
                b: selected.channels(layout, dt_rank..dt_rank + d_state).sequences(first, count),
            };
            let output = selective_scan::cuda::Output {
                c: selected.channels(layout, dt_rank + d_state..dt_rank + 2 * d_state).sequences(first, count),
                z: Some(xz.channels(layout, d_inner..2 * d_inner).sequences(first, count)),
                y: y.rows_mut(layout).sequences(first, count),
                write,
            };
            let ssm = state.scan_of(how.mixer, sequences);
            let direction = branch.on(backwards);
            selective_scan::cuda::forward(&core.scan_params(), direction, &inputs, ssm, Some(output), None)?;
        }
        Ok(())
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
        let (inner, used) = (how.mixer.d_inner, layout.used());
        let width = projections.output.len() / inner;
        let weight = Matrix::new(projections.output.view(), width, inner, inner).transposed();
        how.rows(y.whole(layout).transposed(), weight, MatrixMut::new(out.reborrow(), used, width, width), write)?;
        match &projections.output_bias {
            Some(bias) => linear::add_bias_to_columns(bias.view(), MatrixMut::new(out, used, width, width)),
            None => Ok(()),
        }
    }
}

impl<T: Real> MambaCore<T> {
    pub(super) fn conv_params(&self) -> causal_conv1d::cuda::Params<'_> {
        causal_conv1d::cuda::Params { weight: self.conv_weight.view(), bias: self.conv_bias.as_ref().map(Buffer::view) }
    }

    pub(super) fn scan_params(&self) -> selective_scan::cuda::Params<'_> {
        selective_scan::cuda::Params { a: self.a.view(), d: self.d.view(), delta_bias: self.delta_bias.view() }
    }

    /// x to u, of some sequences.
    pub(super) fn convolve(
        &self,
        how: Arithmetics,
        direction: Direction,
        layout: Layout,
        sequences: Range<usize>,
        xz: &Plane<T>,
        u: &mut Plane<T>,
        state: &mut BranchState,
    ) -> Result<(), CudaError> {
        let (first, count) = (sequences.start, sequences.len());
        let x = xz.channels(layout, 0..how.mixer.d_inner).sequences(first, count);
        let state = state.conv_of_mut(how.mixer, sequences);
        let u = u.rows_mut(layout).sequences(first, count);
        causal_conv1d::cuda::forward(&self.conv_params(), direction, x, state, u)
    }

    /// u to Δ, B and C.
    pub(super) fn select(
        &self,
        how: Arithmetics,
        layout: Layout,
        u: &Plane<T>,
        selected: &mut Plane<T>,
        delta: &mut Plane<T>,
    ) -> Result<(), CudaError> {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = how.mixer;
        let wide = dt_rank + 2 * d_state;
        let x_proj = Matrix::new(self.x_proj.view(), wide, d_inner, d_inner);
        how.columns(x_proj, u.whole(layout), selected.matrix_mut(layout, 0..wide), Write::Set)?;
        let dt_proj = Matrix::new(self.dt_proj.view(), d_inner, dt_rank, dt_rank);
        let low_rank = selected.matrix(layout, 0..dt_rank);
        how.columns(dt_proj, low_rank, delta.matrix_mut(layout, 0..d_inner), Write::Set)
    }
}
