//! The embedding as copies of rows, shared between threads.

use rayon::prelude::*;

use crate::tasks;

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit or an id lies outside the table.
pub fn forward(table: &[f32], ids: &[u8], out: &mut [f32]) {
    let width = super::check(table, ids, out);
    let rows = tasks::rows(width);
    out.par_chunks_mut(rows * width).zip(ids.par_chunks(rows)).for_each(|(out, ids)| {
        for (out, &id) in out.chunks_exact_mut(width).zip(ids) {
            out.copy_from_slice(&table[usize::from(id) * width..][..width]);
        }
    });
}
