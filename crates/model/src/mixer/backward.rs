//! The way back through a mixer's projections, and what the ways back of its cores have in common.
//!
//! Everything that a direction gives its surroundings, the gradients of x, z and of the projections' weights, is linear
//! in that direction's y. So the directions of a block may be taken together or one after the other.

use std::ops::Range;

use longstrand_kernels::{Backend, GradRows, Rows, RowsMut, Write, backend::Scalar, causal_conv1d};

use super::mamba::backward::MambaTransposed;
use super::{Core, InputParts, InputRows, MixerState, Stretch, output_weight};
use crate::checkpoint::{LinearWeights, MixerWeights};
use crate::config::MixerConfig;
use crate::train::{Adjoints, BackwardPlace};

/// The transposes of the matrices of [`Projections`].
#[derive(Debug)]
pub(crate) struct ProjectionsTransposed<B: Backend> {
    main: B::Matrix,
    z: B::Matrix,
    dt: Option<B::Matrix>,
    out: B::Matrix,
    parts: InputParts,
}

impl<B: Backend> ProjectionsTransposed<B> {
    /// `None` where [`Projections::new`] gives none.
    pub(crate) fn new(
        backend: &B,
        config: &MixerConfig,
        d_model: usize,
        weights: &MixerWeights,
        flip_channels: bool,
    ) -> Option<Self> {
        let (in_proj, out_proj) = weights.projections()?;
        let inputs = InputRows { backend, in_proj, d_model, flip: flip_channels };
        let transposed = |rows| backend.transposed_matrix(&inputs.weight(rows), d_model);
        let parts = InputParts::of(config);
        let inner = config.d_inner();
        Some(Self {
            main: transposed(parts.main.clone()),
            z: transposed(parts.z.clone()),
            dt: parts.dt.clone().map(transposed),
            out: backend.transposed_matrix(&output_weight(out_proj, inner, flip_channels), inner),
            parts,
        })
    }

    /// Sets the gradient of y from that of the mixer's output, `[L, D]`.
    pub(crate) fn enter(&self, place: &mut BackwardPlace<'_, B>, d_out: Rows<'_, B::Scalar>) {
        let d_y = place.adjoints.d_y.rows_mut(d_out.len());
        place.backend.linear(&self.out, d_out, d_y, Write::Set);
    }

    /// Adds the gradient of the output projection, which has read the scratch's `y`.
    pub(crate) fn out_gradient(
        &self,
        place: &BackwardPlace<'_, B>,
        d_out: Rows<'_, B::Scalar>,
        gradient: &mut LinearWeights<B::Scalar>,
        bias: bool,
    ) {
        let y = place.scratch.y.rows(d_out.len());
        let d_bias = gradient.bias.as_deref_mut().filter(|_| bias);
        place.backend.weight_gradient(d_out, y, &mut gradient.weight, d_bias);
    }

    /// Sets or adds to the gradient of the norm's output, and adds that of the input projection.
    pub(crate) fn leave(
        &self,
        place: &mut BackwardPlace<'_, B>,
        rows: usize,
        write: Write,
        gradient: &mut LinearWeights<B::Scalar>,
    ) {
        self.leave_main(place, rows, write, gradient);
        let Adjoints { d_normed, d_z, d_dt, .. } = &mut *place.adjoints;
        let normed = place.scratch.normed.rows(rows);
        let z = Some((&self.z, &self.parts.z, d_z.rows(rows)));
        let dt = self.dt.as_ref().zip(self.parts.dt.as_ref()).map(|(dt, part)| (dt, part, d_dt.rows(rows)));
        for (matrix, part, d_part) in [z, dt].into_iter().flatten() {
            weight_gradient(place.backend, d_part, normed, part, gradient);
            place.backend.linear(matrix, d_part, d_normed.rows_mut(rows), Write::Add);
        }
    }

    /// As [`Self::leave`], of what passes the convolution alone.
    pub(crate) fn leave_main(
        &self,
        place: &mut BackwardPlace<'_, B>,
        rows: usize,
        write: Write,
        gradient: &mut LinearWeights<B::Scalar>,
    ) {
        let Adjoints { d_normed, d_main, .. } = &mut *place.adjoints;
        let d_main = d_main.rows(rows);
        weight_gradient(place.backend, d_main, place.scratch.normed.rows(rows), &self.parts.main, gradient);
        place.backend.linear(&self.main, d_main, d_normed.rows_mut(rows), write);
    }
}

/// Adds the gradient of some rows of an input projection.
fn weight_gradient<B: Backend>(
    backend: &B,
    d_part: Rows<'_, B::Scalar>,
    normed: Rows<'_, B::Scalar>,
    part: &Range<usize>,
    gradient: &mut LinearWeights<B::Scalar>,
) {
    let width = normed.width();
    let d_weight = &mut gradient.weight[part.start * width..part.end * width];
    let d_bias = gradient.bias.as_mut().map(|bias| &mut bias[part.clone()]);
    backend.weight_gradient(d_part, normed, d_weight, d_bias);
}

/// A stretch on the way back of one direction.
pub(crate) struct Retrace<'a, S> {
    pub(crate) stretch: Stretch,
    /// Whether y, the gradient of what passes the convolution, and those of the gate and the step sizes are set or added
    /// to: another direction may have come before.
    pub(crate) write: Write,
    /// The state that forward entered the stretch with.
    pub(crate) entering: &'a MixerState<S>,
    /// In: the gradient of the state that forward left with. Out: that of `entering`.
    pub(crate) d_state: &'a mut MixerState<S>,
}

impl<S: Scalar> Retrace<'_, S> {
    /// From the gradient of the convolution's output to that of what passes it.
    pub(super) fn convolution_backward<B: Backend<Scalar = S>>(
        self,
        place: &mut BackwardPlace<'_, B>,
        params: &causal_conv1d::Params<'_, S>,
        d_weight: &mut [S],
        d_bias: Option<&mut [S]>,
    ) {
        let Stretch { direction, rows, .. } = self.stretch;
        let Adjoints { d_conv, d_main, .. } = &mut *place.adjoints;
        place.backend.causal_conv1d_backward(
            params,
            direction,
            place.scratch.projected.main.rows(rows),
            &self.entering.conv,
            d_conv.filled(rows),
            &mut self.d_state.conv,
            GradRows { rows: d_main.rows_mut(rows), write: self.write },
            &mut causal_conv1d::GradParams { d_weight, d_bias },
        );
    }
}

/// The transposes of the matrices of a [`Core`].
#[derive(Debug)]
pub(crate) enum CoreTransposed<B: Backend> {
    Mamba(MambaTransposed<B>),
    /// Mamba-2 has none.
    Mamba2,
}

impl<B: Backend> CoreTransposed<B> {
    pub(crate) fn new(backend: &B, config: &MixerConfig, weights: &MixerWeights) -> Self {
        match (config, weights) {
            (MixerConfig::Mamba(config), MixerWeights::Mamba(weights)) => {
                Self::Mamba(MambaTransposed::new(backend, *config, weights))
            }
            _ => Self::Mamba2,
        }
    }
}

impl<B: Backend> Core<B> {
    /// Walks a stretch again for the scratch's y, and back: from the gradient of y to those of what [`Projections`] gave,
    /// of the state that entered and of the parameters.
    pub(crate) fn backward(
        &self,
        transposed: &CoreTransposed<B>,
        place: &mut BackwardPlace<'_, B>,
        retrace: Retrace<'_, B::Scalar>,
        gradient: &mut MixerWeights<B::Scalar>,
    ) {
        match (self, transposed, gradient) {
            (Self::Mamba(core), CoreTransposed::Mamba(transposed), MixerWeights::Mamba(gradient)) => {
                core.backward(transposed, place, retrace, gradient);
            }
            (Self::Mamba2(core), CoreTransposed::Mamba2, MixerWeights::Mamba2(gradient)) => {
                core.backward(place, retrace, gradient);
            }
            _ => unreachable!("gradients and transposes follow the weights"),
        }
    }
}

/// Copies rows into some columns of others.
pub(super) fn copy_rows<S: Copy>(from: Rows<'_, S>, mut to: RowsMut<'_, S>) {
    for t in 0..from.len() {
        to.row(t).copy_from_slice(from.row(t));
    }
}
