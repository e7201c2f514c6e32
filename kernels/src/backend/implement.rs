//! What is behind each method of [`Backend`]: the operation's own module for the device and precision.

use super::{Backend, Cpu, Precision, Reference, RoundedReference};
use crate::{
    Direction, GradRows, Rows, RowsMut, Write, causal_conv1d, cross_entropy, elapsed, embedding, gated_norm, linear,
    log_softmax, norm, pointwise, selective_scan, silu_gate, ssd,
};

macro_rules! implement_backend {
    ($backend:ty, $scalar:ty, $module:ident, $matrix:ty, $precision:expr $(, $level:ident)?) => {
        impl Backend for $backend {
            type Scalar = $scalar;
            type Matrix = $matrix;

            fn precision(&self) -> Precision {
                ($precision)(self)
            }

            fn matrix(&self, weight: &[f32], n_in: usize, bias: Option<&[f32]>) -> Self::Matrix {
                <$matrix>::new($(self.$level,)? self.precision(), weight, n_in, bias)
            }

            fn transposed_matrix(&self, weight: &[f32], n_in: usize) -> Self::Matrix {
                <$matrix>::transposed($(self.$level,)? self.precision(), weight, n_in)
            }

            fn embedding(&self, table: &[$scalar], ids: &[u8], out: &mut [$scalar]) {
                embedding::$module::forward(table, ids, out);
            }

            fn embedding_backward(&self, ids: &[u8], d_out: &[$scalar], d_table: &mut [$scalar]) {
                embedding::$module::backward(ids, d_out, d_table);
            }

            fn norm(&self, params: &norm::Params<'_, $scalar>, x: &[$scalar], out: &mut [$scalar]) {
                norm::$module::forward($(self.$level,)? self.precision(), params, x, out);
            }

            fn norm_backward(
                &self,
                params: &norm::Params<'_, $scalar>,
                x: &[$scalar],
                d_out: &[$scalar],
                d_x: &mut [$scalar],
                write: Write,
                d_params: &mut norm::GradParams<'_, $scalar>,
            ) {
                norm::$module::backward($(self.$level,)? self.precision(), params, x, d_out, d_x, write, d_params);
            }

            fn linear(
                &self,
                matrix: &Self::Matrix,
                x: Rows<'_, $scalar>,
                out: RowsMut<'_, $scalar>,
                write: Write,
            ) {
                linear::$module::forward($(self.$level,)? self.precision(), matrix, x, out, write);
            }

            fn weight_gradient(
                &self,
                d_out: Rows<'_, $scalar>,
                x: Rows<'_, $scalar>,
                d_weight: &mut [$scalar],
                d_bias: Option<&mut [$scalar]>,
            ) {
                linear::$module::weight_gradient($(self.$level,)? self.precision(), d_out, x, d_weight, d_bias);
            }

            fn causal_conv1d(
                &self,
                params: &causal_conv1d::Params<'_, $scalar>,
                direction: Direction,
                x: Rows<'_, $scalar>,
                state: &mut [$scalar],
                out: &mut [$scalar],
            ) {
                causal_conv1d::$module::forward($(self.$level,)? params, direction, x, state, out);
            }

            fn causal_conv1d_backward(
                &self,
                params: &causal_conv1d::Params<'_, $scalar>,
                direction: Direction,
                x: Rows<'_, $scalar>,
                state: &[$scalar],
                d_out: &[$scalar],
                d_state: &mut [$scalar],
                d_x: GradRows<'_, $scalar>,
                d_params: &mut causal_conv1d::GradParams<'_, $scalar>,
            ) {
                causal_conv1d::$module::backward(
                    $(self.$level,)? params, direction, x, state, d_out, d_state, d_x, d_params,
                );
            }

            fn selective_scan(
                &self,
                params: &selective_scan::Params<'_, $scalar>,
                direction: Direction,
                inputs: &selective_scan::Inputs<'_, $scalar>,
                state: &mut [$scalar],
                output: Option<selective_scan::Output<'_, $scalar>>,
            ) {
                selective_scan::$module::forward($(self.$level,)? params, direction, inputs, state, output);
            }

            fn selective_scan_backward(
                &self,
                params: &selective_scan::Params<'_, $scalar>,
                direction: Direction,
                inputs: &selective_scan::Inputs<'_, $scalar>,
                state: &[$scalar],
                readout: Option<&selective_scan::Readout<'_, $scalar>>,
                d_state: &mut [$scalar],
                d_inputs: selective_scan::GradInputs<'_, $scalar>,
                d_params: &mut selective_scan::GradParams<'_, $scalar>,
            ) {
                selective_scan::$module::backward(
                    $(self.$level,)? params, direction, inputs, state, readout, d_state, d_inputs, d_params,
                );
            }

            fn selective_scan_retreat(
                &self,
                params: &selective_scan::Params<'_, $scalar>,
                direction: Direction,
                delta: Rows<'_, $scalar>,
                readout: &selective_scan::Readout<'_, $scalar>,
                d_state: &mut [$scalar],
            ) {
                selective_scan::$module::retreat($(self.$level,)? params, direction, delta, readout, d_state);
            }

            fn elapsed(&self, steps: &elapsed::Steps<'_, $scalar>, sums: &mut [f64]) {
                elapsed::$module::add($(self.$level,)? steps, sums);
            }

            fn ssd(
                &self,
                params: &ssd::Params<'_, $scalar>,
                direction: Direction,
                start: u64,
                inputs: &ssd::Inputs<'_, $scalar>,
                state: &mut [$scalar],
                output: Option<ssd::Output<'_, $scalar>>,
            ) {
                ssd::$module::forward($(self.$level,)? params, direction, start, inputs, state, output);
            }

            #[allow(clippy::too_many_arguments, reason = "those of the operation itself, and a gradient for each")]
            fn ssd_backward(
                &self,
                params: &ssd::Params<'_, $scalar>,
                direction: Direction,
                start: u64,
                inputs: &ssd::Inputs<'_, $scalar>,
                state: &[$scalar],
                d_y: Option<Rows<'_, $scalar>>,
                d_state: &mut [$scalar],
                d_inputs: ssd::GradInputs<'_, $scalar>,
                d_params: &mut ssd::GradParams<'_, $scalar>,
            ) {
                ssd::$module::backward(
                    $(self.$level,)? params, direction, start, inputs, state, d_y, d_state, d_inputs, d_params,
                );
            }

            fn ssd_retreat(
                &self,
                params: &ssd::Params<'_, $scalar>,
                direction: Direction,
                start: u64,
                inputs: &ssd::Inputs<'_, $scalar>,
                d_y: Rows<'_, $scalar>,
                d_state: &mut [$scalar],
            ) {
                ssd::$module::retreat($(self.$level,)? params, direction, start, inputs, d_y, d_state);
            }

            fn gated_norm(
                &self,
                params: &gated_norm::Params<'_, $scalar>,
                x: &mut [$scalar],
                z: Rows<'_, $scalar>,
            ) {
                gated_norm::$module::forward($(self.$level,)? params, x, z);
            }

            fn gated_norm_backward(
                &self,
                params: &gated_norm::Params<'_, $scalar>,
                x: &[$scalar],
                z: Rows<'_, $scalar>,
                d_out: &[$scalar],
                d_inputs: gated_norm::GradInputs<'_, $scalar>,
                d_weight: &mut [$scalar],
            ) {
                gated_norm::$module::backward($(self.$level,)? params, x, z, d_out, d_inputs, d_weight);
            }

            fn silu_gate(&self, x: &mut [$scalar], z: Rows<'_, $scalar>) {
                silu_gate::$module::forward($(self.$level,)? x, z);
            }

            fn silu_gate_backward(
                &self,
                x: &[$scalar],
                z: Rows<'_, $scalar>,
                d_out: &[$scalar],
                d_x: &mut [$scalar],
                d_z: RowsMut<'_, $scalar>,
            ) {
                silu_gate::$module::backward($(self.$level,)? x, z, d_out, d_x, d_z);
            }

            fn multiply(&self, x: &mut [$scalar], y: &[$scalar]) {
                pointwise::multiply(x, y);
            }

            fn add(&self, x: &mut [$scalar], y: &[$scalar]) {
                pointwise::add(x, y);
            }

            fn log_softmax(&self, x: &mut [$scalar], width: usize) {
                log_softmax::$module::forward(x, width);
            }

            fn cross_entropy(
                &self,
                logits: &[$scalar],
                width: usize,
                targets: &cross_entropy::Targets<'_, $scalar>,
                losses: Option<&mut [$scalar]>,
            ) -> cross_entropy::Loss {
                cross_entropy::$module::forward(logits, width, targets, losses)
            }

            fn cross_entropy_backward(
                &self,
                logits: &[$scalar],
                width: usize,
                targets: &cross_entropy::Targets<'_, $scalar>,
                scale: f64,
                d_logits: &mut [$scalar],
            ) {
                cross_entropy::$module::backward(logits, width, targets, scale, d_logits);
            }
        }
    };
}

implement_backend!(Cpu, f32, cpu, linear::cpu::PackedMatrix, |cpu: &Cpu| cpu.precision, level);
implement_backend!(Reference, f64, reference, linear::reference::PlainMatrix, |_| Precision::Full);
implement_backend!(RoundedReference, f64, reference, linear::reference::PlainMatrix, |_| Precision::Bf16);
