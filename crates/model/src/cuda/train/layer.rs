//! The way back of a chunk through a layer.

use std::ops::Range;

use longstrand_kernels::cuda::{CudaError, Real, View, ViewMut};
use longstrand_kernels::linear::cuda::{self as linear, Matrix, MatrixMut, Positions};
use longstrand_kernels::{Write, causal_conv1d, norm, pointwise, selective_scan, silu_gate};

use super::sums::{Sums, parts};
use super::workspace::{Adjoints, Product, Trace, Trail};
use crate::checkpoint::{LayerWeights, LinearWeights, MambaWeights, MixerWeights};
use crate::config::MambaConfig;
use crate::cuda::layer::{Arithmetics, BranchState, Stretch};
use crate::cuda::layout::Layout;
use crate::cuda::weights::{Layer, Norm};
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
/// the norm gives, and `gated` is worked in.
pub(super) fn forward_traced<T: Real>(
    (layer, how): (&Layer<T>, Arithmetics),
    stretch: Stretch<'_>,
    work: &mut Workspace<T>,
    trail: &mut Trail<T>,
    states: &mut [BranchState],
    residual: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    let layout = stretch.layout;
    layer.project_into(how, 0, layout, &work.normed, &mut trail.xz)?;
    for (i, state) in states.iter_mut().enumerate() {
        let write = if i == 0 { Write::Set } else { Write::Add };
        trail.walk((layer, how), i, i, stretch, state, write)?;
    }
    let z = trail.xz.channels(layout, how.mixer.d_inner..2 * how.mixer.d_inner);
    silu_gate::cuda::forward(Some(trail.y.rows(layout)), z, work.y.rows_mut(layout))?;
    layer.project_out(how, 0, layout, &work.y, residual, Write::Add)
}

impl<T: Real> Trail<T> {
    /// Walks a branch for y before its gate, and keeps what its way back reads.
    fn walk(
        &mut self,
        (layer, how): (&Layer<T>, Arithmetics),
        index: usize,
        trace: usize,
        stretch: Stretch<'_>,
        state: &mut BranchState,
        write: Write,
    ) -> Result<(), CudaError> {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = how.mixer;
        let (branch, layout) = (&layer.branches[index], stretch.layout);
        let Self { xz, y, traces } = self;
        let Trace { u, selected, delta, borders } = &mut traces[trace];
        let core = &branch.core;
        for (sequences, backwards) in stretch.strands() {
            core.convolve(how, branch.on(backwards), layout, sequences, xz, u, state)?;
        }
        core.select(how, layout, u, selected, delta)?;
        borders.clear();
        for (sequences, backwards) in stretch.strands() {
            let (first, count) = (sequences.start, sequences.len());
            let inputs = selective_scan::cuda::Inputs {
                u: u.rows(layout).sequences(first, count),
                delta: delta.rows(layout).sequences(first, count),
                b: selected.channels(layout, dt_rank..dt_rank + d_state).sequences(first, count),
            };
            let output = selective_scan::cuda::Output {
                c: selected.channels(layout, dt_rank + d_state..dt_rank + 2 * d_state).sequences(first, count),
                z: None,
                y: y.rows_mut(layout).sequences(first, count),
                write,
            };
            let len = selective_scan::cuda::borders_len(count, layout.len, d_state, d_inner);
            let mut border = xz.device().buffer::<f32>(len)?;
            let ssm = state.scan_of(how.mixer, sequences);
            let (params, direction) = (core.scan_params(), branch.on(backwards));
            let at = Some(border.view_mut());
            selective_scan::cuda::forward(&params, direction, &inputs, ssm, Some(output), at)?;
            borders.push(border);
        }
        Ok(())
    }
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
        let LayerWeights { norm, .. } = &self.sums.places.weights.layers[self.index];
        let (weight, bias) = (norm.weight[0].clone(), norm.bias.as_ref().map(|bias| bias[0].clone()));
        let Adjoints { input, d_normed, .. } = &*self.work;
        let d = self.layer.width(self.how);
        let place = NormPlace { weight, bias };
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
                let write = if i == branches.start { Write::Set } else { Write::Add };
                let mut state = passage.entering[i].copy()?;
                self.work.trail.walk((self.layer, self.how), i, i - branches.start, stretch, &mut state, write)?;
            }
        }
        self.gate(layout)?;
        for i in branches.clone() {
            let write = if i == branches.start { Write::Set } else { Write::Add };
            self.core(i, i - branches.start, stretch, passage.entering[i], &mut passage.d_states[i], write)?;
        }
        // One projection of the sum of the directions has one bias.
        let bias = self.layer.join != Join::SumBeforeProjection || branches.start == 0;
        self.leave(owner, layout, d_out, bias, write)
    }

    /// Computes x and z.
    fn project(&mut self, owner: usize, layout: Layout) -> Result<(), CudaError> {
        let Adjoints { normed, trail, .. } = &mut *self.work;
        self.layer.project_into(self.how, owner, layout, normed, &mut trail.xz)
    }

    /// From the gradient of the output to that of the gated y.
    fn enter(&mut self, owner: usize, layout: Layout, d_out: View<'_, T>) -> Result<(), CudaError> {
        let (inner, d) = (self.how.mixer.d_inner, self.layer.width(self.how));
        let output = &self.layer.projections(owner).output;
        let weight = Matrix::new(output.view(), d, inner, inner).transposed();
        let d_out = Matrix::new(d_out, layout.used(), d, d).transposed();
        self.how.columns(weight, d_out, self.work.d_y.matrix_mut(layout, 0..inner), Write::Set)
    }

    /// The gate's way back; y becomes what the output projection read.
    fn gate(&mut self, layout: Layout) -> Result<(), CudaError> {
        let inner = self.how.mixer.d_inner;
        let Adjoints { trail: Trail { xz, y, .. }, d_xz, d_y, d_q, .. } = &mut *self.work;
        let z = xz.channels(layout, inner..2 * inner);
        let d_z = d_xz.channels_mut(layout, inner..2 * inner);
        silu_gate::cuda::backward(y.rows_mut(layout), z, d_y.rows(layout), d_q.rows_mut(layout), d_z, true)
    }

    /// From the gradient of y before the gate to that of x, which is set or added to.
    fn core(
        &mut self,
        index: usize,
        trace: usize,
        stretch: Stretch<'_>,
        entering: &BranchState,
        d_state: &mut BranchState,
        write: Write,
    ) -> Result<(), CudaError> {
        self.scan(index, trace, stretch, d_state)?;
        self.selection(index, trace, stretch.layout)?;
        self.convolution(index, stretch, entering, d_state, write)
    }

    fn scan(
        &mut self,
        index: usize,
        trace: usize,
        stretch: Stretch<'_>,
        d_state: &mut BranchState,
    ) -> Result<(), CudaError> {
        let MambaConfig { d_state: states, dt_rank, .. } = self.how.mixer;
        let (branch, layout) = (&self.layer.branches[index], stretch.layout);
        let Adjoints { d_q, d_u, d_delta, d_selected, trail, .. } = &mut *self.work;
        let Trace { u, selected, delta, borders } = &trail.traces[trace];
        let (b, c) = (dt_rank..dt_rank + states, dt_rank + states..dt_rank + 2 * states);
        for ((sequences, backwards), borders) in stretch.strands().zip(borders) {
            let (first, count) = (sequences.start, sequences.len());
            let inputs = selective_scan::cuda::Inputs {
                u: u.rows(layout).sequences(first, count),
                delta: delta.rows(layout).sequences(first, count),
                b: selected.channels(layout, b.clone()).sequences(first, count),
            };
            let readout = selective_scan::cuda::Readout {
                c: selected.channels(layout, c.clone()).sequences(first, count),
                d_q: d_q.rows(layout).sequences(first, count),
            };
            let (d_b, d_c) = d_selected.two_mut(layout, b.clone(), c.clone());
            let d_inputs = selective_scan::cuda::GradInputs {
                d_u: (d_u.rows_mut(layout).sequences(first, count), Write::Set),
                d_delta: (d_delta.rows_mut(layout).sequences(first, count), Write::Set),
                d_b: (d_b.sequences(first, count), Write::Set),
                d_c: (d_c.sequences(first, count), Write::Set),
            };
            let (sums, places) = self.sums.view_mut();
            let of = mamba(&places.weights.layers[self.index], index);
            // Without a bias of its own, the gradient of the step-size bias goes nowhere.
            let bias = of.dt_proj.bias.as_ref().expect("a step-size projection has a bias");
            let [d_delta_bias, d_a, d_d] = parts(sums, [&bias[0], &of.a_log[0], &of.d[0]]);
            let d_params = selective_scan::cuda::GradParams { d_a, d_d, d_delta_bias };
            let state = d_state.scan_of(self.how.mixer, sequences);
            let direction = branch.on(backwards);
            let params = branch.core.scan_params();
            let borders = borders.view();
            selective_scan::cuda::backward(&params, direction, &inputs, borders, &readout, state, d_inputs, d_params)?;
        }
        Ok(())
    }

    /// From the gradients of Δ, B and C to the share that they have in that of u.
    fn selection(&mut self, index: usize, trace: usize, layout: Layout) -> Result<(), CudaError> {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = self.how.mixer;
        let (core, wide) = (&self.layer.branches[index].core, dt_rank + 2 * d_state);
        let of = mamba(&self.sums.places.weights.layers[self.index], index);
        let (of_dt, of_x) = (of.dt_proj.weight[0].clone(), of.x_proj[0].clone());
        let Adjoints { d_u, d_delta, d_selected, trail, .. } = &mut *self.work;
        let Trace { u, selected, .. } = &trail.traces[trace];

        let dt_proj = Matrix::new(core.dt_proj.view(), d_inner, dt_rank, dt_rank).transposed();
        let low_rank = d_selected.matrix_mut(layout, 0..dt_rank);
        self.how.columns(dt_proj, d_delta.whole(layout), low_rank, Write::Set)?;
        let x_proj = Matrix::new(core.x_proj.view(), wide, d_inner, d_inner).transposed();
        let share = d_u.matrix_mut(layout, 0..d_inner);
        self.how.columns(x_proj, d_selected.whole(layout), share, Write::Add)?;
        for columns in layout.positions() {
            let d_out = d_delta.matrix_of(layout, 0..d_inner, columns.clone());
            let x = selected.matrix_of(layout, 0..dt_rank, columns.clone()).transposed();
            add_gradient(self.how, d_out, x, self.sums, &of_dt)?;
            let d_out = d_selected.matrix_of(layout, 0..wide, columns.clone());
            let x = u.matrix_of(layout, 0..d_inner, columns).transposed();
            add_gradient(self.how, d_out, x, self.sums, &of_x)?;
        }
        Ok(())
    }

    fn convolution(
        &mut self,
        index: usize,
        stretch: Stretch<'_>,
        entering: &BranchState,
        d_state: &mut BranchState,
        write: Write,
    ) -> Result<(), CudaError> {
        let MambaConfig { d_inner, .. } = self.how.mixer;
        let (branch, layout) = (&self.layer.branches[index], stretch.layout);
        let Adjoints { trail: Trail { xz, .. }, d_xz, d_u, .. } = &mut *self.work;
        for (sequences, backwards) in stretch.strands() {
            let (first, count) = (sequences.start, sequences.len());
            let x = xz.channels(layout, 0..d_inner).sequences(first, count);
            let d_x = d_xz.channels_mut(layout, 0..d_inner).sequences(first, count);
            let d_out = d_u.rows(layout).sequences(first, count);
            let state = entering.conv_of(self.how.mixer, sequences.clone());
            let d_state = d_state.conv_of_mut(self.how.mixer, sequences);
            let (sums, places) = self.sums.view_mut();
            let of = mamba(&places.weights.layers[self.index], index);
            let d_params = match &of.conv_bias {
                Some(bias) => {
                    let [d_weight, d_bias] = parts(sums, [&of.conv_weight[0], &bias[0]]);
                    causal_conv1d::cuda::GradParams { d_weight, d_bias: Some(d_bias) }
                }
                None => {
                    causal_conv1d::cuda::GradParams { d_weight: sums.slice(of.conv_weight[0].clone()), d_bias: None }
                }
            };
            let direction = branch.on(backwards);
            let params = branch.core.conv_params();
            causal_conv1d::cuda::backward(&params, direction, x, state, d_out, d_state, d_x, write, d_params)?;
        }
        Ok(())
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
        let (inner, d) = (self.how.mixer.d_inner, self.layer.width(self.how));
        let of = mamba(&self.sums.places.weights.layers[self.index], owner);
        let place = |of: &Option<LinearWeights<Range<usize>>>| {
            let LinearWeights { weight, bias } = of.as_ref().expect("the owner has projections");
            (weight[0].clone(), bias.as_ref().map(|bias| bias[0].clone()))
        };
        let ((in_weight, in_bias), (out_weight, out_bias)) = (place(&of.in_proj), place(&of.out_proj));
        let Adjoints { normed, d_normed, d_xz, trail: Trail { y, .. }, .. } = &mut *self.work;
        for columns in layout.positions() {
            let rows = columns.start * d..columns.end * d;
            let d_rows = Matrix::new(d_out.slice(rows.clone()), columns.len(), d, d);
            let x = y.matrix_of(layout, 0..inner, columns.clone()).transposed();
            add_gradient(self.how, d_rows.transposed(), x, self.sums, &out_weight)?;
            if let Some(place) = out_bias.as_ref().filter(|_| bias) {
                linear::bias_gradient_of_columns(d_rows, self.sums.view_mut().0.slice(place.clone()))?;
            }
            let d_columns = d_xz.matrix_of(layout, 0..2 * inner, columns.clone());
            let x = Matrix::new(normed.view().slice(rows), columns.len(), d, d);
            add_gradient(self.how, d_columns, x, self.sums, &in_weight)?;
            if let Some(place) = &in_bias {
                linear::bias_gradient_of_rows(d_columns, self.sums.view_mut().0.slice(place.clone()))?;
            }
        }
        let input = &self.layer.projections(owner).input;
        let weight = Matrix::new(input.view(), 2 * inner, d, d);
        let out = MatrixMut::new(d_normed.view_mut(), layout.used(), d, d);
        self.how.rows(d_xz.whole(layout).transposed(), weight, out, write)
    }
}

/// Adds the gradient of a weight, `[n_out, n_in]`, given `[n_out, positions]` and `[positions, n_in]`.
pub(super) fn add_gradient<T: Real>(
    how: Arithmetics,
    d_out: Matrix<'_, T>,
    x: Matrix<'_, T>,
    sums: &mut Sums,
    place: &Range<usize>,
) -> Result<(), CudaError> {
    let (rows, columns) = (d_out.rows(), x.columns());
    let out = MatrixMut::new(sums.view_mut().0.slice(place.clone()), rows, columns, columns);
    linear::product(d_out, x, out, Write::Add, Positions::Inner, how.single)
}

/// Where a norm's gradients lie.
pub(super) struct NormPlace {
    pub(super) weight: Range<usize>,
    pub(super) bias: Option<Range<usize>>,
}

/// The way back through a norm.
pub(super) struct NormBackward<'a> {
    pub(super) norm: &'a Norm,
    pub(super) width: usize,
    pub(super) place: NormPlace,
}

impl NormBackward<'_> {
    /// Sets or adds to the gradient of the norm's input, all `[used columns, D]`.
    pub(super) fn run<T: Real>(
        &self,
        layout: Layout,
        x: View<'_, f32>,
        d_out: View<'_, T>,
        mut d_x: ViewMut<'_, f32>,
        write: Write,
        sums: &mut Sums,
    ) -> Result<(), CudaError> {
        for columns in layout.positions() {
            let rows = columns.start * self.width..columns.end * self.width;
            let (sums, _) = sums.view_mut();
            let d_params = match &self.place.bias {
                Some(bias) => {
                    let [d_weight, d_bias] = parts(sums, [&self.place.weight, bias]);
                    norm::cuda::GradParams { d_weight, d_bias: Some(d_bias) }
                }
                None => norm::cuda::GradParams { d_weight: sums.slice(self.place.weight.clone()), d_bias: None },
            };
            let (x, d_out) = (x.slice(rows.clone()), d_out.slice(rows.clone()));
            let d_x = d_x.reborrow().slice(rows);
            norm::cuda::backward(&self.norm.params(), x, d_out, d_x, write, None, d_params)?;
        }
        Ok(())
    }
}

/// Where the gradients of a branch lie.
fn mamba(layer: &LayerWeights<Range<usize>>, branch: usize) -> &MambaWeights<Range<usize>> {
    let mixer = match branch {
        0 => &layer.forward,
        _ => layer.reverse.as_ref().expect("places follow the weights"),
    };
    match mixer {
        MixerWeights::Mamba(mamba) => mamba,
        MixerWeights::Mamba2(_) => unreachable!("the weights are Mamba's"),
    }
}
