//! One direction of a Mamba-2 mixer, between the projections.

use std::ops::Range;

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real, TimeRows};
use longstrand_kernels::{Write, gated_norm, ssd};

use super::{BranchState, Convolution};
use crate::checkpoint::Mamba2Weights;
use crate::config::{Mamba2Config, MixerConfig};
use crate::cuda::layout::{Layout, Plane, Walk};
use crate::mixer::{InputParts, transpose};

/// Convolution, state-space duality, and the gated norm.
#[derive(Debug)]
pub(in crate::cuda) struct Mamba2Core {
    pub(in crate::cuda) config: Mamba2Config,
    pub(in crate::cuda) parts: InputParts,
    pub(in crate::cuda) convolution: Convolution,
    /// `[H]`
    a: Buffer<f32>,
    d: Buffer<f32>,
    dt_bias: Buffer<f32>,
    /// `[I]`
    norm: Buffer<f32>,
}

impl Mamba2Core {
    pub(super) fn new(device: &Device, config: Mamba2Config, weights: &Mamba2Weights) -> Result<Self, CudaError> {
        let Mamba2Weights { conv_weight, conv_bias, .. } = weights;
        Ok(Self {
            config,
            parts: InputParts::of(&MixerConfig::Mamba2(config)),
            convolution: Convolution::new(device, config.d_conv, conv_weight, conv_bias.as_ref())?,
            a: device.upload(&transpose::<f32>(&weights.a_log, 1, |a_log| -a_log.exp()))?,
            d: device.upload(&weights.d)?,
            dt_bias: device.upload(&weights.dt_bias)?,
            norm: device.upload(&weights.norm)?,
        })
    }

    pub(super) fn run<T: Real>(
        &self,
        walk: Walk<'_>,
        projected: &Plane<T>,
        conv: &mut Plane<T>,
        state: &mut BranchState,
        y: &mut Plane<T>,
    ) -> Result<(), CudaError> {
        self.scan(walk, projected, conv, state, y)?;
        let (layout, z) = (walk.layout(), self.gate(walk.layout(), projected));
        gated_norm::cuda::forward(&self.norm_params(), None, z, y.rows_mut(layout))
    }

    /// Convolution and scan: y is what the norm reads.
    pub(in crate::cuda) fn scan<T: Real>(
        &self,
        walk: Walk<'_>,
        projected: &Plane<T>,
        conv: &mut Plane<T>,
        state: &mut BranchState,
        y: &mut Plane<T>,
    ) -> Result<(), CudaError> {
        self.convolution.run(walk, &self.parts, projected, conv, state)?;
        for (sequences, direction) in walk.strands() {
            let inputs = self.inputs(walk.layout(), projected, conv, &sequences);
            let y = y.rows_mut(walk.layout()).sequences(sequences.start, sequences.len());
            let output = ssd::cuda::Output { y, write: Write::Set };
            ssd::cuda::forward(&self.params(), direction, &inputs, state.scan_of_mut(&sequences), Some(output))?;
        }
        Ok(())
    }

    /// What the scan reads of some sequences.
    pub(in crate::cuda) fn inputs<'a, T: Real>(
        &self,
        layout: Layout,
        projected: &'a Plane<T>,
        conv: &'a Plane<T>,
        sequences: &Range<usize>,
    ) -> ssd::cuda::Inputs<'a, T> {
        let of = |rows: TimeRows<'a, T>| rows.sequences(sequences.start, sequences.len());
        let [x, b, c] = self.conv_parts().map(|channels| of(conv.channels(layout, channels)));
        ssd::cuda::Inputs { x, dt: of(projected.channels(layout, self.steps())), b, c }
    }

    /// Channels of x, B and C behind the convolution.
    pub(in crate::cuda) fn conv_parts(&self) -> [Range<usize>; 3] {
        let (inner, shared) = (self.config.d_inner, self.config.n_groups * self.config.d_state);
        [0..inner, inner..inner + shared, inner + shared..inner + 2 * shared]
    }

    /// Channels of the step sizes in what the input projection gives.
    pub(in crate::cuda) fn steps(&self) -> Range<usize> {
        self.parts.dt.clone().expect("Mamba-2 has step sizes")
    }

    /// z, in what the input projection gives.
    pub(in crate::cuda) fn gate<'a, T: Real>(&self, layout: Layout, projected: &'a Plane<T>) -> TimeRows<'a, T> {
        projected.channels(layout, self.parts.z.clone())
    }

    pub(in crate::cuda) fn params(&self) -> ssd::cuda::Params<'_> {
        let config = &self.config;
        ssd::cuda::Params {
            heads: config.n_heads,
            head_dim: config.head_dim,
            states: config.d_state,
            groups: config.n_groups,
            a: self.a.view(),
            d: self.d.view(),
            dt_bias: self.dt_bias.view(),
            dt_limit: config.dt_limit,
        }
    }

    pub(in crate::cuda) fn norm_params(&self) -> gated_norm::cuda::Params<'_> {
        let config = &self.config;
        gated_norm::cuda::Params { weight: self.norm.view(), epsilon: config.norm_epsilon, group: config.norm_group }
    }
}
