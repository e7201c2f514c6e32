//! The embedding as copies of rows, shared between threads.

use rayon::prelude::*;

use crate::tasks;

/// Channels whose sums one task makes: a cache line of each row.
const CHANNELS: usize = 16;

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

/// See the [module](super).
///
/// A task walks all positions for a few channels and sums in f64.
///
/// # Panics
///
/// Panics if the lengths do not fit or an id lies outside the table.
pub fn backward(ids: &[u8], d_out: &[f32], d_table: &mut [f32]) {
    let width = super::check(d_table, ids, d_out);
    let vocabulary = d_table.len() / width;
    let sums_of = |first: usize| {
        let channels = first..(first + CHANNELS).min(width);
        let mut sums = vec![[0.0; CHANNELS]; vocabulary];
        for (row, &id) in d_out.chunks_exact(width).zip(ids) {
            for (sum, &x) in sums[usize::from(id)].iter_mut().zip(&row[channels.clone()]) {
                *sum += f64::from(x);
            }
        }
        sums
    };
    let firsts: Vec<usize> = (0..width).step_by(CHANNELS).collect();
    let sums: Vec<_> = firsts.into_par_iter().map(sums_of).collect();
    for (id, d_row) in d_table.chunks_exact_mut(width).enumerate() {
        for (d_row, sums) in d_row.chunks_mut(CHANNELS).zip(&sums) {
            for (x, sum) in d_row.iter_mut().zip(sums[id]) {
                *x = (f64::from(*x) + sum) as f32;
            }
        }
    }
}
