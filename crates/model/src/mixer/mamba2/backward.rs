//! The way back through one direction of a Mamba-2 mixer.

use longstrand_kernels::{Backend, GradRows, Write, gated_norm, ssd};

use super::Mamba2Core;
use crate::checkpoint::Mamba2Weights;
use crate::mixer::backward::{Retrace, copy_rows};
use crate::mixer::{MixerState, Stretch};
use crate::scratch::Scratch;
use crate::train::{Adjoints, BackwardPlace};

impl<B: Backend> Mamba2Core<B> {
    pub(in crate::mixer) fn backward(
        &self,
        place: &mut BackwardPlace<'_, B>,
        mut retrace: Retrace<'_, B::Scalar>,
        gradient: &mut Mamba2Weights<B::Scalar>,
    ) {
        self.run_again(place, retrace.stretch, retrace.entering, retrace.write);
        self.norm_backward(place, retrace.stretch.rows, retrace.write, &mut gradient.norm);
        self.scan_backward(place, &mut retrace, gradient);
        let (d_weight, d_bias) = (&mut gradient.conv_weight, gradient.conv_bias.as_deref_mut());
        retrace.convolution_backward(place, &self.conv_params(), d_weight, d_bias);
    }

    /// From the gradient of y to that of the state that the scan enters with, and nothing else.
    pub(in crate::mixer) fn retreat(
        &self,
        place: &mut BackwardPlace<'_, B>,
        stretch: Stretch,
        entering: &MixerState<B::Scalar>,
        d_ssm: &mut [B::Scalar],
    ) {
        let Stretch { direction, start, rows } = stretch;
        self.run_again(place, stretch, entering, Write::Set);
        self.norm_backward(place, rows, Write::Set, &mut vec![B::Scalar::default(); self.norm.len()]);
        let d_y = place.adjoints.d_scanned.rows(rows);
        place.backend.ssd_retreat(&self.params(), direction, start, &self.inputs(place.scratch, rows), d_y, d_ssm);
    }

    /// What [`Mamba2Core::run`] does, and the scan's output kept as it was before the norm.
    fn run_again(
        &self,
        place: &mut BackwardPlace<'_, B>,
        stretch: Stretch,
        entering: &MixerState<B::Scalar>,
        write: Write,
    ) {
        let Stretch { direction, start, rows } = stretch;
        let mut state = entering.clone();
        self.convolve(&mut place.forward(), stretch, &mut state);
        let BackwardPlace { backend, scratch, adjoints } = place;
        let output = ssd::Output { y: adjoints.scanned.rows_mut(rows), write: Write::Set };
        backend.ssd(&self.params(), direction, start, &self.inputs(scratch, rows), &mut state.ssm, Some(output));

        let Scratch { projected, y, y_direction, .. } = &mut **scratch;
        let target = if write == Write::Set { &mut *y } else { &mut *y_direction };
        target.get(rows).copy_from_slice(adjoints.scanned.filled(rows));
        backend.gated_norm(&self.norm_params(), target.get(rows), projected.z.rows(rows));
        if write == Write::Add {
            backend.add(y.get(rows), y_direction.filled(rows));
        }
    }

    /// From the gradient of y to those of the scan's output and of z.
    fn norm_backward(&self, place: &mut BackwardPlace<'_, B>, rows: usize, write: Write, d_weight: &mut [B::Scalar]) {
        let BackwardPlace { backend, scratch, adjoints } = place;
        let Adjoints { d_y, d_z, d_z_direction, scanned, d_scanned, .. } = &mut **adjoints;
        let target = if write == Write::Set { &mut *d_z } else { &mut *d_z_direction };
        let d_inputs = gated_norm::GradInputs { d_x: d_scanned.get(rows), d_z: target.rows_mut(rows) };
        backend.gated_norm_backward(
            &self.norm_params(),
            scanned.filled(rows),
            scratch.projected.z.rows(rows),
            d_y.filled(rows),
            d_inputs,
            d_weight,
        );
        if write == Write::Add {
            backend.add(d_z.get(rows), d_z_direction.filled(rows));
        }
    }

    /// From the gradient of the scan's output to those of x, B and C, side by side, and of the step sizes.
    fn scan_backward(
        &self,
        place: &mut BackwardPlace<'_, B>,
        retrace: &mut Retrace<'_, B::Scalar>,
        gradient: &mut Mamba2Weights<B::Scalar>,
    ) {
        let Stretch { direction, start, rows } = retrace.stretch;
        let (inner, shared) = (self.config.d_inner, self.config.n_groups * self.config.d_state);
        let Adjoints { d_conv, d_dt, d_scanned, d_b, d_c, .. } = &mut *place.adjoints;
        let d_inputs = ssd::GradInputs {
            d_x: GradRows::set(d_conv.columns_mut(rows, 0, inner)),
            d_dt: GradRows { rows: d_dt.rows_mut(rows), write: retrace.write },
            d_b: GradRows::set(d_b.rows_mut(rows)),
            d_c: GradRows::set(d_c.rows_mut(rows)),
        };
        let mut d_params =
            ssd::GradParams { d_a: &mut gradient.a_log, d_d: &mut gradient.d, d_dt_bias: &mut gradient.dt_bias };
        place.backend.ssd_backward(
            &self.params(),
            direction,
            start,
            &self.inputs(place.scratch, rows),
            &retrace.entering.ssm,
            Some(d_scanned.rows(rows)),
            &mut retrace.d_state.ssm,
            d_inputs,
            &mut d_params,
        );
        copy_rows(d_b.rows(rows), d_conv.columns_mut(rows, inner, shared));
        copy_rows(d_c.rows(rows), d_conv.columns_mut(rows, inner + shared, shared));
    }
}
