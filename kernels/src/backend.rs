//! Where the operations run.
//!
//! A model is written once, generic over [`Backend`]. [`Cpu`] is the vectorised f32 implementation, [`Reference`] the
//! f64 one that everything is held to. Both take the same arguments; the contract of each operation, with equations
//! and shapes, is in the operation's own module.

use std::fmt::Debug;

use crate::{
    Direction, Rows, RowsMut, Write, causal_conv1d, embedding, gated_norm, linear, log_softmax, norm, pointwise,
    selective_scan, silu_gate, simd::Level, ssd,
};

/// An element of a buffer.
pub trait Scalar: Copy + Debug + Default + PartialEq + Send + Sync + 'static {
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

/// A device and a precision that can run every operation.
pub trait Backend: Clone + Debug + Send + Sync {
    /// What buffers hold.
    type Scalar: Scalar;
    /// A weight matrix made ready for [`linear`](Self::linear).
    type Matrix: Debug + Send + Sync;

    /// Makes a weight `[n_out, n_in]`, with a bias `[n_out]`, ready for use.
    fn matrix(&self, weight: &[f32], n_in: usize, bias: Option<&[f32]>) -> Self::Matrix;

    /// See [`embedding`].
    fn embedding(&self, table: &[Self::Scalar], ids: &[u8], out: &mut [Self::Scalar]);

    /// See [`norm`].
    fn norm(&self, params: &norm::Params<'_, Self::Scalar>, x: &[Self::Scalar], out: &mut [Self::Scalar]);

    /// See [`linear`].
    fn linear(&self, matrix: &Self::Matrix, x: Rows<'_, Self::Scalar>, out: RowsMut<'_, Self::Scalar>, write: Write);

    /// See [`causal_conv1d`].
    fn causal_conv1d(
        &self,
        params: &causal_conv1d::Params<'_, Self::Scalar>,
        direction: Direction,
        x: Rows<'_, Self::Scalar>,
        state: &mut [Self::Scalar],
        out: &mut [Self::Scalar],
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

    /// See [`gated_norm`].
    fn gated_norm(
        &self,
        params: &gated_norm::Params<'_, Self::Scalar>,
        x: &mut [Self::Scalar],
        z: Rows<'_, Self::Scalar>,
    );

    /// See [`silu_gate`].
    fn silu_gate(&self, x: &mut [Self::Scalar], z: Rows<'_, Self::Scalar>);

    /// Multiplies `x` by `y`, element by element.
    fn multiply(&self, x: &mut [Self::Scalar], y: &[Self::Scalar]);

    /// Adds `y` to `x`, element by element.
    fn add(&self, x: &mut [Self::Scalar], y: &[Self::Scalar]);

    /// See [`log_softmax`].
    fn log_softmax(&self, x: &mut [Self::Scalar], width: usize);
}

/// f32 on the processor, with the vector instructions of a [`Level`] and the threads of the current rayon pool.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    level: Level,
}

impl Cpu {
    /// Uses the vector instructions of `level`.
    pub fn new(level: Level) -> Self {
        Self { level }
    }

    /// The vector instructions in use.
    pub fn level(&self) -> Level {
        self.level
    }
}

/// f64 in plain loops: slow, and the truth that other backends are held to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

macro_rules! implement_backend {
    ($backend:ty, $scalar:ty, $module:ident, $matrix:ty $(, $level:ident)?) => {
        impl Backend for $backend {
            type Scalar = $scalar;
            type Matrix = $matrix;

            fn matrix(&self, weight: &[f32], n_in: usize, bias: Option<&[f32]>) -> Self::Matrix {
                <$matrix>::new(weight, n_in, bias)
            }

            fn embedding(&self, table: &[$scalar], ids: &[u8], out: &mut [$scalar]) {
                embedding::$module::forward(table, ids, out);
            }

            fn norm(&self, params: &norm::Params<'_, $scalar>, x: &[$scalar], out: &mut [$scalar]) {
                norm::$module::forward($(self.$level,)? params, x, out);
            }

            fn linear(
                &self,
                matrix: &Self::Matrix,
                x: Rows<'_, $scalar>,
                out: RowsMut<'_, $scalar>,
                write: Write,
            ) {
                linear::$module::forward($(self.$level,)? matrix, x, out, write);
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

            fn gated_norm(
                &self,
                params: &gated_norm::Params<'_, $scalar>,
                x: &mut [$scalar],
                z: Rows<'_, $scalar>,
            ) {
                gated_norm::$module::forward($(self.$level,)? params, x, z);
            }

            fn silu_gate(&self, x: &mut [$scalar], z: Rows<'_, $scalar>) {
                silu_gate::$module::forward($(self.$level,)? x, z);
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
        }
    };
}

implement_backend!(Cpu, f32, cpu, linear::cpu::PackedMatrix, level);
implement_backend!(Reference, f64, reference, linear::reference::PlainMatrix);
