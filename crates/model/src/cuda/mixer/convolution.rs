//! The causal convolution of a direction.

use longstrand_kernels::causal_conv1d;
use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real};

use super::BranchState;
use crate::cuda::layout::{Plane, Walk};
use crate::mixer::{InputParts, transpose};

/// Taps and bias.
#[derive(Debug)]
pub(in crate::cuda) struct Convolution {
    /// `[K, C]`
    weight: Buffer<f32>,
    bias: Option<Buffer<f32>>,
}

impl Convolution {
    /// Of a weight `[C, K]`.
    pub(super) fn new(
        device: &Device,
        taps: usize,
        weight: &[f32],
        bias: Option<&Vec<f32>>,
    ) -> Result<Self, CudaError> {
        Ok(Self {
            weight: device.upload(&transpose::<f32>(weight, taps, |w| w))?,
            bias: bias.map(|bias| device.upload(bias)).transpose()?,
        })
    }

    pub(in crate::cuda) fn params(&self) -> causal_conv1d::cuda::Params<'_> {
        causal_conv1d::cuda::Params { weight: self.weight.view(), bias: self.bias.as_ref().map(Buffer::view) }
    }

    /// Walks over its part of what the input projection gave.
    pub(super) fn run<T: Real>(
        &self,
        walk: Walk<'_>,
        parts: &InputParts,
        projected: &Plane<T>,
        out: &mut Plane<T>,
        state: &mut BranchState,
    ) -> Result<(), CudaError> {
        let layout = walk.layout();
        for (sequences, direction) in walk.strands() {
            let (first, count) = (sequences.start, sequences.len());
            let x = projected.channels(layout, parts.main.clone()).sequences(first, count);
            let out = out.rows_mut(layout).sequences(first, count);
            causal_conv1d::cuda::forward(&self.params(), direction, x, state.conv_of_mut(&sequences), out)?;
        }
        Ok(())
    }
}
