//! SSD on a GPU, over time-contiguous rows.
//!
//! `x`, `y` and their gradients are `[B, H · P, L]`, `dt` `[B, H, L]`, `b` and `c` `[B, G · N, L]`, all f32 or all bf16. A, D,
//! the bias, their gradients and the state `[B, H, N, P]` are f32. P is a multiple of 8, N at most [`MAX_STATES`].
//!
//! Positions are taken in chunks of 64 and segments of [`TILE`] from the start of the call, in both directions, so that a
//! sequence may be cut at any multiple of [`TILE`] without a change in a single bit. With s the sums of Δ'A inside a chunk, as in
//! the [CPU's form](super::cpu), a forward call is
//!
//! | kernel | makes | of |
//! |---|---|---|
//! | `steps` | Δ' and s, `12 · H · L` bytes | `dt` |
//! | `scores` | `C_i · B_j` inside each chunk, `256 · G · L` bytes, for all heads of a group | `b`, `c` |
//! | `sum` | what each segment adds to the state, `4 · H · N · P · ⌈L/256⌉` bytes | `x`, `b` |
//! | `pass` | the state that enters each segment, in its place, and the final one | |
//! | `read` | y, chunk after chunk of a segment | `x`, `b`, `c` and all of the above |
//!
//! times B. Without an output there is no `scores` and no `read`.
//!
//! **Backward** makes all of these again but y, and the same sums of the adjoint, which walks against the scan with `d_y` in the
//! place of `x` and C in that of B. Then strips of segments are taken one after the other: `borders` leaves the state before each
//! chunk and the adjoint behind it, in the type of the activations and in [`STRIP_BYTES`] or those of one segment; `heads` has a
//! block for each head and chunk, and makes the gradients of x, Δ and the parameters; `rows` has one for each group, chunk and 64
//! states, which sums over the heads in their order, and makes those of B and C. Nothing is saved by forward but its arguments.
//!
//! Products are of tiles of 64 by 64: bf16 on tensor cores with sums in f32, f32 by multiply-adds. Decays are made in f64 and
//! kept as two f32, as on the CPU. Zeros of a triangle are multiplied like other numbers, so what is not finite may reach all
//! positions of its chunk.

use crate::{
    Direction, Write,
    cuda::{CudaError, Program, Real, TimeRows, TimeRowsMut, View, ViewMut},
};
use scan::{Dims, Pass, RowsAt, Scan, Walk};

mod backward;
mod scan;

pub use backward::{GradInputs, GradParams, STRIP_BYTES, backward};

/// Positions of a segment.
pub const TILE: usize = SIDE * CHUNKS;

/// The most states of a channel.
pub const MAX_STATES: usize = 256;

/// Positions of a chunk, and rows and columns of the tiles of products.
const SIDE: usize = 64;

/// Chunks of a segment.
const CHUNKS: usize = 4;

/// Threads of a block.
const THREADS: usize = 256;

const HEADERS: &[(&str, &str)] = &[("tile.cuh", include_str!("tile.cuh"))];

macro_rules! program {
    ($name:literal, $element:literal) => {
        Program {
            headers: HEADERS,
            defines: &[("NAME", $name), ("ELEMENT", $element)],
            ..Program::new(
                concat!("ssd_", $name),
                include_str!("ssd.cu"),
                &[
                    concat!("ssd_steps_", $name),
                    concat!("ssd_scores_", $name),
                    concat!("ssd_sum_1_", $name),
                    concat!("ssd_sum_2_", $name),
                    concat!("ssd_sum_4_", $name),
                    concat!("ssd_borders_1_", $name),
                    concat!("ssd_borders_2_", $name),
                    concat!("ssd_borders_4_", $name),
                    concat!("ssd_read_1_", $name),
                    concat!("ssd_read_2_", $name),
                    concat!("ssd_read_4_", $name),
                    concat!("ssd_pass_", $name),
                ],
            )
        }
    };
}

pub(crate) static PROGRAM_F32: Program = program!("f32", "float");
pub(crate) static PROGRAM_BF16: Program = program!("bf16", "bf16");
pub(crate) use backward::{BACKWARD_BF16, BACKWARD_F32};

/// The one of two programs that is of a type.
fn of_type<T: Real>(single: &'static Program, half: &'static Program) -> &'static Program {
    if size_of::<T>() == size_of::<f32>() { single } else { half }
}

/// What does not depend on the position.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// H.
    pub heads: usize,
    /// P, channels of a head.
    pub head_dim: usize,
    /// N, states of a channel.
    pub states: usize,
    /// G, groups of heads that share B and C; H is a multiple of it.
    pub groups: usize,
    /// A, `[H]`, negative.
    pub a: View<'a, f32>,
    /// D, `[H]`.
    pub d: View<'a, f32>,
    /// Bias of Δ, `[H]`.
    pub dt_bias: View<'a, f32>,
    /// The least and the largest Δ after softplus; the largest may be infinite.
    pub dt_limit: (f64, f64),
}

/// What drives the state, and how it is read.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T: Real> {
    /// x, `[B, H · P, L]`.
    pub x: TimeRows<'a, T>,
    /// Δ before bias and softplus, `[B, H, L]`.
    pub dt: TimeRows<'a, T>,
    /// B, `[B, G · N, L]`.
    pub b: TimeRows<'a, T>,
    /// C, `[B, G · N, L]`.
    pub c: TimeRows<'a, T>,
}

/// Where the result goes.
#[derive(Debug)]
pub struct Output<'a, T: Real> {
    /// y, `[B, H · P, L]`.
    pub y: TimeRowsMut<'a, T>,
    /// Whether y is set or added to.
    pub write: Write,
}

/// See the [module](super). `state` is the initial state in, the final one out, `[B, H, N, P]`.
///
/// # Errors
///
/// There is no memory for what lies between the kernels, or one cannot be started.
///
/// # Panics
///
/// Panics if the shapes do not fit, P is not a multiple of 8, or N is more than [`MAX_STATES`].
pub fn forward<T: Real>(
    params: &Params<'_>,
    direction: Direction,
    inputs: &Inputs<'_, T>,
    state: ViewMut<'_, f32>,
    output: Option<Output<'_, T>>,
) -> Result<(), CudaError> {
    let dims = check(params, inputs, state.len());
    if let Some(Output { y, .. }) = &output {
        check_rows("y", &y.as_rows(), inputs.x.shape(), inputs);
    }
    if dims.is_empty() {
        return Ok(());
    }
    let scan = Scan::new(params, direction, inputs, dims, output.is_some())?;
    let state = state.as_view().address();
    let entering = scan.entering(scan.walk(), state, state)?;
    let Some(Output { mut y, write }) = output else { return Ok(()) };
    let (channels, add) = (y.as_rows().into(), i32::from(write == Write::Add));
    let walk = Walk { y: RowsAt { address: y.data().address(), ..channels }, add, ..scan.walk() };
    scan.run(Pass::Read, Walk { states: entering.view().address(), ..walk })
}

/// Checks all lengths of what every call has.
fn check<T: Real>(params: &Params<'_>, inputs: &Inputs<'_, T>, state: usize) -> Dims {
    let &Params { heads, head_dim, states, groups, dt_limit: (least, largest), .. } = params;
    assert!(
        groups > 0 && heads > 0 && heads.is_multiple_of(groups),
        "{heads} heads cannot be shared between {groups} groups"
    );
    assert!(head_dim > 0 && head_dim.is_multiple_of(8), "expected a multiple of 8 channels a head, found {head_dim}");
    assert!((1..=MAX_STATES).contains(&states), "expected 1 to {MAX_STATES} states, found {states}");
    assert_eq!([params.a.len(), params.d.len(), params.dt_bias.len()], [heads; 3], "lengths of a, d and dt_bias");
    assert!(least <= largest, "a limit of dt from {least} to {largest}");
    let [batch, _, len] = inputs.x.shape();
    check_rows("x", &inputs.x, [batch, heads * head_dim, len], inputs);
    check_rows("dt", &inputs.dt, [batch, heads, len], inputs);
    check_rows("b", &inputs.b, [batch, groups * states, len], inputs);
    check_rows("c", &inputs.c, [batch, groups * states, len], inputs);
    assert_eq!(state, batch * heads * states * head_dim, "length of the state");
    Dims { batch, len, heads, head_dim, states, groups }
}

fn check_rows<T: Real>(what: &str, rows: &TimeRows<'_, T>, shape: [usize; 3], inputs: &Inputs<'_, T>) {
    assert_eq!(rows.shape(), shape, "shape of {what}");
    assert!(rows.device().is_same(inputs.x.device()), "{what} is on another device");
}
