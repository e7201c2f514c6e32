//! The gate on a GPU, over time-contiguous rows, `[B, D, L]`: a thread has eight positions of a channel.

use crate::cuda::{CudaError, Pieces, Program, Real, TimeRows, TimeRowsMut};

pub(crate) static PROGRAM: Program = Program::new(
    "silu_gate",
    include_str!("silu_gate.cu"),
    &["silu_gate_forward_f32", "silu_gate_forward_bf16", "silu_gate_backward_f32", "silu_gate_backward_bf16"],
);

/// See the [module](super). Without `x` what is in `out` is gated in place.
///
/// # Errors
///
/// The kernel cannot be started.
///
/// # Panics
///
/// Panics if the shapes differ.
pub fn forward<T: Real>(
    x: Option<TimeRows<'_, T>>,
    z: TimeRows<'_, T>,
    out: TimeRowsMut<'_, T>,
) -> Result<(), CudaError> {
    assert_eq!(out.shape(), z.shape(), "shapes of the output and the gate");
    if let Some(x) = &x {
        assert_eq!(x.shape(), z.shape(), "shapes of x and the gate");
    }
    let Pieces { segments, grid } = Pieces::new(z.shape());
    let name = format!("silu_gate_forward_{}", T::NAME);
    let launch = z.device().launch(&PROGRAM, &name, grid)?.optional_rows(x).rows(z).rows_mut(out);
    let launch = launch.value(z.len() as i64).value(z.channels() as u32).value(segments as u32);
    // SAFETY: the arguments are the kernel's, and it keeps to the shape that all rows have.
    unsafe { launch.run() }
}

/// See the [module](super). If it `gates`, x becomes what [`forward`] makes of it.
///
/// # Errors
///
/// The kernel cannot be started.
///
/// # Panics
///
/// Panics if the shapes differ.
pub fn backward<T: Real>(
    x: TimeRowsMut<'_, T>,
    z: TimeRows<'_, T>,
    d_out: TimeRows<'_, T>,
    d_x: TimeRowsMut<'_, T>,
    d_z: TimeRowsMut<'_, T>,
    gates: bool,
) -> Result<(), CudaError> {
    for (what, shape) in [("x", x.shape()), ("d_out", d_out.shape()), ("d_x", d_x.shape()), ("d_z", d_z.shape())] {
        assert_eq!(shape, z.shape(), "shapes of {what} and the gate");
    }
    let Pieces { segments, grid } = Pieces::new(z.shape());
    let name = format!("silu_gate_backward_{}", T::NAME);
    let launch = z.device().launch(&PROGRAM, &name, grid)?;
    let launch = launch.rows_mut(x).rows(z).rows(d_out).rows_mut(d_x).rows_mut(d_z);
    let launch = launch.value(z.len() as i64).value(z.channels() as u32).value(segments as u32).value(i32::from(gates));
    // SAFETY: as in `forward`.
    unsafe { launch.run() }
}
