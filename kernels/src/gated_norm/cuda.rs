//! The gated norm on a GPU, over time-contiguous rows, `[B, D, L]`: a block has 64 positions of a group.
//!
//! The weight and its gradient are f32, the rows f32 or bf16, and all arithmetic is f32. The channels of a position are added
//! in an order that depends on the size of the group alone.

use crate::{
    Write,
    cuda::{CudaError, Grid, Program, Real, TimeRows, TimeRowsMut, View, ViewMut, sums},
};

pub(crate) static PROGRAM: Program = Program::new(
    "gated_norm",
    include_str!("gated_norm.cu"),
    &["gated_norm_forward_f32", "gated_norm_forward_bf16", "gated_norm_backward_f32", "gated_norm_backward_bf16"],
);

/// Positions and threads of a block, as in the kernels.
const TILE: usize = 64;
const THREADS: u32 = 256;

/// What does not depend on the position.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// w, `[D]`.
    pub weight: View<'a, f32>,
    /// ε, added to the mean square.
    pub epsilon: f64,
    /// Channels that are normalised together; D is a multiple of it.
    pub group: usize,
}

/// Gradients of the inputs.
#[derive(Debug)]
pub struct GradInputs<'a, T: Real> {
    /// `[B, D, L]`
    pub d_x: TimeRowsMut<'a, T>,
    /// `[B, D, L]`
    pub d_z: TimeRowsMut<'a, T>,
}

/// See the [module](super). Sets `y`, which is also the argument where no `x` is given.
///
/// # Errors
///
/// The kernel cannot be started.
///
/// # Panics
///
/// Panics if the shapes do not fit.
pub fn forward<T: Real>(
    params: &Params<'_>,
    x: Option<TimeRows<'_, T>>,
    z: TimeRows<'_, T>,
    y: TimeRowsMut<'_, T>,
) -> Result<(), CudaError> {
    let Tiles { groups, tiles, grid } = Tiles::new(params, z.shape());
    assert!(x.is_none_or(|x| x.shape() == z.shape()), "shapes of x and the gate");
    assert_eq!(y.shape(), z.shape(), "shapes of the output and the gate");
    let name = format!("gated_norm_forward_{}", T::NAME);
    let launch = z.device().launch(&PROGRAM, &name, grid)?;
    let launch = launch.optional_rows(x).rows(z).rows_mut(y).input(params.weight).value(z.len() as i64);
    let launch = launch.value(params.group as u32).value(groups).value(tiles).value(params.epsilon as f32);
    // SAFETY: the arguments are the kernel's; it keeps to the shape that all rows have, of whose channels there are
    // `groups` of `params.group`, and the weight has as many.
    unsafe { launch.run() }
}

/// See the [module](super). The sums of 64 positions of the weight's gradient are f32, and are added in f64.
///
/// # Errors
///
/// There is no memory for the sums, or a kernel cannot be started.
///
/// # Panics
///
/// Panics if the shapes do not fit.
pub fn backward<T: Real>(
    params: &Params<'_>,
    x: TimeRows<'_, T>,
    z: TimeRows<'_, T>,
    d_out: TimeRows<'_, T>,
    d_inputs: GradInputs<'_, T>,
    write: Write,
    d_weight: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    let Tiles { groups, tiles, grid } = Tiles::new(params, z.shape());
    let GradInputs { d_x, d_z } = d_inputs;
    for (what, shape) in [("x", x.shape()), ("d_out", d_out.shape()), ("d_x", d_x.shape()), ("d_z", d_z.shape())] {
        assert_eq!(shape, z.shape(), "shapes of {what} and the gate");
    }
    let width = z.channels();
    assert_eq!(d_weight.len(), width, "length of the weight's gradient");
    let mut partial = z.device().buffer::<f32>(z.batch() * tiles as usize * width)?;
    let name = format!("gated_norm_backward_{}", T::NAME);
    let launch = z.device().launch(&PROGRAM, &name, grid)?;
    let launch = launch.rows(x).rows(z).rows(d_out).rows_mut(d_x).rows_mut(d_z);
    let launch = launch.input(params.weight).output(partial.view_mut()).value(z.len() as i64);
    let launch = launch.value(params.group as u32).value(groups).value(tiles).value(params.epsilon as f32);
    let launch = launch.value(i32::from(write == Write::Add));
    // SAFETY: as in `forward`, and there is a row of sums for each tile of a sequence.
    unsafe { launch.run() }?;
    sums::add_columns(partial.view(), width, 0, d_weight)
}

/// How rows are cut into tiles of a group, one a block.
struct Tiles {
    groups: u32,
    /// Tiles of a row.
    tiles: u32,
    grid: Grid,
}

impl Tiles {
    fn new(params: &Params<'_>, [batch, width, len]: [usize; 3]) -> Self {
        assert_eq!(params.weight.len(), width, "length of the weight");
        assert!(
            width > 0 && params.group > 0 && width.is_multiple_of(params.group),
            "{width} channels are not a whole number of groups of {}",
            params.group
        );
        assert!(i32::try_from(width).is_ok(), "{width} channels");
        let (groups, tiles) = (width / params.group, len.div_ceil(TILE));
        Self { groups: groups as u32, tiles: tiles as u32, grid: Grid::line(batch * groups * tiles, THREADS) }
    }
}
