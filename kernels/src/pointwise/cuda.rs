//! Sum, product and change of type on a GPU: a thread has eight elements.
//!
//! Elements are f32 or bf16, and each is one operation in f32, rounded to the nearest value of its type, ties to even.

use crate::cuda::{CudaError, Grid, Program, Real, View, ViewMut};

pub(crate) static PROGRAM: Program = Program::new(
    "pointwise",
    include_str!("pointwise.cu"),
    &[
        "pointwise_add_f32_f32",
        "pointwise_add_f32_bf16",
        "pointwise_add_bf16_f32",
        "pointwise_add_bf16_bf16",
        "pointwise_multiply_f32",
        "pointwise_multiply_bf16",
        "pointwise_convert_f32_f32",
        "pointwise_convert_f32_bf16",
        "pointwise_convert_bf16_f32",
        "pointwise_convert_bf16_bf16",
    ],
);

/// Threads of a block, and elements of a thread.
const THREADS: usize = 256;
const VECTOR: usize = 8;

/// Adds to every element of `sum` that of `x`.
///
/// # Errors
///
/// The kernel cannot be started.
///
/// # Panics
///
/// Panics if the buffers are not equally long.
pub fn add<T: Real, U: Real>(sum: ViewMut<'_, T>, x: View<'_, U>) -> Result<(), CudaError> {
    run(&format!("pointwise_add_{}_{}", T::NAME, U::NAME), x, sum)
}

/// Multiplies every element of `product` by that of `x`.
///
/// # Errors
///
/// The kernel cannot be started.
///
/// # Panics
///
/// Panics if the buffers are not equally long.
pub fn multiply<T: Real>(product: ViewMut<'_, T>, x: View<'_, T>) -> Result<(), CudaError> {
    run(&format!("pointwise_multiply_{}", T::NAME), x, product)
}

/// Sets every element of `to` to the nearest value of that of `from`, ties to even.
///
/// # Errors
///
/// The kernel cannot be started.
///
/// # Panics
///
/// Panics if the buffers are not equally long.
pub fn convert<T: Real, U: Real>(from: View<'_, T>, to: ViewMut<'_, U>) -> Result<(), CudaError> {
    run(&format!("pointwise_convert_{}_{}", T::NAME, U::NAME), from, to)
}

/// Starts a kernel that reads `x` and writes `out`.
fn run<T: Real, U: Real>(kernel: &str, x: View<'_, T>, out: ViewMut<'_, U>) -> Result<(), CudaError> {
    assert_eq!(x.len(), out.len(), "lengths of the operands");
    let (len, aligned) = (x.len(), x.is_aligned() && out.is_aligned());
    let grid = Grid::line(len.div_ceil(VECTOR * THREADS), THREADS as u32);
    let launch = out.device().launch(&PROGRAM, kernel, grid)?.input(x).output(out);
    let launch = launch.value(len as i64).value(i32::from(aligned));
    // SAFETY: the arguments are the kernel's, and it keeps to the `len` elements that both buffers have.
    unsafe { launch.run() }
}
