//! The scan on a GPU, over time-contiguous rows.
//!
//! `u`, `delta`, `z`, `y` and their gradients are `[B, D, L]`, `b`, `c` and theirs `[B, N, L]`, all f32 or all bf16 and with one
//! row stride. A `[N, D]`, D and the bias `[D]`, their gradients, and the state `[B, N, D]` are f32. All arithmetic is f32.
//!
//! **Forward.** A block has four channels; its warps take tiles of 128 positions in turn and hand the state on from one to the
//! next (`selective_scan.cu`). Every state is made by the same operations in the same order wherever a sequence is cut at
//! multiples of [`TILE`].
//!
//! **Backward** begins from the gradient of q, what y is before its gate: the gate's own way back is `silu_gate`'s, once for
//! both directions of a bidirectional block. First the adjoint walks against the scan, as forward does, and leaves what enters
//! each tile; then tiles are independent of each other. Saved: the inputs and the states at the borders of tiles
//! ([`borders_len`]), `4 · N · D · ⌈L/128⌉` bytes a sequence. While it runs it holds as many again for the adjoint,
//! `4 · (N + 2) · D · ⌈L/128⌉` for the parameters and `8 · N · L` or a few times that for B and C.

use super::Dims;
use crate::{
    Direction, Write,
    cuda::{Argument, Buffer, CudaError, Device, Grid, Program, Real, TimeRows, TimeRowsMut, View, ViewMut, sums},
};

/// Positions of a tile.
pub const TILE: usize = 128;

/// The most states that gradients can be taken of: what a block keeps of each lies in its shared memory.
pub const MAX_STATES_BACKWARD: usize = 48;

/// Channels of a warp.
const QUAD: usize = 4;

/// Warps of a block of the backward kernel, and channels that they have at a time.
const BACKWARD_WARPS: usize = 4;
const GROUP: usize = BACKWARD_WARPS * QUAD;

const SCAN_HEADER: &[(&str, &str)] = &[("scan.cuh", include_str!("scan.cuh"))];

macro_rules! chain_program {
    ($pass:literal, $adjoint:literal, $name:literal, $element:literal) => {
        Program {
            headers: SCAN_HEADER,
            defines: &[("PASS", $pass), ("ADJOINT", $adjoint), ("NAME", $name), ("ELEMENT", $element)],
            ..Program::new(
                concat!("selective_scan_", $pass, "_", $name),
                include_str!("selective_scan.cu"),
                &[
                    concat!("selective_scan_", $pass, "_", $name, "_4_forward"),
                    concat!("selective_scan_", $pass, "_", $name, "_4_reverse"),
                    concat!("selective_scan_", $pass, "_", $name, "_8_forward"),
                    concat!("selective_scan_", $pass, "_", $name, "_8_reverse"),
                    concat!("selective_scan_", $pass, "_", $name, "_16_forward"),
                    concat!("selective_scan_", $pass, "_", $name, "_16_reverse"),
                ],
            )
        }
    };
}

macro_rules! backward_program {
    ($name:literal, $element:literal) => {
        Program {
            headers: SCAN_HEADER,
            defines: &[("NAME", $name), ("ELEMENT", $element)],
            ..Program::new(
                concat!("selective_scan_backward_", $name),
                include_str!("selective_scan_backward.cu"),
                &[
                    concat!("selective_scan_backward_", $name, "_forward"),
                    concat!("selective_scan_backward_", $name, "_reverse"),
                    concat!("selective_scan_rows_", $name),
                ],
            )
        }
    };
}

// Each type and pass is compiled by itself, when it is first asked for: together they take several seconds.
pub(crate) static FORWARD_F32: Program = chain_program!("forward", "false", "f32", "float");
pub(crate) static FORWARD_BF16: Program = chain_program!("forward", "false", "bf16", "bf16");
pub(crate) static ADJOINT_F32: Program = chain_program!("adjoint", "true", "f32", "float");
pub(crate) static ADJOINT_BF16: Program = chain_program!("adjoint", "true", "bf16", "bf16");
pub(crate) static BACKWARD_F32: Program = backward_program!("f32", "float");
pub(crate) static BACKWARD_BF16: Program = backward_program!("bf16", "bf16");

/// The one of two programs that is of a type.
fn of_type<T: Real>(single: &'static Program, half: &'static Program) -> &'static Program {
    if size_of::<T>() == size_of::<f32>() { single } else { half }
}

/// What does not depend on the position.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// A, `[N, D]`, negative.
    pub a: View<'a, f32>,
    /// D, `[D]`.
    pub d: View<'a, f32>,
    /// Bias of Δ, `[D]`.
    pub delta_bias: View<'a, f32>,
}

/// What drives the state.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T: Real> {
    /// u, `[B, D, L]`.
    pub u: TimeRows<'a, T>,
    /// Δ before bias and softplus, `[B, D, L]`.
    pub delta: TimeRows<'a, T>,
    /// B, `[B, N, L]`.
    pub b: TimeRows<'a, T>,
}

/// What is read out of the state, and where it goes.
#[derive(Debug)]
pub struct Output<'a, T: Real> {
    /// C, `[B, N, L]`.
    pub c: TimeRows<'a, T>,
    /// z, `[B, D, L]`.
    pub z: Option<TimeRows<'a, T>>,
    /// y, `[B, D, L]`.
    pub y: TimeRowsMut<'a, T>,
    /// Whether y is set or added to.
    pub write: Write,
}

/// What was read out of the state, and the gradient that came back.
#[derive(Clone, Copy, Debug)]
pub struct Readout<'a, T: Real> {
    /// C, `[B, N, L]`.
    pub c: TimeRows<'a, T>,
    /// Gradient of q, which is y before its gate, `[B, D, L]`.
    pub d_q: TimeRows<'a, T>,
}

/// Gradients of what depends on the position, and whether they are set or added to.
#[derive(Debug)]
pub struct GradInputs<'a, T: Real> {
    /// Of u, `[B, D, L]`.
    pub d_u: (TimeRowsMut<'a, T>, Write),
    /// Of Δ before bias and softplus, `[B, D, L]`.
    pub d_delta: (TimeRowsMut<'a, T>, Write),
    /// Of B, `[B, N, L]`.
    pub d_b: (TimeRowsMut<'a, T>, Write),
    /// Of C, `[B, N, L]`.
    pub d_c: (TimeRowsMut<'a, T>, Write),
}

/// Gradients of what does not depend on the position: always added to.
#[derive(Debug)]
pub struct GradParams<'a> {
    /// Of A, `[N, D]`.
    pub d_a: ViewMut<'a, f32>,
    /// Of D, `[D]`.
    pub d_d: ViewMut<'a, f32>,
    /// Of the bias of Δ, `[D]`.
    pub d_delta_bias: ViewMut<'a, f32>,
}

/// Values of the states at the borders of tiles, `[B, ⌈L/128⌉, N, D]`.
pub fn borders_len(batch: usize, len: usize, states: usize, channels: usize) -> usize {
    batch * len.div_ceil(TILE) * states * channels
}

/// `Scan` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct Scan {
    u: u64,
    delta: u64,
    z: u64,
    b: u64,
    c: u64,
    y: u64,
    u_batch: i64,
    delta_batch: i64,
    z_batch: i64,
    b_batch: i64,
    c_batch: i64,
    y_batch: i64,
    stride: i64,
    len: i64,
    a: u64,
    d: u64,
    bias: u64,
    initial: u64,
    last: u64,
    borders: u64,
    channels: i32,
    states: i32,
    add: i32,
    unused: i32,
}

/// `Backward` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct Backward {
    u: u64,
    delta: u64,
    d_q: u64,
    b: u64,
    c: u64,
    d_u: u64,
    d_delta: u64,
    u_batch: i64,
    delta_batch: i64,
    d_q_batch: i64,
    b_batch: i64,
    c_batch: i64,
    d_u_batch: i64,
    d_delta_batch: i64,
    stride: i64,
    len: i64,
    a: u64,
    d: u64,
    bias: u64,
    borders: u64,
    adjoint: u64,
    d_rows: u64,
    d_params: u64,
    channels: i32,
    states: i32,
    add_u: i32,
    add_delta: i32,
}

/// `RowsShape` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct RowsShape {
    len: i64,
    padded: i64,
    splits: i32,
    states: i32,
    add_b: i32,
    add_c: i32,
}

// SAFETY: the structs are those of the sources, without padding.
unsafe impl Argument for Scan {}
// SAFETY: as above.
unsafe impl Argument for Backward {}
// SAFETY: as above.
unsafe impl Argument for RowsShape {}

/// See the [module](super). `state` is the initial state in, the final one out. Where there are `borders`
/// ([`borders_len`]), the state that enters each tile is left there for [`backward`].
///
/// # Errors
///
/// A kernel cannot be started.
///
/// # Panics
///
/// Panics if the shapes do not fit, or rows differ in their stride.
pub fn forward<T: Real>(
    params: &Params<'_>,
    direction: Direction,
    inputs: &Inputs<'_, T>,
    state: ViewMut<'_, f32>,
    output: Option<Output<'_, T>>,
    borders: Option<ViewMut<'_, f32>>,
) -> Result<(), CudaError> {
    let (batch, dims) = check(params, inputs, state.len());
    let mut scan = scan_of(params, inputs, dims, &state);
    if let Some(Output { c, z, mut y, write }) = output {
        check_rows("c", &c, batch, dims.states, inputs);
        check_rows("y", &y.as_rows(), batch, dims.channels, inputs);
        (scan.c, scan.c_batch) = (c.data().address(), c.batch_stride() as i64);
        (scan.y_batch, scan.add) = (y.batch_stride() as i64, i32::from(write == Write::Add));
        scan.y = y.data().address();
        if let Some(z) = z {
            check_rows("z", &z, batch, dims.channels, inputs);
            (scan.z, scan.z_batch) = (z.data().address(), z.batch_stride() as i64);
        }
    }
    if let Some(borders) = &borders {
        assert_eq!(borders.len(), borders_len(batch, dims.len, dims.states, dims.channels), "length of the borders");
        scan.borders = borders.as_view().address();
    }
    run_chain::<T>(Pass::Forward, inputs.u.device(), direction, batch, dims, scan)
}

/// See the [module](super). `borders` are those that [`forward`] left, with an output; `d_state` is the gradient of the final
/// state in, that of the initial state out.
///
/// # Errors
///
/// There is no memory for the sums, or a kernel cannot be started.
///
/// # Panics
///
/// Panics if the shapes do not fit, rows differ in their stride, or there are more than [`MAX_STATES_BACKWARD`] states.
#[allow(clippy::too_many_arguments, reason = "those of `forward` and their gradients")]
pub fn backward<T: Real>(
    params: &Params<'_>,
    direction: Direction,
    inputs: &Inputs<'_, T>,
    borders: View<'_, f32>,
    readout: &Readout<'_, T>,
    d_state: ViewMut<'_, f32>,
    d_inputs: GradInputs<'_, T>,
    d_params: GradParams<'_>,
) -> Result<(), CudaError> {
    let (batch, dims) = check(params, inputs, d_state.len());
    let Dims { len, channels, states } = dims;
    assert!(states <= MAX_STATES_BACKWARD, "expected at most {MAX_STATES_BACKWARD} states, found {states}");
    assert_eq!(borders.len(), borders_len(batch, len, states, channels), "length of the borders");
    check_rows("c", &readout.c, batch, states, inputs);
    check_rows("the gradient of q", &readout.d_q, batch, channels, inputs);
    if batch * channels * len == 0 {
        return Ok(());
    }
    let device = inputs.u.device();
    let adjoint = adjoint_borders(params, direction, inputs, readout, &d_state, batch, dims)?;

    let GradInputs { mut d_u, mut d_delta, d_b, d_c } = d_inputs;
    check_rows("the gradient of u", &d_u.0.as_rows(), batch, channels, inputs);
    check_rows("the gradient of delta", &d_delta.0.as_rows(), batch, channels, inputs);
    let tiles = len.div_ceil(TILE);
    let splits = splits(device, batch * tiles, channels);
    let d_rows = device.buffer::<f32>(splits * batch * 2 * states * tiles * TILE)?;
    let width = (states + 2) * channels;
    let partial = device.buffer::<f32>(batch * tiles * width)?;
    let scan = Backward {
        u: inputs.u.data().address(),
        delta: inputs.delta.data().address(),
        d_q: readout.d_q.data().address(),
        b: inputs.b.data().address(),
        c: readout.c.data().address(),
        d_u: d_u.0.data().address(),
        d_delta: d_delta.0.data().address(),
        u_batch: inputs.u.batch_stride() as i64,
        delta_batch: inputs.delta.batch_stride() as i64,
        d_q_batch: readout.d_q.batch_stride() as i64,
        b_batch: inputs.b.batch_stride() as i64,
        c_batch: readout.c.batch_stride() as i64,
        d_u_batch: d_u.0.batch_stride() as i64,
        d_delta_batch: d_delta.0.batch_stride() as i64,
        stride: inputs.u.stride() as i64,
        len: len as i64,
        a: params.a.address(),
        d: params.d.address(),
        bias: params.delta_bias.address(),
        borders: borders.address(),
        adjoint: adjoint.view().address(),
        d_rows: d_rows.view().address(),
        d_params: partial.view().address(),
        channels: channels as i32,
        states: states as i32,
        add_u: i32::from(d_u.1 == Write::Add),
        add_delta: i32::from(d_delta.1 == Write::Add),
    };
    let name = format!("selective_scan_backward_{}_{}", T::NAME, walk(direction));
    let grid = Grid {
        blocks: [tiles as u32, batch as u32, splits as u32],
        threads: [32 * BACKWARD_WARPS as u32, 1, 1],
        shared_bytes: backward_shared_bytes::<T>(states),
    };
    // SAFETY: the struct is the kernel's only argument. All rows have the checked shapes and one stride, borders and buffers the
    // lengths that the struct's documentation gives; each block writes its own tile, and its own sums.
    unsafe { device.launch(of_type::<T>(&BACKWARD_F32, &BACKWARD_BF16), &name, grid)?.value(scan).run() }?;
    finish_rows(inputs, d_rows.view(), splits, d_b, d_c)?;
    let GradParams { d_a, d_d, d_delta_bias } = d_params;
    let lengths = [d_a.len(), d_d.len(), d_delta_bias.len()];
    assert_eq!(lengths, [states * channels, channels, channels], "lengths of the gradients of parameters");
    sums::add_columns(partial.view(), width, 0, d_a)?;
    sums::add_columns(partial.view(), width, states * channels, d_d)?;
    sums::add_columns(partial.view(), width, (states + 1) * channels, d_delta_bias)
}

/// What the adjoint brings into each tile, from the gradient of the final state; that of the initial state takes its place.
fn adjoint_borders<T: Real>(
    params: &Params<'_>,
    direction: Direction,
    inputs: &Inputs<'_, T>,
    readout: &Readout<'_, T>,
    d_state: &ViewMut<'_, f32>,
    batch: usize,
    dims: Dims,
) -> Result<Buffer<f32>, CudaError> {
    let device = inputs.u.device();
    let borders = device.buffer::<f32>(borders_len(batch, dims.len, dims.states, dims.channels))?;
    let scan = Scan {
        u: readout.d_q.data().address(),
        u_batch: readout.d_q.batch_stride() as i64,
        c: readout.c.data().address(),
        c_batch: readout.c.batch_stride() as i64,
        borders: borders.view().address(),
        ..scan_of(params, inputs, dims, d_state)
    };
    run_chain::<T>(Pass::Adjoint, device, direction.opposite(), batch, dims, scan)?;
    Ok(borders)
}

/// Adds the parts of the gradients of B and C, and writes them as what they are kept in.
fn finish_rows<T: Real>(
    inputs: &Inputs<'_, T>,
    d_rows: View<'_, f32>,
    splits: usize,
    (d_b, write_b): (TimeRowsMut<'_, T>, Write),
    (d_c, write_c): (TimeRowsMut<'_, T>, Write),
) -> Result<(), CudaError> {
    let [batch, states, len] = inputs.b.shape();
    assert_eq!(d_b.shape(), inputs.b.shape(), "shape of the gradient of b");
    assert_eq!(d_c.shape(), inputs.b.shape(), "shape of the gradient of c");
    let shape = RowsShape {
        len: len as i64,
        padded: len.next_multiple_of(TILE) as i64,
        splits: splits as i32,
        states: states as i32,
        add_b: i32::from(write_b == Write::Add),
        add_c: i32::from(write_c == Write::Add),
    };
    let grid = Grid {
        blocks: [len.div_ceil(8 * 128) as u32, 2 * states as u32, batch as u32],
        threads: [128, 1, 1],
        shared_bytes: 0,
    };
    let name = format!("selective_scan_rows_{}", T::NAME);
    let launch = inputs.u.device().launch(of_type::<T>(&BACKWARD_F32, &BACKWARD_BF16), &name, grid)?;
    // SAFETY: the arguments are the kernel's; it reads `splits` times `[B, 2 N, padded]` sums and writes rows of the checked
    // shapes.
    unsafe { launch.input(d_rows).rows_mut(d_b).rows_mut(d_c).value(shape).run() }
}

/// What every chain is given; the rest is zero.
fn scan_of<T: Real>(
    params: &Params<'_>,
    inputs: &Inputs<'_, T>,
    Dims { len, channels, states }: Dims,
    state: &ViewMut<'_, f32>,
) -> Scan {
    let state = state.as_view().address();
    let (b, b_batch) = (inputs.b.data().address(), inputs.b.batch_stride() as i64);
    Scan {
        u: inputs.u.data().address(),
        delta: inputs.delta.data().address(),
        z: 0,
        b,
        // Without an output, C is read as B again and comes to nothing.
        c: b,
        y: 0,
        u_batch: inputs.u.batch_stride() as i64,
        delta_batch: inputs.delta.batch_stride() as i64,
        z_batch: 0,
        b_batch,
        c_batch: b_batch,
        y_batch: 0,
        stride: inputs.u.stride() as i64,
        len: len as i64,
        a: params.a.address(),
        d: params.d.address(),
        bias: params.delta_bias.address(),
        initial: state,
        last: state,
        borders: 0,
        channels: channels as i32,
        states: states as i32,
        add: 0,
        unused: 0,
    }
}

/// What a chain computes.
#[derive(Clone, Copy)]
enum Pass {
    Forward,
    Adjoint,
}

impl Pass {
    fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Adjoint => "adjoint",
        }
    }

    fn program<T: Real>(self) -> &'static Program {
        match self {
            Self::Forward => of_type::<T>(&FORWARD_F32, &FORWARD_BF16),
            Self::Adjoint => of_type::<T>(&ADJOINT_F32, &ADJOINT_BF16),
        }
    }
}

fn run_chain<T: Real>(
    pass: Pass,
    device: &Device,
    direction: Direction,
    batch: usize,
    dims: Dims,
    scan: Scan,
) -> Result<(), CudaError> {
    let blocks = [dims.channels.div_ceil(QUAD) as u32, batch as u32, 1];
    let warps = chain_warps::<T>(device, blocks[0] as usize * batch, dims);
    let name = format!("selective_scan_{}_{}_{warps}_{}", pass.name(), T::NAME, walk(direction));
    let grid =
        Grid { blocks, threads: [32 * warps as u32, 1, 1], shared_bytes: chain_shared_bytes::<T>(warps, dims.states) };
    // SAFETY: the struct is the kernel's only argument; its rows have the checked shapes and one stride, state and borders the
    // checked lengths. A block writes the rows, states and borders of its own channels.
    unsafe { device.launch(pass.program::<T>(), &name, grid)?.value(scan).run() }
}

/// Warps of a block: as few as fill the card with all blocks, no more than there are tiles, and as many as have room.
fn chain_warps<T: Real>(device: &Device, blocks: usize, dims: Dims) -> usize {
    let multiprocessors = device.multiprocessors() as usize;
    let filling = [4, 8].into_iter().find(|warps| blocks * warps >= 16 * multiprocessors).unwrap_or(16);
    let useful = dims.len.div_ceil(TILE).next_power_of_two().clamp(4, 16);
    let mut warps = filling.min(useful);
    while warps > 4 && chain_shared_bytes::<T>(warps, dims.states) > device.shared_bytes() {
        warps /= 2;
    }
    warps
}

/// `Layout` of the source, for a scan with both rows.
fn chain_shared_bytes<T: Real>(warps: usize, states: usize) -> u32 {
    let size = size_of::<T>();
    let batch = if size == 2 { 4 } else { 2 };
    let stage = 3 * size * 512;
    let ring = 2 * batch * 2 * TILE * size;
    let slots = (warps + 1) * states.next_multiple_of(batch) * QUAD * 8;
    (warps * (stage + ring) + slots) as u32
}

/// `Parts` of the source.
fn backward_shared_bytes<T: Real>(states: usize) -> u32 {
    let size = size_of::<T>();
    let known = states * QUAD * 8 * 4;
    let groups = 2 * BACKWARD_WARPS * (3 * size * 512 + known);
    let rows = states * 2 * TILE * size;
    let totals = states * 2 * TILE * 4;
    let picks = 2 * 32 * 16;
    (groups + rows + totals + picks) as u32
}

/// Parts into which channels are divided, so that few tiles fill the card too.
fn splits(device: &Device, tiles: usize, channels: usize) -> usize {
    (3 * device.multiprocessors() as usize / tiles).clamp(1, channels.div_ceil(GROUP))
}

fn walk(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "forward",
        Direction::Reverse => "reverse",
    }
}

/// Checks all lengths of what every call has. Returns the batch and the sizes of a sequence.
fn check<T: Real>(params: &Params<'_>, inputs: &Inputs<'_, T>, state: usize) -> (usize, Dims) {
    let [batch, channels, len] = inputs.u.shape();
    let states = inputs.b.channels();
    check_rows("delta", &inputs.delta, batch, channels, inputs);
    check_rows("b", &inputs.b, batch, states, inputs);
    assert_eq!(params.a.len(), states * channels, "length of a");
    assert_eq!(params.d.len(), channels, "length of d");
    assert_eq!(params.delta_bias.len(), channels, "length of the bias of delta");
    assert_eq!(state, batch * states * channels, "length of the state");
    (batch, Dims { len, channels, states })
}

fn check_rows<T: Real>(what: &str, rows: &TimeRows<'_, T>, batch: usize, channels: usize, inputs: &Inputs<'_, T>) {
    assert_eq!(rows.shape(), [batch, channels, inputs.u.len()], "shape of {what}");
    assert_eq!(rows.stride(), inputs.u.stride(), "stride of {what}");
    assert!(rows.device().is_same(inputs.u.device()), "{what} is on another device");
}
