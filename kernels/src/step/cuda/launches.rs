//! The kernels of a step.

use super::{BASES, Choice, Layer, Mixer, Model};
use crate::{
    cuda::{Argument, CudaError, Device, Grid, Launch, Program, Real, View, ViewMut},
    gated_norm, norm, ssd,
};

macro_rules! kernels {
    ($($name:literal)+) => {
        &[
            "step_choose",
            "step_duality",
            $(
                concat!("step_project_", $name, "_1x1"),
                concat!("step_project_", $name, "_1x8"),
                concat!("step_project_", $name, "_4x8"),
                concat!("step_multiply_", $name, "_1x1"),
                concat!("step_multiply_", $name, "_1x8"),
                concat!("step_multiply_", $name, "_4x8"),
                concat!("step_multiply_gated_", $name, "_1x1"),
                concat!("step_multiply_gated_", $name, "_1x8"),
                concat!("step_multiply_gated_", $name, "_4x8"),
                concat!("step_scan_", $name),
                concat!("step_head_", $name),
            )+
        ]
    };
}

pub(crate) static PROGRAM: Program = Program {
    headers: &[("scan.cuh", include_str!("../../selective_scan/scan.cuh"))],
    ..Program::new("step", include_str!("../step.cu"), kernels!("f32" "bf16"))
};

/// Warps of a block, channels that one of its scans has, and numbers that are read at once, as in the kernels.
const WARPS: usize = 4;
const CHANNELS: usize = 32;
const VECTOR: usize = 4;

/// Sequences from which on a block has several.
const SEVERAL: usize = 5;

/// `Norm` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct Norm {
    epsilon: f32,
    is_layer: i32,
}

/// `Project` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct Project {
    norm: Norm,
    sequences: i32,
    width: i32,
    rows: i32,
    first: i32,
    channels: i32,
    kernel: i32,
    aligned: i32,
}

/// `Multiply` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct Multiply {
    sequences: i32,
    width: i32,
    stride: i32,
    rows: i32,
    adds: i32,
    aligned: i32,
}

/// `Gate` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    stride: i32,
    group: i32,
    epsilon: f32,
}

/// `Scan` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct Scan {
    channels: i32,
    states: i32,
    rank: i32,
    stride: i32,
    gate: i32,
}

/// `Duality` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct Duality {
    least: f32,
    largest: f32,
    head_dim: i32,
    channels: i32,
    states: i32,
    group: i32,
    shared: i32,
    stride: i32,
    main: i32,
    steps: i32,
}

/// `Head` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct Head {
    norm: Norm,
    width: i32,
    aligned: i32,
    bases: [i32; BASES],
}

/// `Choose` of the source.
#[derive(Clone, Copy)]
#[repr(C)]
struct Choose {
    temperature: f64,
    top_k: i32,
    sequences: i32,
    width: i32,
    is_aligned: i32,
    bases: [i32; BASES],
}

// SAFETY: the structs are the source's.
unsafe impl Argument for Project {}
// SAFETY: as above.
unsafe impl Argument for Multiply {}
// SAFETY: as above.
unsafe impl Argument for Gate {}
// SAFETY: as above.
unsafe impl Argument for Scan {}
// SAFETY: as above.
unsafe impl Argument for Duality {}
// SAFETY: as above.
unsafe impl Argument for Head {}
// SAFETY: as above.
unsafe impl Argument for Choose {}

impl Norm {
    fn of(params: &norm::cuda::Params<'_>) -> Self {
        Self { epsilon: params.epsilon as f32, is_layer: i32::from(params.kind == norm::Kind::Layer) }
    }
}

/// Rows of a matrix times rows of sequences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product<'a, T: Real> {
    /// `[rows, width]`
    pub(super) weight: View<'a, T>,
    pub(super) bias: Option<View<'a, f32>>,
    pub(super) width: usize,
    /// From the inputs of one sequence to those of the next.
    pub(super) stride: usize,
    pub(super) sequences: usize,
    /// Whether it is added to what is there.
    pub(super) adds: bool,
}

impl<T: Real> Product<'_, T> {
    fn rows(&self) -> usize {
        self.weight.len() / self.width
    }

    fn sizes(&self, aligned: bool) -> Multiply {
        Multiply {
            sequences: self.sequences as i32,
            width: self.width as i32,
            stride: self.stride as i32,
            rows: self.rows() as i32,
            adds: i32::from(self.adds),
            aligned: i32::from(aligned),
        }
    }
}

/// Lets a kernel of few sequences begin before the one before it has ended. Of many, blocks that wait take the place of those
/// that they wait for: 32 sequences took a quarter longer so.
fn overlapped(launch: Launch<'_>, sequences: usize) -> Launch<'_> {
    if sequences < SEVERAL { launch.overlapped() } else { launch }
}

/// The kernel of a product, by the rows of a warp and the sequences of a block, and its grid. Weights are read once for all
/// sequences of a block, inputs for all rows of a warp; but few rows and sequences are spread over more blocks.
fn tiles(device: &Device, rows: usize, width: usize, sequences: usize) -> (&'static str, Grid) {
    let bytes = |sequences: usize| (sequences * width.next_multiple_of(VECTOR) * size_of::<f32>()) as u32;
    let grid = |rows_of_warp: usize, tile: usize| {
        let line = Grid::line(rows.div_ceil(WARPS * rows_of_warp), 32 * WARPS as u32).shared(bytes(tile));
        Grid { blocks: [line.blocks[0], sequences.div_ceil(tile) as u32, 1], ..line }
    };
    if sequences < SEVERAL || bytes(8) > device.shared_bytes() {
        return ("1x1", grid(1, 1));
    }
    let large = grid(4, 8);
    match large.blocks[0] * large.blocks[1] >= device.multiprocessors() {
        true => ("4x8", large),
        false => ("1x8", grid(1, 8)),
    }
}

/// Whether rows of a width may be read four numbers at a time.
fn rows_are_aligned(width: usize) -> bool {
    width.is_multiple_of(VECTOR)
}

/// Norm, input projection and convolution: `[S, P]` of the residual stream, `[S, D]`.
pub(super) fn project<T: Real>(
    layer: &Layer<'_, T>,
    sequences: usize,
    stream: View<'_, f32>,
    state: ViewMut<'_, f32>,
    projected: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    let (width, rows, (channels, kernel)) = (layer.width(), layer.rows(), layer.convolution());
    let Layer { norm, convolution, .. } = layer;
    let first = match &layer.mixer {
        Mixer::Mamba { .. } => 0,
        Mixer::Mamba2 { .. } => layer.inner(),
    };
    assert_eq!(stream.len(), sequences * width, "length of the stream");
    assert_eq!(projected.len(), sequences * rows, "length of the projection");
    assert_eq!(state.len(), sequences * channels * (kernel - 1), "length of the convolution's state");
    let aligned = rows_are_aligned(width)
        && stream.is_aligned()
        && layer.input.is_aligned()
        && norm.weight.is_aligned()
        && norm.bias.is_none_or(|bias| bias.is_aligned());
    let sizes = Project {
        norm: Norm::of(norm),
        sequences: sequences as i32,
        width: width as i32,
        rows: rows as i32,
        first: first as i32,
        channels: channels as i32,
        kernel: kernel as i32,
        aligned: i32::from(aligned),
    };
    let device = projected.device();
    let (tile, grid) = tiles(device, rows, width, sequences);
    let name = format!("step_project_{}_{tile}", T::NAME);
    let launch = device.launch(&PROGRAM, &name, grid)?;
    let launch = launch.input(stream).input(norm.weight).optional_input(norm.bias).input(layer.input);
    let launch = launch.optional_input(layer.input_bias).input(convolution.weight).optional_input(convolution.bias);
    let launch = launch.output(state).output(projected).value(sizes);
    // SAFETY: the arguments are the kernel's; the layer's lengths were checked when the stepper was made, those of the
    // sequences above; the shared memory has a padded row for each sequence of a block.
    unsafe { overlapped(launch, sequences).run() }
}

/// A product of rows `[S, stride]`, of which the first `width` channels count, as `[S, rows]`.
pub(super) fn multiply<T: Real>(
    product: &Product<'_, T>,
    x: View<'_, f32>,
    out: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    let &Product { width, stride, sequences, .. } = product;
    check_product(product, x, &out);
    let aligned = rows_are_aligned(width) && rows_are_aligned(stride) && x.is_aligned() && product.weight.is_aligned();
    let device = out.device();
    let (tile, grid) = tiles(device, product.rows(), width, sequences);
    let name = format!("step_multiply_{}_{tile}", T::NAME);
    let launch = device.launch(&PROGRAM, &name, grid)?.input(x).input(product.weight).optional_input(product.bias);
    let launch = launch.output(out).value(product.sizes(aligned));
    // SAFETY: the arguments are the kernel's, with the lengths that were checked; the shared memory has a padded row for each
    // sequence of a block.
    unsafe { overlapped(launch, sequences).run() }
}

/// A product of y, `[S, I]`, gated with the first channels of z, rows that lie `stride` apart, and normed.
pub(super) fn multiply_gated<T: Real>(
    product: &Product<'_, T>,
    norm: &gated_norm::cuda::Params<'_>,
    y: View<'_, f32>,
    (z, stride): (View<'_, f32>, usize),
    out: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    check_product(product, y, &out);
    assert_eq!(z.len(), product.sequences * stride, "length of the gate");
    assert!(stride >= product.width && norm.weight.len() == product.width, "width of the gate");
    let gate = Gate { stride: stride as i32, group: norm.group as i32, epsilon: norm.epsilon as f32 };
    let aligned = rows_are_aligned(product.width) && product.weight.is_aligned();
    let device = out.device();
    let (tile, grid) = tiles(device, product.rows(), product.width, product.sequences);
    let name = format!("step_multiply_gated_{}_{tile}", T::NAME);
    let launch = device.launch(&PROGRAM, &name, grid)?;
    let launch = launch.input(y).input(z).input(norm.weight).input(product.weight).optional_input(product.bias);
    let launch = launch.output(out).value(gate).value(product.sizes(aligned));
    // SAFETY: as in `multiply`; a gate's row is as wide as that of y, which is a whole number of groups.
    unsafe { overlapped(launch, product.sequences).run() }
}

fn check_product<T: Real>(product: &Product<'_, T>, x: View<'_, f32>, out: &ViewMut<'_, f32>) {
    let &Product { width, stride, sequences, .. } = product;
    assert!(stride >= width && x.len() == sequences * stride, "rows of a product");
    assert_eq!(out.len(), sequences * product.rows(), "length of a product");
    assert!(product.bias.is_none_or(|bias| bias.len() == product.rows()), "length of a product's bias");
}

/// Step sizes, state and gate of Mamba: y, `[S, I]`.
pub(super) fn scan<T: Real>(
    layer: &Layer<'_, T>,
    sequences: usize,
    projected: View<'_, f32>,
    selected: View<'_, f32>,
    state: ViewMut<'_, f32>,
    y: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    let Mixer::Mamba { delta, scan, .. } = &layer.mixer else { unreachable!("a layer of Mamba") };
    let (channels, stride) = (layer.inner(), layer.rows());
    let (states, rank) = (scan.a.len() / channels, delta.len() / channels);
    assert_eq!(selected.len(), sequences * (rank + 2 * states), "length of the selection");
    check_scan((projected.len(), state.len(), y.len()), sequences, (stride, channels * states, channels));
    let sizes = Scan {
        channels: channels as i32,
        states: states as i32,
        rank: rank as i32,
        stride: stride as i32,
        gate: channels as i32,
    };
    let name = format!("step_scan_{}", T::NAME);
    let launch = y.device().launch(&PROGRAM, &name, scan_grid(channels, sequences))?;
    let launch = launch.input(projected).input(selected).input(*delta).input(scan.a).input(scan.d);
    let launch = launch.input(scan.delta_bias).output(state).output(y).value(sizes);
    // SAFETY: the arguments are the kernel's; the layer's lengths were checked when the stepper was made, those of the
    // sequences above.
    unsafe { overlapped(launch, sequences).run() }
}

/// Step sizes and state of Mamba-2: y before the gate, `[S, I]`.
pub(super) fn duality<T: Real>(
    layer: &Layer<'_, T>,
    params: &ssd::cuda::Params<'_>,
    sequences: usize,
    projected: View<'_, f32>,
    state: ViewMut<'_, f32>,
    y: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    let (channels, stride, states) = (layer.inner(), layer.rows(), params.states);
    check_scan((projected.len(), state.len(), y.len()), sequences, (stride, channels * states, channels));
    let sizes = Duality {
        least: params.dt_limit.0 as f32,
        largest: params.dt_limit.1 as f32,
        head_dim: params.head_dim as i32,
        channels: channels as i32,
        states: states as i32,
        group: (channels / params.groups) as i32,
        shared: (params.groups * states) as i32,
        stride: stride as i32,
        main: channels as i32,
        steps: (stride - params.heads) as i32,
    };
    let launch = y.device().launch(&PROGRAM, "step_duality", scan_grid(channels, sequences))?;
    let launch = launch.input(projected).input(params.a).input(params.d).input(params.dt_bias);
    let launch = launch.output(state).output(y).value(sizes);
    // SAFETY: as in `scan`.
    unsafe { overlapped(launch, sequences).run() }
}

/// A block has 32 channels of a sequence.
fn scan_grid(channels: usize, sequences: usize) -> Grid {
    let blocks = Grid::line(channels.div_ceil(CHANNELS), 32 * WARPS as u32);
    Grid { blocks: [blocks.blocks[0], sequences as u32, 1], ..blocks }
}

/// Checks the lengths of what is projected, the state and y against those of a sequence.
fn check_scan(found: (usize, usize, usize), sequences: usize, of_one: (usize, usize, usize)) {
    assert_eq!(found.0, sequences * of_one.0, "length of the projection");
    assert_eq!(found.1, sequences * of_one.1, "length of the scan's state");
    assert_eq!(found.2, sequences * of_one.2, "length of y");
}

/// Final norm and head: logits of the bases, `[S, 4]`. Counts the step.
pub(super) fn head<T: Real>(
    model: &Model<'_, T>,
    stream: View<'_, f32>,
    logits: ViewMut<'_, f32>,
    step: ViewMut<'_, u32>,
) -> Result<(), CudaError> {
    let (width, norm) = (model.width(), &model.norm);
    let sequences = stream.len() / width;
    assert_eq!((stream.len(), logits.len()), (sequences * width, sequences * BASES), "lengths of stream and logits");
    assert_eq!(step.len(), 1, "one step");
    let aligned = rows_are_aligned(width)
        && stream.is_aligned()
        && model.head.is_aligned()
        && norm.weight.is_aligned()
        && norm.bias.is_none_or(|bias| bias.is_aligned());
    let bases = model.bases.map(i32::from);
    let sizes = Head { norm: Norm::of(norm), width: width as i32, aligned: i32::from(aligned), bases };
    let name = format!("step_head_{}", T::NAME);
    let shared = (width.next_multiple_of(VECTOR) * size_of::<f32>()) as u32;
    let device = logits.device();
    let launch = device.launch(&PROGRAM, &name, Grid::line(sequences, 32 * WARPS as u32).shared(shared))?;
    let launch = launch.input(stream).input(norm.weight).optional_input(norm.bias).input(model.head);
    let launch = launch.output(logits).output(step).value(sizes);
    // SAFETY: the arguments are the kernel's, with the lengths that were checked here and when the stepper was made; the
    // shared memory has a padded row.
    unsafe { overlapped(launch, sequences).run() }
}

/// Chooses a base of each sequence by its logits and the numbers of this step, and begins the residual stream with it.
pub(super) fn choose<T: Real>(
    model: &Model<'_, T>,
    choice: Choice,
    logits: View<'_, f32>,
    (units, step, chosen): (View<'_, f64>, View<'_, u32>, ViewMut<'_, u8>),
    stream: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    let width = model.width();
    let sequences = stream.len() / width;
    assert_eq!(logits.len(), sequences * BASES, "length of the logits");
    assert_eq!(units.len(), chosen.len(), "a number for each base");
    assert_eq!(step.len(), 1, "one step");
    let sizes = Choose {
        temperature: choice.temperature,
        top_k: choice.top_k as i32,
        sequences: sequences as i32,
        width: width as i32,
        is_aligned: i32::from(rows_are_aligned(width) && model.embedding.is_aligned()),
        bases: model.bases.map(i32::from),
    };
    let grid = Grid::line(sequences.div_ceil(WARPS), 32 * WARPS as u32);
    let launch = stream.device().launch(&PROGRAM, "step_choose", grid)?;
    let launch = launch.input(logits).input(units).input(step).input(model.embedding).output(stream);
    let launch = launch.output(chosen).value(sizes);
    // SAFETY: the arguments are the kernel's, with the lengths that were checked; a step is one of the block's, as `begin` starts
    // no more than there are numbers for; ids of bases are in the table.
    unsafe { overlapped(launch, sequences).run() }
}
