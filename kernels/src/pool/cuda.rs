//! Pooling on a GPU: a thread has a channel of 64 positions, and then of a span.
//!
//! Rows are `[rows, D]` in f32, of any number of sequences; sums are f64. A span may lie in several calls: what is open of it is
//! kept in between. It is cut into pieces where the positions of its sequence are multiples of 64, so that its vector
//! has the same bits however calls cut it there.
//!
//! On the way back each piece's rows get their share of a mean's gradient; of a maximum each piece tells the first of its
//! rows that has it, and the first of these in a span gets the gradient.

use std::ops::Range;

use super::Reduction;
use crate::cuda::{CudaError, Grid, Program, View, ViewMut};

pub(crate) static PROGRAM: Program = Program::new(
    "pool",
    include_str!("pool.cu"),
    &[
        "pool_pieces_mean",
        "pool_pieces_max",
        "pool_spans_mean",
        "pool_spans_max",
        "pool_backward_mean",
        "pool_find_max",
        "pool_backward_max",
    ],
);

/// Positions whose rows a thread goes through at once.
pub const PIECE: usize = 64;

/// Channels of a block.
const CHANNELS: usize = 128;

/// What a call has of a span.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Span {
    /// Its rows.
    pub rows: Range<usize>,
    /// The place of the first of them in its sequence.
    pub position: u64,
    /// Whether it begins here, so that nothing is open of it.
    pub begins: bool,
    /// Which of the open vectors is its own. Of the spans that began before no two have the same, nor of those that are left
    /// open.
    pub open: usize,
    /// Where its vector goes, and how many positions it has, if it ends here.
    pub ends: Option<(usize, u64)>,
}

/// Pools rows: vectors of spans that end go to `out`, `[vectors, D]`, what is left of the others to `open`, `[open, D]`.
///
/// # Errors
///
/// There is no memory for what passes between the kernels, or one cannot be started.
///
/// # Panics
///
/// Panics if a span lies outside its buffers.
pub fn forward(
    reduction: Reduction,
    width: usize,
    rows: View<'_, f32>,
    spans: &[Span],
    mut open: ViewMut<'_, f64>,
    mut out: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    if spans.is_empty() {
        return Ok(());
    }
    let device = rows.device();
    let sizes = [rows.len() / width, open.len() / width, out.len() / width];
    let Jobs { pieces, spans, continued } = Jobs::of(reduction, spans, sizes);
    let count = pieces.len() / 2;
    let mut partial = device.buffer::<f64>(count * width)?;
    let (of_pieces, of_spans) = (device.upload(&pieces)?, device.upload(&spans)?);
    let name = match reduction {
        Reduction::Mean => "mean",
        Reduction::Max => "max",
    };
    let kernel = format!("pool_pieces_{name}");
    let launch = device.launch(&PROGRAM, &kernel, grid(count, width))?;
    let launch = launch.input(rows).input(of_pieces.view()).output(partial.view_mut()).value(width as i64);
    // SAFETY: the arguments are the kernel's; pieces lie inside the rows, as checked, and each has a row of sums.
    unsafe { launch.run() }?;
    let kernel = format!("pool_spans_{name}");
    // Where one span of a sequence goes on and another begins, the second may be left open where the first was.
    for part in [0..continued * Jobs::SPAN, continued * Jobs::SPAN..spans.len()] {
        let launch = device.launch(&PROGRAM, &kernel, grid(part.len() / Jobs::SPAN, width))?;
        let launch = launch.input(partial.view()).input(of_spans.view().slice(part));
        let launch = launch.output(open.reborrow()).output(out.reborrow()).value(width as i64);
        // SAFETY: the arguments are the kernel's; a span's pieces are among those above, and its rows of `open` and `out` lie
        // inside them, as checked; no two spans of a launch have a row of either in common.
        unsafe { launch.run() }?;
    }
    Ok(())
}

/// What a call has of a span on the way back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Share {
    /// Its rows.
    pub rows: Range<usize>,
    /// Which of the vectors is its own.
    pub vector: usize,
    /// How many positions it has, in all calls together.
    pub positions: u64,
}

/// Adds to rows their shares of the gradient of the mean over the positions of their spans, `d_vectors`, `[vectors, D]`. No
/// row may be in two spans.
///
/// # Errors
///
/// There is no memory for what the kernel is told, or it cannot be started.
///
/// # Panics
///
/// Panics if a span lies outside its buffers.
pub fn mean_backward(
    width: usize,
    spans: &[Share],
    d_vectors: View<'_, f64>,
    d_rows: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    if spans.is_empty() {
        return Ok(());
    }
    let device = d_vectors.device();
    let Parts { parts, .. } = Parts::of(spans, d_rows.len() / width, d_vectors.len() / width);
    let of_parts = device.upload(&parts)?;
    let launch = device.launch(&PROGRAM, "pool_backward_mean", grid(parts.len() / Parts::PART, width))?;
    let launch = launch.input(d_vectors).input(of_parts.view()).output(d_rows).value(width as i64);
    // SAFETY: the arguments are the kernel's; parts and their vectors lie inside the buffers, as checked, and no two blocks
    // write a row.
    unsafe { launch.run() }
}

/// What maxima were taken of, and what they are.
#[derive(Clone, Copy, Debug)]
pub struct Maxima<'a> {
    /// `[rows, D]`
    pub rows: View<'a, f32>,
    /// `[vectors, D]`
    pub vectors: View<'a, f32>,
}

/// Adds the gradient of each channel's maximum over a span, `[vectors, D]`, to the first row that has it, and leaves zero in
/// its place, so that rows after it get none; calls are in the order of the positions.
///
/// # Errors
///
/// There is no memory for what passes between the kernels, or one cannot be started.
///
/// # Panics
///
/// Panics if a span lies outside its buffers, or gradients are not as many as what they are of.
pub fn max_backward(
    width: usize,
    Maxima { rows, vectors }: Maxima<'_>,
    spans: &[Share],
    d_vectors: ViewMut<'_, f64>,
    d_rows: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    assert_eq!((d_rows.len(), d_vectors.len()), (rows.len(), vectors.len()), "lengths of the gradients");
    if spans.is_empty() {
        return Ok(());
    }
    let device = rows.device();
    let Parts { parts, owners } = Parts::of(spans, rows.len() / width, vectors.len() / width);
    let count = parts.len() / Parts::PART;
    let mut found = device.buffer::<i64>(count * width)?;
    let (of_parts, of_owners) = (device.upload(&parts)?, device.upload(&owners)?);
    let launch = device.launch(&PROGRAM, "pool_find_max", grid(count, width))?;
    let launch = launch.input(rows).input(vectors).input(of_parts.view()).output(found.view_mut()).value(width as i64);
    // SAFETY: the arguments are the kernel's; parts and their vectors lie inside the buffers, as checked, and each part has
    // a row of what is found.
    unsafe { launch.run() }?;
    let launch = device.launch(&PROGRAM, "pool_backward_max", grid(owners.len() / Parts::OWNER, width))?;
    let launch = launch.input(found.view()).input(of_owners.view()).output(d_vectors).output(d_rows);
    // SAFETY: the arguments are the kernel's; a span's parts are among those above, whose rows and vectors lie inside the
    // buffers, and no two spans have a vector together.
    unsafe { launch.value(width as i64).run() }
}

/// A block for each job and each [`CHANNELS`] channels.
fn grid(jobs: usize, width: usize) -> Grid {
    let line = Grid::line(jobs, CHANNELS as u32);
    Grid { blocks: [line.blocks[0], width.div_ceil(CHANNELS) as u32, 1], ..line }
}

/// What the kernels of the way back are told, as they read it.
struct Parts {
    /// [`Self::PART`] numbers of each piece of a span.
    parts: Vec<i64>,
    /// [`Self::OWNER`] numbers of each span.
    owners: Vec<i64>,
}

impl Parts {
    const PART: usize = 4;
    const OWNER: usize = 3;

    /// Cuts spans into pieces. There are so many rows and vectors.
    fn of(spans: &[Share], rows: usize, vectors: usize) -> Self {
        let mut cut = Self { parts: Vec::new(), owners: Vec::with_capacity(spans.len() * Self::OWNER) };
        for Share { rows: of_span, vector, positions } in spans {
            assert!(of_span.end <= rows, "rows {of_span:?} of {rows}");
            assert!(*vector < vectors, "vector {vector} of {vectors}");
            let first = cut.parts.len() / Self::PART;
            for start in of_span.clone().step_by(PIECE) {
                let end = of_span.end.min(start + PIECE);
                cut.parts.extend([start as i64, end as i64, *vector as i64, *positions as i64]);
            }
            let end = cut.parts.len() / Self::PART;
            cut.owners.extend([first as i64, end as i64, *vector as i64]);
        }
        cut
    }
}

/// What the kernels are told, as they read it.
struct Jobs {
    /// First row and end of each piece.
    pieces: Vec<i64>,
    /// [`Self::SPAN`] numbers of each span, first of those that began before.
    spans: Vec<i64>,
    /// How many these are.
    continued: usize,
}

impl Jobs {
    const SPAN: usize = 6;

    /// Cuts spans into pieces. `sizes` are the numbers of rows, of open vectors and of vectors.
    fn of(reduction: Reduction, spans: &[Span], [rows, open, out]: [usize; 3]) -> Self {
        let (begun, continued): (Vec<&Span>, Vec<&Span>) = spans.iter().partition(|span| span.begins);
        let numbers = Vec::with_capacity(spans.len() * Self::SPAN);
        let mut jobs = Self { pieces: Vec::new(), spans: numbers, continued: continued.len() };
        for span in continued.into_iter().chain(begun) {
            assert!(span.rows.end <= rows, "rows {:?} of {rows}", span.rows);
            let first = jobs.pieces.len() / 2;
            let mut row = span.rows.start;
            let mut position = span.position;
            while row < span.rows.end {
                let end = span.rows.end.min(row + PIECE - (position % PIECE as u64) as usize);
                jobs.pieces.extend([row as i64, end as i64]);
                position += (end - row) as u64;
                row = end;
            }
            let (to, divisor) = match span.ends {
                None => (-1, 1),
                Some((to, positions)) => {
                    assert!(to < out, "vector {to} of {out}");
                    (to as i64, if reduction == Reduction::Mean { positions as i64 } else { 1 })
                }
            };
            let is_open = !span.begins || span.ends.is_none();
            assert!(!is_open || span.open < open, "open vector {} of {open}", span.open);
            let end = jobs.pieces.len() / 2;
            jobs.spans.extend([first as i64, end as i64, i64::from(span.begins), span.open as i64, to, divisor]);
        }
        jobs
    }
}
