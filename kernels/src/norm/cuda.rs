//! The norms on a GPU: a warp has a row.
//!
//! Buffers are `[L, D]` with L counting the positions of all sequences, as in the rest of the room. Parameters and
//! their gradients are f32; the stream `R` and what goes into the layer and out of it, `T`, are f32 or bf16 each, and
//! all arithmetic is f32.

use super::Kind;
use crate::{
    Write,
    cuda::{CudaError, Grid, Program, Real, View, ViewMut, sums},
};

pub(crate) static PROGRAM: Program = Program::new(
    "norm",
    include_str!("norm.cu"),
    &[
        "norm_forward_f32_f32",
        "norm_forward_f32_bf16",
        "norm_forward_bf16_f32",
        "norm_forward_bf16_bf16",
        "norm_backward_f32_f32",
        "norm_backward_f32_bf16",
        "norm_backward_bf16_f32",
        "norm_backward_bf16_bf16",
    ],
);

/// Warps of a block.
const WARPS: usize = 8;

/// Rows whose parameter gradients a block sums, as in the kernel.
const BLOCK_ROWS: usize = 64;

/// Shared memory of a block of the backward kernel, if a warp's sums are no larger.
const SHARED_BYTES: usize = 64 << 10;

/// The widest rows of the backward kernel: a warp's sums have to fit into shared memory.
pub const MAX_WIDTH: usize = 12_288;

/// What does not depend on the position.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// Which statistics are used.
    pub kind: Kind,
    /// ε, added to the mean square.
    pub epsilon: f64,
    /// w, `[D]`.
    pub weight: View<'a, f32>,
    /// β, `[D]`.
    pub bias: Option<View<'a, f32>>,
}

/// Gradients of the parameters, which are added to.
#[derive(Debug)]
pub struct GradParams<'a> {
    /// `[D]`
    pub d_weight: ViewMut<'a, f32>,
    /// `[D]`, given exactly when there is a bias.
    pub d_bias: Option<ViewMut<'a, f32>>,
}

/// What is normalised.
#[derive(Debug)]
pub enum Input<'a, T: Real, R: Real> {
    /// The residual stream as it is, `[L, D]`.
    Stream(View<'a, R>),
    /// The stream with what the last layer gave added to it. The sum replaces the stream, and what is normalised is the
    /// sum as it is stored.
    Sum {
        /// What the last layer gave, `[L, D]`.
        x: View<'a, T>,
        /// The stream, `[L, D]`.
        stream: ViewMut<'a, R>,
    },
}

/// See the [module](super).
///
/// # Errors
///
/// The kernel cannot be started.
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn forward<T: Real, R: Real>(
    params: &Params<'_>,
    input: Input<'_, T, R>,
    out: ViewMut<'_, T>,
) -> Result<(), CudaError> {
    let len = match &input {
        Input::Stream(stream) => stream.len(),
        Input::Sum { x, stream } => {
            assert_eq!(x.len(), stream.len(), "length of what is added");
            stream.len()
        }
    };
    let width = check(params, len, out.len());
    let rows = len / width;
    let (x, stream_is_aligned) = match &input {
        Input::Stream(stream) => (None, stream.is_aligned()),
        Input::Sum { x, stream } => (Some(*x), stream.is_aligned() && x.is_aligned()),
    };
    let aligned = stream_is_aligned && out.is_aligned() && are_aligned(params, width);
    let name = format!("norm_forward_{}_{}", T::NAME, R::NAME);
    let grid = Grid::line(rows.div_ceil(WARPS), 32 * WARPS as u32);
    let launch = out.device().launch(&PROGRAM, &name, grid)?.optional_input(x);
    let launch = match input {
        Input::Stream(stream) => launch.input(stream),
        Input::Sum { stream, .. } => launch.output(stream),
    };
    let launch = launch.input(params.weight).optional_input(params.bias).output(out);
    let launch = launch.value(rows as i64).value(width as i32).value(params.epsilon as f32);
    let launch = launch.value(i32::from(params.kind == Kind::Layer)).value(i32::from(aligned));
    // SAFETY: the arguments are the kernel's; all buffers have `rows` rows of `width`, weight and bias one, as checked;
    // the stream is written only where it was given to be.
    unsafe { launch.run() }
}

/// See the [module](super). The gradient is that of the stream, as it was normalised; `narrowed` gets a copy of it, all
/// that was there before included, in the type of the layers.
///
/// # Errors
///
/// There is no memory for the sums, or a kernel cannot be started.
///
/// # Panics
///
/// Panics if the lengths do not fit or rows are wider than [`MAX_WIDTH`].
pub fn backward<T: Real, R: Real>(
    params: &Params<'_>,
    x: View<'_, R>,
    d_out: View<'_, T>,
    d_x: ViewMut<'_, R>,
    write: Write,
    narrowed: Option<ViewMut<'_, T>>,
    d_params: GradParams<'_>,
) -> Result<(), CudaError> {
    let width = check(params, x.len(), d_x.len());
    check_backward(params, x.len(), d_out.len(), &narrowed, &d_params);
    assert!(width <= MAX_WIDTH, "rows of {width}, at most {MAX_WIDTH} are supported");
    let (rows, device) = (x.len() / width, x.device());
    let blocks = rows.div_ceil(BLOCK_ROWS);
    let mut partial = device.buffer::<f32>(blocks * 2 * width)?;
    let narrowed_is_aligned = narrowed.as_ref().is_none_or(ViewMut::is_aligned);
    let are_aligned = x.is_aligned() && d_out.is_aligned() && d_x.is_aligned() && are_aligned(params, width);
    // The order of the sums depends on the number of warps, and that on nothing but the width.
    let warp_bytes = 2 * width.next_multiple_of(8) * size_of::<f32>();
    let warps = (SHARED_BYTES / warp_bytes).clamp(1, WARPS);
    let grid = Grid::line(blocks, 32 * warps as u32).shared((warps * warp_bytes) as u32);
    let name = format!("norm_backward_{}_{}", T::NAME, R::NAME);
    let launch = device.launch(&PROGRAM, &name, grid)?;
    let launch = launch.input(x).input(d_out).input(params.weight).output(d_x).optional_output(narrowed);
    let launch = launch.output(partial.view_mut());
    let launch = launch.value(rows as i64).value(width as i32).value(params.epsilon as f32);
    let launch = launch.value(i32::from(params.kind == Kind::Layer)).value(i32::from(write == Write::Add));
    let launch = launch.value(i32::from(are_aligned && narrowed_is_aligned));
    // SAFETY: the arguments are the kernel's; all buffers have `rows` rows of `width`, the weight one and `partial` two for
    // each block; the shared memory has two for each warp.
    unsafe { launch.run() }?;
    sums::add_columns(partial.view(), 2 * width, 0, d_params.d_weight)?;
    match d_params.d_bias {
        Some(d_bias) => sums::add_columns(partial.view(), 2 * width, width, d_bias),
        None => Ok(()),
    }
}

/// Checks all lengths and returns D.
fn check(params: &Params<'_>, len: usize, out: usize) -> usize {
    let width = params.weight.len();
    assert!(width > 0 && len.is_multiple_of(width), "{len} elements are not a whole number of rows of {width}");
    assert!(i32::try_from(width).is_ok(), "rows of {width}");
    assert_eq!(out, len, "length of the output");
    if let Some(bias) = params.bias {
        assert_eq!(bias.len(), width, "length of the bias");
    }
    width
}

fn check_backward<T: Real>(
    params: &Params<'_>,
    len: usize,
    d_out: usize,
    narrowed: &Option<ViewMut<'_, T>>,
    d_params: &GradParams<'_>,
) {
    assert_eq!(d_out, len, "length of the output's gradient");
    assert!(narrowed.as_ref().is_none_or(|narrowed| narrowed.len() == len), "length of the narrowed gradient");
    assert_eq!(d_params.d_weight.len(), params.weight.len(), "length of the weight's gradient");
    let d_bias = d_params.d_bias.as_ref().map(ViewMut::len);
    assert_eq!(d_bias, params.bias.map(|bias| bias.len()), "length of the bias's gradient");
}

/// Whether every row of the parameters may be read eight at once, and rows of this width keep to it.
fn are_aligned(params: &Params<'_>, width: usize) -> bool {
    width.is_multiple_of(8) && params.weight.is_aligned() && params.bias.is_none_or(|bias| bias.is_aligned())
}
