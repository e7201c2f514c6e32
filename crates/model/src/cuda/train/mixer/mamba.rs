//! The way back through one direction of a Mamba mixer.

use longstrand_kernels::cuda::{CudaError, Real};
use longstrand_kernels::linear::cuda::Matrix;
use longstrand_kernels::{Write, selective_scan, silu_gate};

use super::{Projected, Retrace, convolution};
use crate::checkpoint::{MambaWeights, MixerWeights};
use crate::config::{MambaConfig, MixerConfig};
use crate::cuda::arithmetics::Arithmetics;
use crate::cuda::layout::{Layout, Plane, parts};
use crate::cuda::mixer::{MambaCore, MambaInner};
use crate::cuda::train::sums::{Sums, add_gradient};
use crate::cuda::train::trail::{MambaTrace, Trail};
use crate::cuda::train::workspace::MambaAdjoints;
use crate::mixer::InputParts;

impl<T: Real> MambaAdjoints<T> {
    /// The gate's way back; y becomes what the output projection read.
    pub(super) fn gate(
        &mut self,
        mixer: &MixerConfig,
        layout: Layout,
        trail: &mut Trail<T>,
        d_y: &Plane<T>,
        d_projected: &mut Plane<T>,
    ) -> Result<(), CudaError> {
        let (Trail { projected, y, .. }, parts) = (trail, InputParts::of(mixer));
        let z = projected.channels(layout, parts.z.clone());
        let d_z = d_projected.channels_mut(layout, parts.z);
        silu_gate::cuda::backward(y.rows_mut(layout), z, d_y.rows(layout), self.d_q.rows_mut(layout), d_z, true)
    }

    /// From the gradient of y before the gate to that of x.
    pub(super) fn run(
        &mut self,
        (core, how): (&MambaCore<T>, Arithmetics),
        trace: &MambaTrace<T>,
        projected: Projected<'_, T>,
        mut retrace: Retrace<'_>,
        sums: &mut Sums,
    ) -> Result<(), CudaError> {
        self.scan(core, trace, &mut retrace, sums)?;
        self.selection((core, how), trace, &retrace, sums)?;
        convolution::backward(&core.convolution, &core.parts, &self.d_inner.u, projected, retrace, sums)
    }

    fn scan(
        &mut self,
        core: &MambaCore<T>,
        trace: &MambaTrace<T>,
        retrace: &mut Retrace<'_>,
        sums: &mut Sums,
    ) -> Result<(), CudaError> {
        let MambaConfig { d_state: states, dt_rank, .. } = core.config;
        let Self { d_q, d_inner: MambaInner { u: d_u, selected: d_selected, delta: d_delta } } = self;
        let MambaTrace { inner: MambaInner { u, selected, delta }, borders } = trace;
        let (layout, (layer, branch)) = (retrace.walk.layout(), retrace.place);
        let (b, c) = (dt_rank..dt_rank + states, dt_rank + states..dt_rank + 2 * states);
        for ((sequences, direction), borders) in retrace.walk.strands().zip(borders) {
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
            let [d_b, d_c] = d_selected.parts_mut(layout, [b.clone(), c.clone()]);
            let d_inputs = selective_scan::cuda::GradInputs {
                d_u: (d_u.rows_mut(layout).sequences(first, count), Write::Set),
                d_delta: (d_delta.rows_mut(layout).sequences(first, count), Write::Set),
                d_b: (d_b.sequences(first, count), Write::Set),
                d_c: (d_c.sequences(first, count), Write::Set),
            };
            let (sums, of) = sums.of_branch(layer, branch);
            let MambaWeights { dt_proj, a_log, d, .. } = of_mamba(of);
            // Without a bias of its own, the gradient of the step-size bias goes nowhere.
            let bias = dt_proj.bias.as_ref().expect("a step-size projection has a bias");
            let [d_delta_bias, d_a, d_d] = parts(sums, [&bias[0], &a_log[0], &d[0]]);
            let d_params = selective_scan::cuda::GradParams { d_a, d_d, d_delta_bias };
            let (params, borders) = (core.scan_params(), borders.view());
            let state = retrace.d_state.scan_of_mut(&sequences);
            selective_scan::cuda::backward(&params, direction, &inputs, borders, &readout, state, d_inputs, d_params)?;
        }
        Ok(())
    }

    /// From the gradients of Δ, B and C to the share that they have in that of u.
    fn selection(
        &mut self,
        (core, how): (&MambaCore<T>, Arithmetics),
        trace: &MambaTrace<T>,
        retrace: &Retrace<'_>,
        sums: &mut Sums,
    ) -> Result<(), CudaError> {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = core.config;
        let (layout, wide) = (retrace.walk.layout(), dt_rank + 2 * d_state);
        let (_, of) = sums.of_branch(retrace.place.0, retrace.place.1);
        let MambaWeights { dt_proj, x_proj, .. } = of_mamba(of);
        let (of_dt, of_x) = (dt_proj.weight[0].clone(), x_proj[0].clone());
        let MambaInner { u: d_u, selected: d_selected, delta: d_delta } = &mut self.d_inner;
        let MambaInner { u, selected, .. } = &trace.inner;

        let dt_proj = Matrix::new(core.dt_proj.view(), d_inner, dt_rank, dt_rank).transposed();
        let low_rank = d_selected.matrix_mut(layout, 0..dt_rank);
        how.columns(dt_proj, d_delta.whole(layout), low_rank, Write::Set)?;
        let x_proj = Matrix::new(core.x_proj.view(), wide, d_inner, d_inner).transposed();
        let share = d_u.matrix_mut(layout, 0..d_inner);
        how.columns(x_proj, d_selected.whole(layout), share, Write::Add)?;
        for columns in layout.positions() {
            let d_out = d_delta.matrix_of(layout, 0..d_inner, columns.clone());
            let x = selected.matrix_of(layout, 0..dt_rank, columns.clone()).transposed();
            add_gradient(how, d_out, x, sums, &of_dt)?;
            let d_out = d_selected.matrix_of(layout, 0..wide, columns.clone());
            let x = u.matrix_of(layout, 0..d_inner, columns).transposed();
            add_gradient(how, d_out, x, sums, &of_x)?;
        }
        Ok(())
    }
}

fn of_mamba<S>(mixer: &MixerWeights<S>) -> &MambaWeights<S> {
    match mixer {
        MixerWeights::Mamba(mamba) => mamba,
        MixerWeights::Mamba2(_) => unreachable!("places follow the weights"),
    }
}
