//! Where the operations run.
//!
//! A model is written once, generic over [`Backend`]. [`Cpu`] is the vectorised f32 implementation, [`Reference`] the
//! f64 one that everything is held to, [`RoundedReference`] what rounds to bf16 is. All take the same arguments; the contract of each operation, with equations
//! and shapes, is in the operation's own module.

mod implement;

use std::{fmt::Debug, ops::AddAssign};

use crate::{
    Direction, GradRows, Rows, RowsMut, Write, bf16, causal_conv1d, cross_entropy, elapsed, gated_norm, norm,
    selective_scan, simd::Level, ssd,
};

/// An element of a buffer.
pub trait Scalar: AddAssign + Copy + Debug + Default + PartialEq + Send + Sync + 'static {
    /// The nearest value.
    fn from_f64(x: f64) -> Self;
    /// The same value, widened.
    fn to_f64(self) -> f64;
}

impl Scalar for f32 {
    fn from_f64(x: f64) -> Self {
        x as Self
    }

    fn to_f64(self) -> f64 {
        self.into()
    }
}

impl Scalar for f64 {
    fn from_f64(x: f64) -> Self {
        x
    }

    fn to_f64(self) -> f64 {
        self
    }
}

/// What is rounded of a computation whose buffers hold one kind of number.
///
/// [`Bf16`](Self::Bf16) is mixed precision, as automatic casting has it: of a matrix product, forward and backward, both
/// operands are rounded to [`bf16`], and it is summed in the buffers' own numbers; of a norm its input is, so
/// that a layer depends on no more of the residual stream than bf16 keeps. Rounding has the gradient of doing nothing.
/// Scans, convolutions, gates, norms themselves, losses and every sum are computed as without.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Precision {
    /// Nothing is rounded.
    #[default]
    Full,
    /// What products and norms read is rounded to bf16.
    Bf16,
}

impl Precision {
    /// What the reference reads in the place of `x`.
    pub(crate) fn operands(self, x: &[f64]) -> Vec<f64> {
        match self {
            Self::Full => x.to_vec(),
            Self::Bf16 => x.iter().map(|&x| bf16::round(x as f32).into()).collect(),
        }
    }
}

/// A device and a precision that can run every operation.
pub trait Backend: Clone + Debug + Send + Sync {
    /// What buffers hold.
    type Scalar: Scalar;
    /// A weight matrix made ready for [`linear`](Self::linear).
    type Matrix: Debug + Send + Sync;

    /// What is rounded.
    fn precision(&self) -> Precision;

    /// Makes a weight `[n_out, n_in]`, with a bias `[n_out]`, ready for use.
    fn matrix(&self, weight: &[f32], n_in: usize, bias: Option<&[f32]>) -> Self::Matrix;

    /// Makes the transpose of a weight `[n_out, n_in]` ready: [`linear`](Self::linear) with it takes the gradient of
    /// the product `[L, n_out]` to that of its input `[L, n_in]`.
    fn transposed_matrix(&self, weight: &[f32], n_in: usize) -> Self::Matrix;

    /// See [`embedding`](crate::embedding).
    fn embedding(&self, table: &[Self::Scalar], ids: &[u8], out: &mut [Self::Scalar]);

    /// See [`embedding`](crate::embedding).
    fn embedding_backward(&self, ids: &[u8], d_out: &[Self::Scalar], d_table: &mut [Self::Scalar]);

    /// See [`norm`].
    fn norm(&self, params: &norm::Params<'_, Self::Scalar>, x: &[Self::Scalar], out: &mut [Self::Scalar]);

    /// See [`norm`].
    fn norm_backward(
        &self,
        params: &norm::Params<'_, Self::Scalar>,
        x: &[Self::Scalar],
        d_out: &[Self::Scalar],
        d_x: &mut [Self::Scalar],
        write: Write,
        d_params: &mut norm::GradParams<'_, Self::Scalar>,
    );

    /// See [`linear`](crate::linear).
    fn linear(&self, matrix: &Self::Matrix, x: Rows<'_, Self::Scalar>, out: RowsMut<'_, Self::Scalar>, write: Write);

    /// See [`linear`](crate::linear).
    fn weight_gradient(
        &self,
        d_out: Rows<'_, Self::Scalar>,
        x: Rows<'_, Self::Scalar>,
        d_weight: &mut [Self::Scalar],
        d_bias: Option<&mut [Self::Scalar]>,
    );

    /// See [`causal_conv1d`].
    fn causal_conv1d(
        &self,
        params: &causal_conv1d::Params<'_, Self::Scalar>,
        direction: Direction,
        x: Rows<'_, Self::Scalar>,
        state: &mut [Self::Scalar],
        out: &mut [Self::Scalar],
    );

    /// See [`causal_conv1d`].
    #[allow(clippy::too_many_arguments, reason = "those of `causal_conv1d` and their gradients")]
    fn causal_conv1d_backward(
        &self,
        params: &causal_conv1d::Params<'_, Self::Scalar>,
        direction: Direction,
        x: Rows<'_, Self::Scalar>,
        state: &[Self::Scalar],
        d_out: &[Self::Scalar],
        d_state: &mut [Self::Scalar],
        d_x: GradRows<'_, Self::Scalar>,
        d_params: &mut causal_conv1d::GradParams<'_, Self::Scalar>,
    );

    /// See [`selective_scan`].
    fn selective_scan(
        &self,
        params: &selective_scan::Params<'_, Self::Scalar>,
        direction: Direction,
        inputs: &selective_scan::Inputs<'_, Self::Scalar>,
        state: &mut [Self::Scalar],
        output: Option<selective_scan::Output<'_, Self::Scalar>>,
    );

    /// See [`selective_scan`].
    #[allow(clippy::too_many_arguments, reason = "those of `selective_scan` and their gradients")]
    fn selective_scan_backward(
        &self,
        params: &selective_scan::Params<'_, Self::Scalar>,
        direction: Direction,
        inputs: &selective_scan::Inputs<'_, Self::Scalar>,
        state: &[Self::Scalar],
        readout: Option<&selective_scan::Readout<'_, Self::Scalar>>,
        d_state: &mut [Self::Scalar],
        d_inputs: selective_scan::GradInputs<'_, Self::Scalar>,
        d_params: &mut selective_scan::GradParams<'_, Self::Scalar>,
    );

    /// See [`selective_scan`].
    fn selective_scan_retreat(
        &self,
        params: &selective_scan::Params<'_, Self::Scalar>,
        direction: Direction,
        delta: Rows<'_, Self::Scalar>,
        readout: &selective_scan::Readout<'_, Self::Scalar>,
        d_state: &mut [Self::Scalar],
    );

    /// See [`elapsed`].
    fn elapsed(&self, steps: &elapsed::Steps<'_, Self::Scalar>, sums: &mut [f64]);

    /// See [`ssd`].
    fn ssd(
        &self,
        params: &ssd::Params<'_, Self::Scalar>,
        direction: Direction,
        start: u64,
        inputs: &ssd::Inputs<'_, Self::Scalar>,
        state: &mut [Self::Scalar],
        output: Option<ssd::Output<'_, Self::Scalar>>,
    );

    /// See [`ssd`](ssd#backward).
    #[allow(clippy::too_many_arguments, reason = "those of the operation itself, and a gradient for each")]
    fn ssd_backward(
        &self,
        params: &ssd::Params<'_, Self::Scalar>,
        direction: Direction,
        start: u64,
        inputs: &ssd::Inputs<'_, Self::Scalar>,
        state: &[Self::Scalar],
        d_y: Option<Rows<'_, Self::Scalar>>,
        d_state: &mut [Self::Scalar],
        d_inputs: ssd::GradInputs<'_, Self::Scalar>,
        d_params: &mut ssd::GradParams<'_, Self::Scalar>,
    );

    /// See [`ssd`](ssd#backward).
    fn ssd_retreat(
        &self,
        params: &ssd::Params<'_, Self::Scalar>,
        direction: Direction,
        start: u64,
        inputs: &ssd::Inputs<'_, Self::Scalar>,
        d_y: Rows<'_, Self::Scalar>,
        d_state: &mut [Self::Scalar],
    );

    /// See [`gated_norm`].
    fn gated_norm(
        &self,
        params: &gated_norm::Params<'_, Self::Scalar>,
        x: &mut [Self::Scalar],
        z: Rows<'_, Self::Scalar>,
    );

    /// See [`gated_norm`].
    fn gated_norm_backward(
        &self,
        params: &gated_norm::Params<'_, Self::Scalar>,
        x: &[Self::Scalar],
        z: Rows<'_, Self::Scalar>,
        d_out: &[Self::Scalar],
        d_inputs: gated_norm::GradInputs<'_, Self::Scalar>,
        d_weight: &mut [Self::Scalar],
    );

    /// See [`silu_gate`](crate::silu_gate).
    fn silu_gate(&self, x: &mut [Self::Scalar], z: Rows<'_, Self::Scalar>);

    /// See [`silu_gate`](crate::silu_gate).
    fn silu_gate_backward(
        &self,
        x: &[Self::Scalar],
        z: Rows<'_, Self::Scalar>,
        d_out: &[Self::Scalar],
        d_x: &mut [Self::Scalar],
        d_z: RowsMut<'_, Self::Scalar>,
    );

    /// Multiplies `x` by `y`, element by element.
    fn multiply(&self, x: &mut [Self::Scalar], y: &[Self::Scalar]);

    /// Adds `y` to `x`, element by element.
    fn add(&self, x: &mut [Self::Scalar], y: &[Self::Scalar]);

    /// See [`log_softmax`](crate::log_softmax).
    fn log_softmax(&self, x: &mut [Self::Scalar], width: usize);

    /// See [`cross_entropy`].
    fn cross_entropy(
        &self,
        logits: &[Self::Scalar],
        width: usize,
        targets: &cross_entropy::Targets<'_, Self::Scalar>,
        losses: Option<&mut [Self::Scalar]>,
    ) -> cross_entropy::Loss;

    /// See [`cross_entropy`].
    fn cross_entropy_backward(
        &self,
        logits: &[Self::Scalar],
        width: usize,
        targets: &cross_entropy::Targets<'_, Self::Scalar>,
        scale: f64,
        d_logits: &mut [Self::Scalar],
    );
}

/// f32 on the processor, with the vector instructions of a [`Level`] and the threads of the current rayon pool.
///
/// At one level and precision every result has the same bits whatever the threads. Those of [`Precision::Bf16`] differ
/// between levels by how sums are rounded, as those of f32 do; where the level has AVX-512 BF16, products are summed pair
/// by pair, and subnormal operands and sums of products are zero.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    level: Level,
    precision: Precision,
}

impl Cpu {
    /// Uses the vector instructions of `level`, and rounds nothing.
    pub fn new(level: Level) -> Self {
        Self::with_precision(level, Precision::Full)
    }

    /// Uses the vector instructions of `level`, as far as the precision has use for them.
    pub fn with_precision(level: Level, precision: Precision) -> Self {
        let level = if precision == Precision::Bf16 { level } else { level.without_bf16() };
        Self { level, precision }
    }

    /// The vector instructions in use.
    pub fn level(&self) -> Level {
        self.level
    }
}

/// f64 in plain loops: slow, and the truth that other backends are held to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

/// As [`Reference`], with what is rounded in [`Precision::Bf16`] rounded, and all else in f64.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundedReference;
