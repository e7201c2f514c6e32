//! One direction of a Mamba mixer, between the projections.

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real};
use longstrand_kernels::linear::cuda::Matrix;
use longstrand_kernels::{Write, selective_scan};

use super::{BranchState, Convolution, Target, matrix};
use crate::checkpoint::MambaWeights;
use crate::config::{MambaConfig, MixerConfig};
use crate::cuda::arithmetics::Arithmetics;
use crate::cuda::layout::{Layout, Plane, Walk};
use crate::mixer::{InputParts, transpose};

/// Convolution, selection, and selective scan.
#[derive(Debug)]
pub(in crate::cuda) struct MambaCore<T: Real> {
    pub(in crate::cuda) config: MambaConfig,
    pub(in crate::cuda) parts: InputParts,
    pub(in crate::cuda) convolution: Convolution,
    /// `[R + 2 N, I]`, rows Δ, B, C.
    pub(in crate::cuda) x_proj: Buffer<T>,
    /// `[I, R]`
    pub(in crate::cuda) dt_proj: Buffer<T>,
    /// `[N, I]`
    a: Buffer<f32>,
    d: Buffer<f32>,
    delta_bias: Buffer<f32>,
}

/// What passes between the convolution and the scan.
#[derive(Debug)]
pub(in crate::cuda) struct MambaInner<T: Real> {
    /// Output of the convolution, `[I, columns]`.
    pub(in crate::cuda) u: Plane<T>,
    /// Δ, B and C, `[R + 2 N, columns]`.
    pub(in crate::cuda) selected: Plane<T>,
    /// `[I, columns]`
    pub(in crate::cuda) delta: Plane<T>,
}

/// How the scan is read.
pub(in crate::cuda) struct Readout<'a, T: Real> {
    pub(in crate::cuda) target: Target<'a, T>,
    /// What the input projection gave, where the scan is to apply the gate.
    pub(in crate::cuda) gate: Option<&'a Plane<T>>,
    /// Where states at the borders of tiles are left, of each strand.
    pub(in crate::cuda) borders: Option<&'a mut Vec<Buffer<f32>>>,
}

impl<T: Real> MambaInner<T> {
    pub(in crate::cuda) fn new(device: &Device, config: MambaConfig, columns: usize) -> Result<Self, CudaError> {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = config;
        let plane = |channels| Plane::new(device, channels, columns);
        Ok(Self { u: plane(d_inner)?, selected: plane(dt_rank + 2 * d_state)?, delta: plane(d_inner)? })
    }

    /// Values that a column has.
    pub(in crate::cuda) fn values_per_column(config: MambaConfig) -> usize {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = config;
        2 * d_inner + dt_rank + 2 * d_state
    }
}

impl<T: Real> MambaCore<T> {
    pub(super) fn new(device: &Device, config: MambaConfig, weights: &MambaWeights) -> Result<Self, CudaError> {
        let zeros = vec![0.0; config.d_inner];
        let MambaWeights { conv_weight, conv_bias, .. } = weights;
        Ok(Self {
            config,
            parts: InputParts::of(&MixerConfig::Mamba(config)),
            convolution: Convolution::new(device, config.d_conv, conv_weight, conv_bias.as_ref())?,
            x_proj: matrix(device, &weights.x_proj)?,
            dt_proj: matrix(device, &weights.dt_proj.weight)?,
            a: device.upload(&transpose::<f32>(&weights.a_log, config.d_state, |a_log| -a_log.exp()))?,
            d: device.upload(&weights.d)?,
            delta_bias: device.upload(weights.dt_proj.bias.as_ref().unwrap_or(&zeros))?,
        })
    }

    pub(super) fn run(
        &self,
        how: Arithmetics,
        walk: Walk<'_>,
        projected: &Plane<T>,
        inner: &mut MambaInner<T>,
        state: &mut BranchState,
        target: Target<'_, T>,
    ) -> Result<(), CudaError> {
        self.prepare(how, walk, projected, inner, state)?;
        self.scan(walk, inner, state, Readout { target, gate: Some(projected), borders: None })
    }

    /// x to what the scan reads.
    pub(in crate::cuda) fn prepare(
        &self,
        how: Arithmetics,
        walk: Walk<'_>,
        projected: &Plane<T>,
        inner: &mut MambaInner<T>,
        state: &mut BranchState,
    ) -> Result<(), CudaError> {
        self.convolution.run(walk, &self.parts, projected, &mut inner.u, state)?;
        self.select(how, walk.layout(), inner)
    }

    /// u to Δ, B and C.
    fn select(&self, how: Arithmetics, layout: Layout, inner: &mut MambaInner<T>) -> Result<(), CudaError> {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = self.config;
        let MambaInner { u, selected, delta } = inner;
        let wide = dt_rank + 2 * d_state;
        let x_proj = Matrix::new(self.x_proj.view(), wide, d_inner, d_inner);
        how.columns(x_proj, u.whole(layout), selected.matrix_mut(layout, 0..wide), Write::Set)?;
        let dt_proj = Matrix::new(self.dt_proj.view(), d_inner, dt_rank, dt_rank);
        let low_rank = selected.matrix(layout, 0..dt_rank);
        how.columns(dt_proj, low_rank, delta.matrix_mut(layout, 0..d_inner), Write::Set)
    }

    pub(in crate::cuda) fn scan(
        &self,
        walk: Walk<'_>,
        inner: &MambaInner<T>,
        state: &mut BranchState,
        readout: Readout<'_, T>,
    ) -> Result<(), CudaError> {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = self.config;
        let (layout, MambaInner { u, selected, delta }) = (walk.layout(), inner);
        let Readout { target: Target { y, write }, gate, mut borders } = readout;
        for (sequences, direction) in walk.strands() {
            let (first, count) = (sequences.start, sequences.len());
            let inputs = selective_scan::cuda::Inputs {
                u: u.rows(layout).sequences(first, count),
                delta: delta.rows(layout).sequences(first, count),
                b: selected.channels(layout, dt_rank..dt_rank + d_state).sequences(first, count),
            };
            let output = selective_scan::cuda::Output {
                c: selected.channels(layout, dt_rank + d_state..dt_rank + 2 * d_state).sequences(first, count),
                z: gate.map(|gate| gate.channels(layout, self.parts.z.clone()).sequences(first, count)),
                y: y.rows_mut(layout).sequences(first, count),
                write,
            };
            let len = selective_scan::cuda::borders_len(count, layout.len, d_state, d_inner);
            let mut border = borders.as_ref().map(|_| u.device().buffer::<f32>(len)).transpose()?;
            let (ssm, at) = (state.scan_of_mut(&sequences), border.as_mut().map(Buffer::view_mut));
            selective_scan::cuda::forward(&self.scan_params(), direction, &inputs, ssm, Some(output), at)?;
            if let Some(borders) = &mut borders {
                borders.extend(border);
            }
        }
        Ok(())
    }

    pub(in crate::cuda) fn scan_params(&self) -> selective_scan::cuda::Params<'_> {
        selective_scan::cuda::Params { a: self.a.view(), d: self.d.view(), delta_bias: self.delta_bias.view() }
    }
}
