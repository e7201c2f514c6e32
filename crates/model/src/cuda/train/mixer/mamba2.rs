//! The way back through one direction of a Mamba-2 mixer.

use longstrand_kernels::cuda::{CudaError, Real};
use longstrand_kernels::{Write, gated_norm, ssd};

use super::{Projected, Retrace, convolution};
use crate::checkpoint::{Mamba2Weights, MixerWeights};
use crate::cuda::layout::{Plane, parts};
use crate::cuda::mixer::Mamba2Core;
use crate::cuda::train::sums::Sums;
use crate::cuda::train::trail::Mamba2Trace;
use crate::cuda::train::workspace::Mamba2Adjoints;

impl<T: Real> Mamba2Adjoints<T> {
    /// From the gradient of y to those of what the input projection gave.
    pub(super) fn run(
        &mut self,
        core: &Mamba2Core,
        (trace, d_y): (&Mamba2Trace<T>, &Plane<T>),
        mut projected: Projected<'_, T>,
        mut retrace: Retrace<'_>,
        sums: &mut Sums,
    ) -> Result<(), CudaError> {
        self.norm(core, (trace, d_y), &mut projected, &retrace, sums)?;
        self.scan(core, trace, &mut projected, &mut retrace, sums)?;
        convolution::backward(&core.convolution, &core.parts, &self.d_conv, projected, retrace, sums)
    }

    /// From the gradient of y to those of the scan's output and of z.
    fn norm(
        &mut self,
        core: &Mamba2Core,
        (trace, d_y): (&Mamba2Trace<T>, &Plane<T>),
        projected: &mut Projected<'_, T>,
        retrace: &Retrace<'_>,
        sums: &mut Sums,
    ) -> Result<(), CudaError> {
        let (layout, z) = (retrace.walk.layout(), core.parts.z.clone());
        let (scanned, gate, d_y) = (trace.scanned.rows(layout), core.gate(layout, projected.values), d_y.rows(layout));
        let (sums, of) = sums.of_branch(retrace.place.0, retrace.place.1);
        let d_weight = sums.slice(of_mamba2(of).norm[0].clone());
        // The norm either sets both of its gradients or adds to both, and that of z alone is the sum of the branches'.
        let d_z = match retrace.write() {
            Write::Set => projected.gradient.channels_mut(layout, z.clone()),
            Write::Add => self.d_z.rows_mut(layout),
        };
        let d_inputs = gated_norm::cuda::GradInputs { d_x: self.d_scanned.rows_mut(layout), d_z };
        gated_norm::cuda::backward(&core.norm_params(), scanned, gate, d_y, d_inputs, Write::Set, d_weight)?;
        match retrace.write() {
            Write::Set => Ok(()),
            Write::Add => projected.gradient.add(layout, z, &self.d_z),
        }
    }

    /// From the gradient of the scan's output to those of x, B and C, and of the step sizes.
    fn scan(
        &mut self,
        core: &Mamba2Core,
        trace: &Mamba2Trace<T>,
        projected: &mut Projected<'_, T>,
        retrace: &mut Retrace<'_>,
        sums: &mut Sums,
    ) -> Result<(), CudaError> {
        let (layout, write, (layer, branch)) = (retrace.walk.layout(), retrace.write(), retrace.place);
        for (sequences, direction) in retrace.walk.strands() {
            let (first, count) = (sequences.start, sequences.len());
            let inputs = core.inputs(layout, projected.values, &trace.conv, &sequences);
            let d_conv = self.d_conv.parts_mut(layout, core.conv_parts());
            let [d_x, d_b, d_c] = d_conv.map(|rows| (rows.sequences(first, count), Write::Set));
            let d_dt = projected.gradient.channels_mut(layout, core.steps()).sequences(first, count);
            let d_inputs = ssd::cuda::GradInputs { d_x, d_dt: (d_dt, write), d_b, d_c };
            let (sums, of) = sums.of_branch(layer, branch);
            let Mamba2Weights { dt_bias, a_log, d, .. } = of_mamba2(of);
            let [d_dt_bias, d_a, d_d] = parts(sums, [&dt_bias[0], &a_log[0], &d[0]]);
            let d_params = ssd::cuda::GradParams { d_a, d_d, d_dt_bias };
            let (state, d_state) = (retrace.entering.scan_of(&sequences), retrace.d_state.scan_of_mut(&sequences));
            let d_y = Some(self.d_scanned.rows(layout).sequences(first, count));
            ssd::cuda::backward(&core.params(), direction, &inputs, state, d_y, d_state, d_inputs, d_params)?;
        }
        Ok(())
    }
}

fn of_mamba2<S>(mixer: &MixerWeights<S>) -> &Mamba2Weights<S> {
    match mixer {
        MixerWeights::Mamba2(mamba2) => mamba2,
        MixerWeights::Mamba(_) => unreachable!("places follow the weights"),
    }
}
