//! The embedding on a GPU: a warp has a position, and rows of the table come from cache.
//!
//! The table and its gradient are f32, the residual stream `[L, D]`, with L counting the positions of all sequences, is
//! f32 or bf16.

use crate::cuda::{CudaError, Grid, Program, Real, View, ViewMut, sums};

pub(crate) static PROGRAM: Program = Program::new(
    "embedding",
    include_str!("embedding.cu"),
    &["embedding_forward_f32", "embedding_forward_bf16", "embedding_backward_f32", "embedding_backward_bf16"],
);

/// Warps of a block.
const WARPS: usize = 8;

/// Positions whose gradients a block sums, as in the kernel.
const BLOCK_ROWS: usize = 512;

/// See the [module](super). Ids cannot be looked at from here: one outside the table has a row of NaN.
///
/// # Errors
///
/// The kernel cannot be started.
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn forward<R: Real>(table: View<'_, f32>, ids: View<'_, u8>, out: ViewMut<'_, R>) -> Result<(), CudaError> {
    let Some((width, vocabulary)) = check(table.len(), ids.len(), out.len()) else { return Ok(()) };
    let aligned = width.is_multiple_of(8) && table.is_aligned() && out.is_aligned();
    let name = format!("embedding_forward_{}", R::NAME);
    let grid = Grid::line(ids.len().div_ceil(WARPS), 32 * WARPS as u32);
    let launch = out.device().launch(&PROGRAM, &name, grid)?;
    let launch = launch.input(table).input(ids).output(out).value(ids.len() as i64).value(width as i32);
    let launch = launch.value(vocabulary as i32).value(i32::from(aligned));
    // SAFETY: the arguments are the kernel's; the output has a row of `width` for each id, and the kernel reads no row
    // outside the `vocabulary` of the table.
    unsafe { launch.run() }
}

/// See the [module](super). The sums of 512 positions are f32, and are added in f64. Ids outside the table
/// add nothing.
///
/// # Errors
///
/// There is no memory for the sums, or a kernel cannot be started.
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn backward<R: Real>(ids: View<'_, u8>, d_out: View<'_, R>, d_table: ViewMut<'_, f32>) -> Result<(), CudaError> {
    let Some((width, vocabulary)) = check(d_table.len(), ids.len(), d_out.len()) else { return Ok(()) };
    // Fewer channels a block for a large vocabulary, so that its sums take no more than 64 KiB.
    let threads = if vocabulary <= 64 { 128 } else { 64 };
    let blocks = ids.len().div_ceil(BLOCK_ROWS);
    let mut partial = d_out.device().buffer::<f32>(blocks * d_table.len())?;
    let line = Grid::line(blocks, threads as u32).shared((vocabulary * threads * size_of::<f32>()) as u32);
    let grid = Grid { blocks: [line.blocks[0], width.div_ceil(threads) as u32, 1], ..line };
    let name = format!("embedding_backward_{}", R::NAME);
    let launch = d_out.device().launch(&PROGRAM, &name, grid)?;
    let launch = launch.input(ids).input(d_out).output(partial.view_mut());
    let launch = launch.value(ids.len() as i64).value(width as i32).value(vocabulary as i32);
    // SAFETY: the arguments are the kernel's; there is a row of `width` for each id and a table of sums for each block,
    // and shared memory for a sum of each token and thread.
    unsafe { launch.run() }?;
    sums::add_columns(partial.view(), d_table.len(), 0, d_table)
}

/// Checks all lengths and returns D and V, or nothing if there are no ids.
fn check(table: usize, ids: usize, out: usize) -> Option<(usize, usize)> {
    if ids == 0 {
        assert_eq!(out, 0, "no ids for an output of {out}");
        return None;
    }
    let width = out / ids;
    assert!(width > 0 && out == ids * width, "an output of {out} is not a whole number of rows for {ids} ids");
    assert!(table > 0 && table.is_multiple_of(width), "a table of {table} is not a whole number of rows of {width}");
    let vocabulary = table / width;
    assert!(vocabulary <= 256, "a vocabulary of {vocabulary} for ids of one byte");
    assert!(i32::try_from(width).is_ok(), "rows of {width}");
    Some((width, vocabulary))
}
