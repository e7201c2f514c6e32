//! The way back through a norm.

use std::ops::Range;

use longstrand_kernels::cuda::{CudaError, Real, View, ViewMut};
use longstrand_kernels::{Write, norm};

use super::pass::Trainer;
use super::sums::Sums;
use crate::checkpoint::NormWeights;
use crate::cuda::layout::{Layout, parts};
use crate::cuda::weights::Norm;

/// Where a norm's gradients lie.
pub(super) struct NormPlace {
    weight: Range<usize>,
    bias: Option<Range<usize>>,
}

impl NormPlace {
    pub(super) fn of(NormWeights { weight, bias }: &NormWeights<Range<usize>>) -> Self {
        Self { weight: weight[0].clone(), bias: bias.as_ref().map(|bias| bias[0].clone()) }
    }
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

impl<T: Real> Trainer<T> {
    /// Sets the gradient of a chunk of a strand's last stream, given that of the final norm's output, all
    /// `[used columns, D]`.
    pub(super) fn final_norm_backward<O: Real>(
        &mut self,
        layout: Layout,
        stream: View<'_, f32>,
        d_hidden: View<'_, O>,
        d_stream: ViewMut<'_, f32>,
    ) -> Result<(), CudaError> {
        let (norm, width) = (&self.executor.weights.norm_f, self.executor.config.d_model);
        let place = NormPlace::of(&self.sums.places.weights.norm_f);
        NormBackward { norm, width, place }.run(layout, stream, d_hidden, d_stream, Write::Set, &mut self.sums)
    }
}
