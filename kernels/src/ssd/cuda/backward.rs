//! The gradients: what lies between chunks is made strip after strip, and then all chunks of a strip are alone.

use super::{
    CHUNKS, HEADERS, Inputs, Params, SIDE, check, check_rows, of_type,
    scan::{Dims, Pass, RowsAt, Scan, Walk, grid},
};
use crate::{
    Direction, Write,
    cuda::{Argument, Buffer, CudaError, Program, Real, TimeRows, TimeRowsMut, View, ViewMut, sums},
};

/// Bytes of the states and adjoints of a strip, where a segment has not more.
pub const STRIP_BYTES: usize = 256 << 20;

macro_rules! program {
    ($name:literal, $element:literal) => {
        Program {
            headers: HEADERS,
            defines: &[("NAME", $name), ("ELEMENT", $element)],
            ..Program::new(
                concat!("ssd_backward_", $name),
                include_str!("../ssd_backward.cu"),
                &[concat!("ssd_heads_", $name), concat!("ssd_rows_", $name)],
            )
        }
    };
}

pub(crate) static BACKWARD_F32: Program = program!("f32", "float");
pub(crate) static BACKWARD_BF16: Program = program!("bf16", "bf16");

/// Gradients of [`Inputs`], and whether they are set or added to.
#[derive(Debug)]
pub struct GradInputs<'a, T: Real> {
    /// Of x, `[B, H · P, L]`.
    pub d_x: (TimeRowsMut<'a, T>, Write),
    /// Of Δ before bias and softplus, `[B, H, L]`.
    pub d_dt: (TimeRowsMut<'a, T>, Write),
    /// Of B, `[B, G · N, L]`.
    pub d_b: (TimeRowsMut<'a, T>, Write),
    /// Of C, `[B, G · N, L]`.
    pub d_c: (TimeRowsMut<'a, T>, Write),
}

/// Gradients of [`Params`]: always added to.
#[derive(Debug)]
pub struct GradParams<'a> {
    /// Of A itself, `[H]`.
    pub d_a: ViewMut<'a, f32>,
    /// Of D, `[H]`.
    pub d_d: ViewMut<'a, f32>,
    /// Of the bias of Δ, `[H]`.
    pub d_dt_bias: ViewMut<'a, f32>,
}

/// `Gradient` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct Gradient {
    x: RowsAt,
    d_y: RowsAt,
    b: RowsAt,
    c: RowsAt,
    dt: RowsAt,
    d_x: RowsAt,
    d_dt: RowsAt,
    d_b: RowsAt,
    d_c: RowsAt,
    scores: u64,
    steps: u64,
    a: u64,
    d: u64,
    bias: u64,
    states: u64,
    adjoints: u64,
    sums: u64,
    len: i64,
    chunks: i64,
    strip: i64,
    first_chunk: i64,
    heads: i32,
    head_dim: i32,
    state_count: i32,
    group_heads: i32,
    reverse: i32,
    add_x: i32,
    add_dt: i32,
    add_b: i32,
    add_c: i32,
    least: f32,
    largest: f32,
    absent: i32,
}

// SAFETY: the struct is the one of the source, without padding.
unsafe impl Argument for Gradient {}

/// See the [module](crate::ssd#backward). `state` is the initial state of the forward call; `d_y` is `None` where that had no
/// output; `d_state` is the gradient of the final state in, that of the initial one out.
///
/// # Errors
///
/// There is no memory for what lies between the kernels, or one cannot be started.
///
/// # Panics
///
/// Panics if the shapes do not fit, P is not a multiple of 8, or N is more than [`MAX_STATES`](super::MAX_STATES).
#[allow(clippy::too_many_arguments, reason = "those of forward, and a gradient for each")]
pub fn backward<T: Real>(
    params: &Params<'_>,
    direction: Direction,
    inputs: &Inputs<'_, T>,
    state: View<'_, f32>,
    d_y: Option<TimeRows<'_, T>>,
    d_state: ViewMut<'_, f32>,
    mut d_inputs: GradInputs<'_, T>,
    d_params: GradParams<'_>,
) -> Result<(), CudaError> {
    let dims = check(params, inputs, state.len());
    assert_eq!(d_state.len(), state.len(), "length of the gradient of the state");
    check_gradients(inputs, d_y, &d_inputs, &d_params, dims.heads);
    if dims.is_empty() {
        return Ok(());
    }
    let scan = Scan::new(params, direction, inputs, dims, true)?;
    let forth = scan.walk();
    // What is absent is never read, but has to have an address.
    let (d_y, absent) = (d_y.map_or(forth.x, RowsAt::from), i32::from(d_y.is_none()));
    let back = Walk { x: d_y, b: forth.c, adjoint: 1, absent, ..forth };
    let d_state = d_state.as_view().address();
    let states = scan.entering(forth, state.address(), 0)?;
    let adjoints = scan.entering(back, d_state, d_state)?;
    let partial = scan.device().buffer::<f32>(dims.batch * dims.chunks() * 3 * dims.heads)?;

    let gradient = gradient_of(&scan, d_y, &mut d_inputs);
    let gradient = Gradient { absent, sums: partial.view().address(), ..gradient };
    let mut strips = Strips::new(&scan, states, adjoints)?;
    for first in (0..dims.segments()).step_by(strips.segments) {
        strips.fill(&scan, [forth, back], first)?;
        strips.differentiate(&scan, gradient, first)?;
    }
    let width = 3 * dims.heads;
    sums::add_columns(partial.view(), width, 0, d_params.d_a)?;
    sums::add_columns(partial.view(), width, dims.heads, d_params.d_d)?;
    sums::add_columns(partial.view(), width, 2 * dims.heads, d_params.d_dt_bias)
}

/// The states and adjoints at the borders of chunks, for some segments at a time.
struct Strips<T: Real> {
    /// Of a strip; the last one may have fewer.
    segments: usize,
    /// What enters each segment, `[B, H, segments, N, P]`: of the scan, and of its adjoint.
    entering: [Buffer<f32>; 2],
    /// `[B, H, chunks of the strip, N, P]`
    borders: [Buffer<T>; 2],
}

impl<T: Real> Strips<T> {
    fn new(scan: &Scan<'_, T>, states: Buffer<f32>, adjoints: Buffer<f32>) -> Result<Self, CudaError> {
        let dims = scan.dims;
        let of_segment = dims.batch * dims.heads * CHUNKS * dims.state();
        let segments = (STRIP_BYTES / (2 * of_segment * size_of::<T>())).clamp(1, dims.segments());
        let buffer = || scan.device().buffer::<T>(segments * of_segment);
        Ok(Self { segments, entering: [states, adjoints], borders: [buffer()?, buffer()?] })
    }

    /// Segments of the strip that begins with this one.
    fn count(&self, dims: Dims, first: usize) -> usize {
        self.segments.min(dims.segments() - first)
    }

    /// Makes the states and the adjoints of the strip that begins with a segment.
    fn fill(&mut self, scan: &Scan<'_, T>, walks: [Walk; 2], first: usize) -> Result<(), CudaError> {
        let strip = self.count(scan.dims, first) as i64;
        for ((walk, entering), borders) in walks.into_iter().zip(&self.entering).zip(&self.borders) {
            let (states, borders) = (entering.view().address(), borders.view().address());
            scan.run(Pass::Borders, Walk { states, borders, first_segment: first as i64, strip, ..walk })?;
        }
        Ok(())
    }

    /// Writes the gradients of the strip's positions.
    fn differentiate(&self, scan: &Scan<'_, T>, gradient: Gradient, first: usize) -> Result<(), CudaError> {
        let Dims { batch, heads, groups, states, .. } = scan.dims;
        let (strip, first_chunk) = (self.count(scan.dims, first) * CHUNKS, first * CHUNKS);
        let chunks = strip.min(scan.dims.chunks() - first_chunk);
        let [states_at, adjoints] = [0, 1].map(|i: usize| self.borders[i].view().address());
        let gradient =
            Gradient { states: states_at, adjoints, strip: strip as i64, first_chunk: first_chunk as i64, ..gradient };
        let program = of_type::<T>(&BACKWARD_F32, &BACKWARD_BF16);
        let (name, blocks) = (format!("ssd_heads_{}", T::NAME), grid::<T>(chunks * heads, batch, 5));
        // SAFETY: the struct is the kernel's only argument; all rows have the checked shapes, and buffers the lengths that the
        // source gives. A block writes the rows of a head in a chunk, and the sums of both.
        unsafe { scan.device().launch(program, &name, blocks)?.value(gradient).run() }?;
        let slices = states.div_ceil(SIDE);
        let (name, blocks) = (format!("ssd_rows_{}", T::NAME), grid::<T>(chunks * groups * slices, batch, 4));
        // SAFETY: as above; a block writes the rows of some states of a group in a chunk.
        unsafe { scan.device().launch(program, &name, blocks)?.value(gradient).run() }
    }
}

/// What all strips are given; the rest is zero.
fn gradient_of<T: Real>(scan: &Scan<'_, T>, d_y: RowsAt, d_inputs: &mut GradInputs<'_, T>) -> Gradient {
    let (params, walk) = (scan.params, scan.walk());
    let GradInputs { d_x, d_dt, d_b, d_c } = d_inputs;
    let [(d_x, add_x), (d_dt, add_dt), (d_b, add_b), (d_c, add_c)] = [d_x, d_dt, d_b, d_c].map(|(rows, write)| {
        let address = rows.data().address();
        (RowsAt { address, ..rows.as_rows().into() }, i32::from(*write == Write::Add))
    });
    Gradient {
        x: walk.x,
        d_y,
        b: walk.b,
        c: walk.c,
        dt: scan.inputs.dt.into(),
        d_x,
        d_dt,
        d_b,
        d_c,
        scores: walk.scores,
        steps: walk.steps,
        a: params.a.address(),
        d: walk.d,
        bias: params.dt_bias.address(),
        states: 0,
        adjoints: 0,
        sums: 0,
        len: walk.len,
        chunks: walk.chunks,
        strip: 0,
        first_chunk: 0,
        heads: walk.heads,
        head_dim: walk.head_dim,
        state_count: walk.state_count,
        group_heads: walk.group_heads,
        reverse: walk.reverse,
        add_x,
        add_dt,
        add_b,
        add_c,
        least: params.dt_limit.0 as f32,
        largest: params.dt_limit.1 as f32,
        absent: 0,
    }
}

fn check_gradients<T: Real>(
    inputs: &Inputs<'_, T>,
    d_y: Option<TimeRows<'_, T>>,
    d_inputs: &GradInputs<'_, T>,
    d_params: &GradParams<'_>,
    heads: usize,
) {
    if let Some(d_y) = d_y {
        check_rows("d_y", &d_y, inputs.x.shape(), inputs);
    }
    let GradInputs { d_x, d_dt, d_b, d_c } = d_inputs;
    check_rows("d_x", &d_x.0.as_rows(), inputs.x.shape(), inputs);
    check_rows("d_dt", &d_dt.0.as_rows(), inputs.dt.shape(), inputs);
    check_rows("d_b", &d_b.0.as_rows(), inputs.b.shape(), inputs);
    check_rows("d_c", &d_c.0.as_rows(), inputs.c.shape(), inputs);
    let lengths = [d_params.d_a.len(), d_params.d_d.len(), d_params.d_dt_bias.len()];
    assert_eq!(lengths, [heads; 3], "lengths of d_a, d_d and d_dt_bias");
}
