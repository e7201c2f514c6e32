//! The way back through the convolution of a direction.

use std::ops::Range;

use longstrand_kernels::causal_conv1d;
use longstrand_kernels::cuda::{CudaError, Real, ViewMut};

use super::{Projected, Retrace};
use crate::checkpoint::MixerWeights;
use crate::cuda::layout::{Plane, parts};
use crate::cuda::mixer::Convolution;
use crate::cuda::train::sums::Sums;
use crate::mixer::InputParts;

/// From the gradient of the convolution's output, `[C, columns]`, to that of what passes it.
pub(super) fn backward<T: Real>(
    convolution: &Convolution,
    input: &InputParts,
    d_out: &Plane<T>,
    projected: Projected<'_, T>,
    retrace: Retrace<'_>,
    sums: &mut Sums,
) -> Result<(), CudaError> {
    let (layout, write) = (retrace.walk.layout(), retrace.write());
    let Retrace { walk, entering, d_state, place: (layer, branch), .. } = retrace;
    for (sequences, direction) in walk.strands() {
        let (first, count) = (sequences.start, sequences.len());
        let x = projected.values.channels(layout, input.main.clone()).sequences(first, count);
        let d_x = projected.gradient.channels_mut(layout, input.main.clone()).sequences(first, count);
        let d_out = d_out.rows(layout).sequences(first, count);
        let (state, d_state) = (entering.conv_of(&sequences), d_state.conv_of_mut(&sequences));
        let (sums, of) = sums.of_branch(layer, branch);
        let (params, d_params) = (convolution.params(), gradients(sums, of));
        causal_conv1d::cuda::backward(&params, direction, x, state, d_out, d_state, d_x, write, d_params)?;
    }
    Ok(())
}

fn gradients<'a>(sums: ViewMut<'a, f32>, of: &MixerWeights<Range<usize>>) -> causal_conv1d::cuda::GradParams<'a> {
    match of.convolution() {
        (weight, Some(bias)) => {
            let [d_weight, d_bias] = parts(sums, [&weight[0], &bias[0]]);
            causal_conv1d::cuda::GradParams { d_weight, d_bias: Some(d_bias) }
        }
        (weight, None) => causal_conv1d::cuda::GradParams { d_weight: sums.slice(weight[0].clone()), d_bias: None },
    }
}
