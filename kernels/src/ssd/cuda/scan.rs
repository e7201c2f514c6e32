//! What forward and backward begin with, and the walks over segments.

use super::{Inputs, PROGRAM_BF16, PROGRAM_F32, Params, SIDE, THREADS, TILE, of_type};
use crate::{
    Direction,
    cuda::{Argument, Buffer, CudaError, Device, Grid, Real, TimeRows},
};

/// The sizes of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dims {
    pub(super) batch: usize,
    pub(super) len: usize,
    pub(super) heads: usize,
    pub(super) head_dim: usize,
    pub(super) states: usize,
    pub(super) groups: usize,
}

impl Dims {
    pub(super) fn is_empty(self) -> bool {
        self.batch * self.len == 0
    }

    pub(super) fn chunks(self) -> usize {
        self.len.div_ceil(SIDE)
    }

    pub(super) fn segments(self) -> usize {
        self.len.div_ceil(TILE)
    }

    /// Numbers of a head's state.
    pub(super) fn state(self) -> usize {
        self.states * self.head_dim
    }
}

/// `Rows` of the source.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct RowsAt {
    pub(super) address: u64,
    pub(super) row: i64,
    pub(super) batch: i64,
}

impl<T: Real> From<TimeRows<'_, T>> for RowsAt {
    fn from(rows: TimeRows<'_, T>) -> Self {
        Self { address: rows.data().address(), row: rows.stride() as i64, batch: rows.batch_stride() as i64 }
    }
}

/// `StepsShape` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct StepsShape {
    len: i64,
    chunks: i64,
    count: i64,
    least: f32,
    largest: f32,
    heads: i32,
    reverse: i32,
}

/// `ScoresShape` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct ScoresShape {
    len: i64,
    chunks: i64,
    states: i32,
    groups: i32,
}

/// `Walk` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Walk {
    pub(super) x: RowsAt,
    pub(super) b: RowsAt,
    pub(super) c: RowsAt,
    pub(super) y: RowsAt,
    pub(super) scores: u64,
    pub(super) steps: u64,
    pub(super) d: u64,
    pub(super) states: u64,
    pub(super) borders: u64,
    pub(super) len: i64,
    pub(super) chunks: i64,
    pub(super) segments: i64,
    pub(super) first_segment: i64,
    pub(super) strip: i64,
    pub(super) heads: i32,
    pub(super) head_dim: i32,
    pub(super) state_count: i32,
    pub(super) group_heads: i32,
    pub(super) reverse: i32,
    pub(super) adjoint: i32,
    pub(super) add: i32,
    pub(super) absent: i32,
}

/// `PassShape` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct PassShape {
    chunks: i64,
    segments: i64,
    size: i64,
    count: i64,
    reverse: i32,
    adjoint: i32,
}

// SAFETY: the structs are those of the sources, without padding.
unsafe impl Argument for StepsShape {}
// SAFETY: as above.
unsafe impl Argument for ScoresShape {}
// SAFETY: as above.
unsafe impl Argument for Walk {}
// SAFETY: as above.
unsafe impl Argument for PassShape {}

/// What a walk over segments is for.
#[derive(Clone, Copy)]
pub(super) enum Pass {
    Sum,
    Borders,
    Read,
}

impl Pass {
    fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Borders => "borders",
            Self::Read => "read",
        }
    }

    /// Tiles of shared memory.
    fn tiles(self) -> usize {
        match self {
            Self::Sum | Self::Borders => 4,
            Self::Read => 5,
        }
    }
}

/// A checked call that is not empty, and what all its kernels begin with.
pub(super) struct Scan<'a, T: Real> {
    pub(super) params: &'a Params<'a>,
    pub(super) inputs: &'a Inputs<'a, T>,
    pub(super) dims: Dims,
    pub(super) reverse: i32,
    /// `[B, H, 3, chunks · SIDE]`
    pub(super) steps: Buffer<f32>,
    /// `[B, G, chunks, SIDE, SIDE]`, where they are wanted
    pub(super) scores: Option<Buffer<f32>>,
}

impl<'a, T: Real> Scan<'a, T> {
    pub(super) fn new(
        params: &'a Params<'a>,
        direction: Direction,
        inputs: &'a Inputs<'a, T>,
        dims: Dims,
        reads: bool,
    ) -> Result<Self, CudaError> {
        let reverse = i32::from(direction == Direction::Reverse);
        let steps = make_steps(params, inputs, dims, reverse)?;
        let scores = if reads { Some(make_scores(inputs, dims)?) } else { None };
        Ok(Self { params, inputs, dims, reverse, steps, scores })
    }

    pub(super) fn device(&self) -> &'a Device {
        self.inputs.x.device()
    }

    /// The walk of the scan over all segments; where it finds or leaves states is not said.
    pub(super) fn walk(&self) -> Walk {
        let Dims { len, heads, head_dim, states, groups, .. } = self.dims;
        Walk {
            x: self.inputs.x.into(),
            b: self.inputs.b.into(),
            c: self.inputs.c.into(),
            y: RowsAt::default(),
            scores: self.scores.as_ref().map_or(0, |scores| scores.view().address()),
            steps: self.steps.view().address(),
            d: self.params.d.address(),
            states: 0,
            borders: 0,
            len: len as i64,
            chunks: self.dims.chunks() as i64,
            segments: self.dims.segments() as i64,
            first_segment: 0,
            strip: self.dims.segments() as i64,
            heads: heads as i32,
            head_dim: head_dim as i32,
            state_count: states as i32,
            group_heads: (heads / groups) as i32,
            reverse: self.reverse,
            adjoint: 0,
            add: 0,
            absent: 0,
        }
    }

    /// Starts a walk over the segments that it says.
    pub(super) fn run(&self, pass: Pass, walk: Walk) -> Result<(), CudaError> {
        let Dims { batch, heads, head_dim, states, .. } = self.dims;
        // Each block keeps the states of a part of a head, in 64, 128 or 256 rows.
        let rows = states.div_ceil(SIDE).next_power_of_two();
        let name = format!("ssd_{}_{rows}_{}", pass.name(), T::NAME);
        let blocks = walk.strip as usize * heads * head_dim.div_ceil(SIDE);
        let grid = grid::<T>(blocks, batch, pass.tiles());
        let program = of_type::<T>(&PROGRAM_F32, &PROGRAM_BF16);
        // SAFETY: the struct is the kernel's only argument; all rows have the checked shapes, and buffers the lengths that the
        // source gives. A block writes its own states or its own part of y.
        unsafe { self.device().launch(program, &name, grid)?.value(walk).run() }
    }

    /// The state that enters each segment of a walk, `[B, H, segments, N, P]`, from the one at `initial`. The final one is
    /// left at `last`, which may be `initial`, or 0 where it is not wanted.
    pub(super) fn entering(&self, walk: Walk, initial: u64, last: u64) -> Result<Buffer<f32>, CudaError> {
        let dims = self.dims;
        let count = dims.batch * dims.heads * dims.state();
        let states = self.device().buffer::<f32>(count * dims.segments())?;
        self.run(Pass::Sum, Walk { states: states.view().address(), ..walk })?;
        let shape = PassShape {
            chunks: walk.chunks,
            segments: walk.segments,
            size: dims.state() as i64,
            count: count as i64,
            reverse: walk.reverse,
            adjoint: walk.adjoint,
        };
        let name = format!("ssd_pass_{}", T::NAME);
        let grid = Grid::line(count.div_ceil(THREADS), THREADS as u32);
        let launch = self.device().launch(of_type::<T>(&PROGRAM_F32, &PROGRAM_BF16), &name, grid)?;
        let launch =
            launch.value(self.steps.view().address()).value(states.view().address()).value(initial).value(last);
        // SAFETY: the arguments are the kernel's; the first and last state have `count` numbers, as checked, and the buffers are
        // as long as said above. The kernel allows that the last two are one.
        unsafe { launch.value(shape).run() }?;
        Ok(states)
    }
}

/// Blocks for each sequence, with room for tiles.
pub(super) fn grid<T: Real>(blocks: usize, batch: usize, tiles: usize) -> Grid {
    let line = Grid::line(blocks, THREADS as u32).shared((tiles * SIDE * (SIDE * size_of::<T>() + 16)) as u32);
    Grid { blocks: [line.blocks[0], 1, batch as u32], ..line }
}

fn make_steps<T: Real>(
    params: &Params<'_>,
    inputs: &Inputs<'_, T>,
    dims: Dims,
    reverse: i32,
) -> Result<Buffer<f32>, CudaError> {
    let count = dims.batch * dims.heads * dims.chunks();
    let mut steps = inputs.x.device().buffer::<f32>(count * 3 * SIDE)?;
    let (least, largest) = params.dt_limit;
    let shape = StepsShape {
        len: dims.len as i64,
        chunks: dims.chunks() as i64,
        count: count as i64,
        least: least as f32,
        largest: largest as f32,
        heads: dims.heads as i32,
        reverse,
    };
    let name = format!("ssd_steps_{}", T::NAME);
    let grid = Grid::line(count.div_ceil(THREADS / 32), THREADS as u32);
    let launch = inputs.x.device().launch(of_type::<T>(&PROGRAM_F32, &PROGRAM_BF16), &name, grid)?;
    let launch = launch.rows(inputs.dt).input(params.a).input(params.dt_bias).output(steps.view_mut());
    // SAFETY: the arguments are the kernel's, of the checked shapes; a warp writes three rows of a chunk, of which there are
    // `count`.
    unsafe { launch.value(shape).run() }?;
    Ok(steps)
}

fn make_scores<T: Real>(inputs: &Inputs<'_, T>, dims: Dims) -> Result<Buffer<f32>, CudaError> {
    let blocks = dims.groups * dims.chunks();
    let mut scores = inputs.x.device().buffer::<f32>(dims.batch * blocks * SIDE * SIDE)?;
    let shape = ScoresShape {
        len: dims.len as i64,
        chunks: dims.chunks() as i64,
        states: dims.states as i32,
        groups: dims.groups as i32,
    };
    let name = format!("ssd_scores_{}", T::NAME);
    let grid = grid::<T>(blocks, dims.batch, 2);
    let launch = inputs.x.device().launch(of_type::<T>(&PROGRAM_F32, &PROGRAM_BF16), &name, grid)?;
    let launch = launch.rows(inputs.b).rows(inputs.c).output(scores.view_mut()).value(shape);
    // SAFETY: the arguments are the kernel's, of the checked shapes; a block writes the scores of a chunk and group.
    unsafe { launch.run() }?;
    Ok(scores)
}
