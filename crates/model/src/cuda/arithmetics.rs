//! How layers compute.

use longstrand_kernels::Write;
use longstrand_kernels::cuda::{CudaError, Real};
use longstrand_kernels::linear::cuda::{self as linear, Matrix, MatrixMut, Positions, SinglePrecision};

use crate::config::MixerConfig;

/// The sizes of mixers, and the precision of products.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arithmetics {
    pub(super) mixer: MixerConfig,
    pub(super) single: SinglePrecision,
}

impl Arithmetics {
    /// A product over positions that are columns of the output.
    pub(super) fn columns<T: Real>(
        self,
        a: Matrix<'_, T>,
        b: Matrix<'_, T>,
        out: MatrixMut<'_, T>,
        write: Write,
    ) -> Result<(), CudaError> {
        linear::product(a, b, out, write, Positions::Columns, self.single)
    }

    /// A product over positions that are rows of the output.
    pub(super) fn rows<T: Real, O: Real>(
        self,
        a: Matrix<'_, T>,
        b: Matrix<'_, T>,
        out: MatrixMut<'_, O>,
        write: Write,
    ) -> Result<(), CudaError> {
        linear::product(a, b, out, write, Positions::Rows, self.single)
    }
}
