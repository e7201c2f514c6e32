//! The convolution on a GPU, over time-contiguous rows: a thread has eight positions of a channel and finds those before
//! them in its neighbour's cache line.
//!
//! `x`, `out` and their gradients are `[B, D, L]`, f32 or bf16. Taps `[K, D]`, bias `[D]`, their gradients, and the state
//! `[B, D, K-1]` are f32. All arithmetic is f32.

use super::MAX_KERNEL;
use crate::{
    Direction, Write,
    cuda::{Argument, CudaError, Grid, Pieces, Program, Real, TimeRows, TimeRowsMut, View, ViewMut, sums},
};

macro_rules! kernels {
    ($($name:literal)+) => {
        &[
            $(
                concat!("causal_conv1d_forward_", $name, "_4_forward"),
                concat!("causal_conv1d_forward_", $name, "_4_reverse"),
                concat!("causal_conv1d_forward_", $name, "_16_forward"),
                concat!("causal_conv1d_forward_", $name, "_16_reverse"),
                concat!("causal_conv1d_backward_", $name, "_4_forward"),
                concat!("causal_conv1d_backward_", $name, "_4_reverse"),
                concat!("causal_conv1d_backward_", $name, "_16_forward"),
                concat!("causal_conv1d_backward_", $name, "_16_reverse"),
                concat!("causal_conv1d_final_state_", $name),
                concat!("causal_conv1d_initial_gradient_", $name),
            )+
        ]
    };
}

pub(crate) static PROGRAM: Program =
    Program::new("causal_conv1d", include_str!("causal_conv1d.cu"), kernels!("f32" "bf16"));

/// Pieces whose sums a block of the backward kernel adds up, as in the kernel.
const TURNS: usize = 8;

/// Threads of a block of the kernels that have a row a thread.
const STATE_THREADS: usize = 128;

/// Taps and bias.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// Taps, `[K, D]`.
    pub weight: View<'a, f32>,
    /// Bias, `[D]`.
    pub bias: Option<View<'a, f32>>,
}

/// Gradients of taps and bias: always added to.
#[derive(Debug)]
pub struct GradParams<'a> {
    /// Of the taps, `[K, D]`.
    pub d_weight: ViewMut<'a, f32>,
    /// Of the bias, `[D]`: there if there is a bias.
    pub d_bias: Option<ViewMut<'a, f32>>,
}

/// `Shape` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct Shape {
    len: i64,
    channels: u32,
    segments: u32,
    kernel: i32,
    reverse: i32,
}

// SAFETY: the struct is the one of the source, without padding.
unsafe impl Argument for Shape {}

impl Shape {
    fn new([_, channels, len]: [usize; 3], kernel: usize, direction: Direction, segments: usize) -> Self {
        let reverse = i32::from(direction == Direction::Reverse);
        Self { len: len as i64, channels: channels as u32, segments: segments as u32, kernel: kernel as i32, reverse }
    }
}

/// The kernel of a pass for a type, a number of taps and a direction.
fn kernel_name<T: Real>(pass: &str, kernel: usize, direction: Direction) -> String {
    let most = if kernel <= 4 { 4 } else { MAX_KERNEL };
    let walk = match direction {
        Direction::Forward => "forward",
        Direction::Reverse => "reverse",
    };
    format!("causal_conv1d_{pass}_{}_{most}_{walk}", T::NAME)
}

/// See the [module](super).
///
/// # Errors
///
/// A kernel cannot be started.
///
/// # Panics
///
/// Panics if the shapes do not fit or there are more than [`MAX_KERNEL`] taps.
pub fn forward<T: Real>(
    params: &Params<'_>,
    direction: Direction,
    x: TimeRows<'_, T>,
    mut state: ViewMut<'_, f32>,
    out: TimeRowsMut<'_, T>,
) -> Result<(), CudaError> {
    assert_eq!(out.shape(), x.shape(), "shape of the output");
    let kernel = check(params, x.shape(), state.len());
    let Pieces { segments, grid } = Pieces::new(x.shape());
    let (device, shape) = (x.device(), Shape::new(x.shape(), kernel, direction, segments));
    let name = kernel_name::<T>("forward", kernel, direction);
    let launch = device.launch(&PROGRAM, &name, grid)?.rows(x);
    let launch = launch.input(params.weight).optional_input(params.bias).input(state.as_view());
    // SAFETY: the arguments are the kernel's, and the lengths of all fit the shape, as checked.
    unsafe { launch.rows_mut(out).value(shape).run() }?;
    let rows = x.batch() * x.channels();
    let name = format!("causal_conv1d_final_state_{}", T::NAME);
    let launch = device.launch(&PROGRAM, &name, state_grid(kernel, rows))?.rows(x).output(state.reborrow());
    // SAFETY: as above; there are as many rows in the state as in x.
    unsafe { launch.value(rows as u32).value(shape).run() }
}

/// See the [module](super). `d_x` is set or added to, `d_state` is the gradient of the final state in and that of the
/// initial state out.
///
/// # Errors
///
/// There is no memory for the sums, or a kernel cannot be started.
///
/// # Panics
///
/// Panics if the shapes do not fit or there are more than [`MAX_KERNEL`] taps.
#[allow(clippy::too_many_arguments, reason = "those of `forward` and their gradients")]
pub fn backward<T: Real>(
    params: &Params<'_>,
    direction: Direction,
    x: TimeRows<'_, T>,
    state: View<'_, f32>,
    d_out: TimeRows<'_, T>,
    mut d_state: ViewMut<'_, f32>,
    d_x: TimeRowsMut<'_, T>,
    write: Write,
    d_params: GradParams<'_>,
) -> Result<(), CudaError> {
    let kernel = check(params, x.shape(), state.len());
    check_backward(params, [x.shape(), d_out.shape(), d_x.shape()], [state.len(), d_state.len()], &d_params);
    if x.is_empty() {
        return Ok(());
    }
    let Pieces { segments, grid } = Pieces::new(x.shape());
    let (device, shape) = (x.device(), Shape::new(x.shape(), kernel, direction, segments));
    let pieces = x.batch() * segments;
    assert!(i32::try_from(pieces).is_ok(), "{pieces} pieces of sequences");
    let groups = pieces.div_ceil(TURNS);
    let mut partial = device.buffer::<f32>(groups * (kernel + 1) * x.channels())?;
    let name = kernel_name::<T>("backward", kernel, direction);
    let blocks = Grid { blocks: Grid::line(groups * x.channels(), 1).blocks, ..grid };
    let launch = device.launch(&PROGRAM, &name, blocks)?.rows(x);
    let launch = launch.input(params.weight).optional_input(params.bias).input(state);
    let launch = launch.rows(d_out).input(d_state.as_view()).rows_mut(d_x).output(partial.view_mut());
    // SAFETY: the arguments are the kernel's, and the lengths of all fit the shape, as checked; there are sums for every
    // block.
    unsafe { launch.value(shape).value(pieces as u32).value(i32::from(write == Write::Add)).run() }?;
    let rows = x.batch() * x.channels();
    let name = format!("causal_conv1d_initial_gradient_{}", T::NAME);
    let launch = device.launch(&PROGRAM, &name, state_grid(kernel, rows))?.rows(x);
    let launch = launch.input(params.weight).optional_input(params.bias).input(state);
    let launch = launch.rows(d_out).output(d_state.reborrow()).value(rows as u32).value(shape);
    // SAFETY: as above; there are as many rows in both states as in x.
    unsafe { launch.run() }?;
    add_params(partial.view(), x.channels(), kernel, d_params)
}

fn add_params(
    partial: View<'_, f32>,
    channels: usize,
    kernel: usize,
    d_params: GradParams<'_>,
) -> Result<(), CudaError> {
    let width = (kernel + 1) * channels;
    sums::add_columns(partial, width, 0, d_params.d_weight)?;
    match d_params.d_bias {
        Some(d_bias) => sums::add_columns(partial, width, kernel * channels, d_bias),
        None => Ok(()),
    }
}

/// A thread a row, or nothing where there is no state.
fn state_grid(kernel: usize, rows: usize) -> Grid {
    let rows = if kernel == 1 { 0 } else { rows };
    Grid::line(rows.div_ceil(STATE_THREADS), STATE_THREADS as u32)
}

/// Checks all lengths and returns K.
fn check(params: &Params<'_>, [batch, channels, _]: [usize; 3], state: usize) -> usize {
    assert!(
        channels > 0 && !params.weight.is_empty() && params.weight.len().is_multiple_of(channels),
        "taps are not a whole number of rows of {channels}"
    );
    let kernel = params.weight.len() / channels;
    assert!(kernel <= MAX_KERNEL, "{kernel} taps, at most {MAX_KERNEL} are supported");
    assert_eq!(state, batch * channels * (kernel - 1), "length of the state");
    assert!(u32::try_from(batch * channels).is_ok(), "{batch} sequences of {channels} channels");
    if let Some(bias) = params.bias {
        assert_eq!(bias.len(), channels, "length of the bias");
    }
    kernel
}

fn check_backward(
    params: &Params<'_>,
    [x, d_out, d_x]: [[usize; 3]; 3],
    [state, d_state]: [usize; 2],
    d_params: &GradParams<'_>,
) {
    assert_eq!(d_out, x, "shape of the output's gradient");
    assert_eq!(d_x, x, "shape of the gradient of x");
    assert_eq!(d_state, state, "length of the gradient of the state");
    assert_eq!(d_params.d_weight.len(), params.weight.len(), "length of the gradient of the taps");
    let d_bias = d_params.d_bias.as_ref().map(ViewMut::len);
    assert_eq!(d_bias, params.bias.map(|bias| bias.len()), "length of the gradient of the bias");
}
