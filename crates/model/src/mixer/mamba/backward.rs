//! The way back through one direction of a Mamba mixer.

use longstrand_kernels::{Backend, GradRows, Write, causal_conv1d, selective_scan};

use super::MambaCore;
use crate::checkpoint::MambaWeights;
use crate::config::MambaConfig;
use crate::mixer::backward::{Retrace, copy_rows};
use crate::mixer::{MixerState, Readout, Stretch};
use crate::scratch::Scratch;
use crate::train::{Adjoints, BackwardPlace};

/// The transposes of a core's two matrices.
#[derive(Debug)]
pub(crate) struct MambaTransposed<B: Backend> {
    x_proj: B::Matrix,
    dt_proj: B::Matrix,
}

impl<B: Backend> MambaTransposed<B> {
    pub(in crate::mixer) fn new(backend: &B, config: MambaConfig, weights: &MambaWeights) -> Self {
        Self {
            x_proj: backend.transposed_matrix(&weights.x_proj, config.d_inner),
            dt_proj: backend.transposed_matrix(&weights.dt_proj.weight, config.dt_rank),
        }
    }
}

impl<B: Backend> MambaCore<B> {
    pub(in crate::mixer) fn backward(
        &self,
        transposed: &MambaTransposed<B>,
        place: &mut BackwardPlace<'_, B>,
        mut retrace: Retrace<'_, B::Scalar>,
        gradient: &mut MambaWeights<B::Scalar>,
    ) {
        let readout = Readout { write: retrace.write, gate: true };
        self.run(&mut place.forward(), retrace.stretch, &mut retrace.entering.clone(), Some(readout));
        self.scan_backward(place, &mut retrace, gradient);
        self.selection_backward(transposed, place, retrace.stretch.rows, gradient);
        let params = causal_conv1d::Params { weight: &self.conv_weight, bias: self.conv_bias.as_deref() };
        retrace.convolution_backward(place, &params, &mut gradient.conv_weight, gradient.conv_bias.as_deref_mut());
    }

    /// From the gradient of y to those of u, Δ, B, C and z.
    fn scan_backward(
        &self,
        place: &mut BackwardPlace<'_, B>,
        retrace: &mut Retrace<'_, B::Scalar>,
        gradient: &mut MambaWeights<B::Scalar>,
    ) {
        let MambaConfig { d_state, dt_rank, .. } = self.config;
        let (rows, direction) = (retrace.stretch.rows, retrace.stretch.direction);
        let Scratch { projected, conv, selected, delta, .. } = &*place.scratch;
        let Adjoints { d_y, d_z, d_conv, d_delta, d_b, d_c, .. } = &mut *place.adjoints;

        let inputs = selective_scan::Inputs {
            u: conv.rows(rows),
            delta: delta.rows(rows),
            b: selected.columns(rows, dt_rank, d_state),
        };
        let readout = selective_scan::Readout {
            c: selected.columns(rows, dt_rank + d_state, d_state),
            z: Some(projected.z.rows(rows)),
            d_y: d_y.rows(rows),
        };
        let d_inputs = selective_scan::GradInputs {
            d_u: GradRows::set(d_conv.rows_mut(rows)),
            d_delta: GradRows::set(d_delta.rows_mut(rows)),
            d_b: GradRows::set(d_b.rows_mut(rows)),
            d_c: Some(GradRows::set(d_c.rows_mut(rows))),
            d_z: Some(GradRows { rows: d_z.rows_mut(rows), write: retrace.write }),
        };
        let d_delta_bias = gradient.dt_proj.bias.as_deref_mut().expect("a step-size projection has a bias");
        let mut d_params = selective_scan::GradParams { d_a: &mut gradient.a_log, d_d: &mut gradient.d, d_delta_bias };
        place.backend.selective_scan_backward(
            &self.scan_params(),
            direction,
            &inputs,
            &retrace.entering.ssm,
            Some(&readout),
            &mut retrace.d_state.ssm,
            d_inputs,
            &mut d_params,
        );
    }

    /// From the gradient of y to that of the state that the scan enters with, and nothing else.
    pub(in crate::mixer) fn retreat(
        &self,
        place: &mut BackwardPlace<'_, B>,
        stretch: Stretch,
        entering: &MixerState<B::Scalar>,
        d_ssm: &mut [B::Scalar],
    ) {
        let MambaConfig { d_state, dt_rank, .. } = self.config;
        let Stretch { direction, rows, .. } = stretch;
        self.select(&mut place.forward(), stretch, &mut entering.conv.clone(), true);
        let Scratch { projected, selected, delta, .. } = &*place.scratch;
        let readout = selective_scan::Readout {
            c: selected.columns(rows, dt_rank + d_state, d_state),
            z: Some(projected.z.rows(rows)),
            d_y: place.adjoints.d_y.rows(rows),
        };
        place.backend.selective_scan_retreat(&self.scan_params(), direction, delta.rows(rows), &readout, d_ssm);
    }

    /// From the gradients of Δ, B and C to the share that they have in that of u.
    fn selection_backward(
        &self,
        transposed: &MambaTransposed<B>,
        place: &mut BackwardPlace<'_, B>,
        rows: usize,
        gradient: &mut MambaWeights<B::Scalar>,
    ) {
        let MambaConfig { d_state, dt_rank, .. } = self.config;
        let Scratch { conv, selected, .. } = &*place.scratch;
        let Adjoints { d_conv, d_selected, d_delta, d_b, d_c, .. } = &mut *place.adjoints;
        let backend = place.backend;

        let (d_delta, low_rank) = (d_delta.rows(rows), selected.columns(rows, 0, dt_rank));
        backend.weight_gradient(d_delta, low_rank, &mut gradient.dt_proj.weight, None);
        backend.linear(&transposed.dt_proj, d_delta, d_selected.columns_mut(rows, 0, dt_rank), Write::Set);
        copy_rows(d_b.rows(rows), d_selected.columns_mut(rows, dt_rank, d_state));
        copy_rows(d_c.rows(rows), d_selected.columns_mut(rows, dt_rank + d_state, d_state));

        let d_selected = d_selected.rows(rows);
        backend.weight_gradient(d_selected, conv.rows(rows), &mut gradient.x_proj, None);
        backend.linear(&transposed.x_proj, d_selected, d_conv.rows_mut(rows), Write::Add);
    }
}
