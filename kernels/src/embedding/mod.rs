//! Token embedding: `out[t] = table[ids[t]]`.
//!
//! | buffer | shape |
//! |---|---|
//! | `table` | `[V, D]` |
//! | `ids` | `[L]`, each less than V |
//! | `out` | `[L, D]` |
//!
//! D is `out.len() / ids.len()`. Values are copied, so both implementations give the table's own bits.
//!
//! On a GPU the buffers are the same, and `out` may be bf16.
//!
//! A reverse-complement equivariant model embeds the other strand with the table of [`complement_table`]: with
//! channels in that strand's own order, its embedding at position t is `table[comp[ids[t]]]` (Schiff et al. 2024, §4).
//!
//! # Backward
//!
//! A row of the table is the output at every position that has its token:
//!
//! ```text
//! d_table[v] += Σ_t [ids[t] = v] · d_out[t]
//! ```
//!
//! Sums are over the positions from the first to the last, and nothing is saved but `ids`. The other strand of an
//! equivariant model has the gradient of its complement table, zeros at first; [`add_complement`] gives it back to the
//! table's own rows.

use crate::backend::Scalar;

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod reference;
#[cfg(test)]
mod tests;

/// The table whose row `v` is row `complement_map[v]` of `table`, `[V, D]` with D = `width`.
///
/// # Panics
///
/// Panics if the table is not a whole number of rows, or the map does not send each of its rows to one of them.
pub fn complement_table<S: Scalar>(table: &[S], width: usize, complement_map: &[u8]) -> Vec<S> {
    assert_eq!(
        table.len(),
        complement_map.len() * width,
        "a table of {} tokens of width {width}",
        complement_map.len()
    );
    let mut out = Vec::with_capacity(table.len());
    for (token, &complement) in complement_map.iter().enumerate() {
        let complement = usize::from(complement);
        assert!(
            complement < complement_map.len(),
            "the complement {complement} of token {token} lies outside a vocabulary of {}",
            complement_map.len()
        );
        out.extend_from_slice(&table[complement * width..][..width]);
    }
    out
}

/// Adds the gradient of a [`complement_table`] to that of its table: row `v` to row `complement_map[v]`.
///
/// # Panics
///
/// Panics if the gradients are not a row for each token of the map, or the map does not send each to one of them.
pub fn add_complement<S: Scalar>(d_complement: &[S], width: usize, complement_map: &[u8], d_table: &mut [S]) {
    assert_eq!(d_complement.len(), complement_map.len() * width, "length of the complement table's gradient");
    assert_eq!(d_table.len(), d_complement.len(), "length of the table's gradient");
    for (row, &complement) in d_complement.chunks_exact(width).zip(complement_map) {
        let to = &mut d_table[usize::from(complement) * width..][..width];
        for (to, &x) in to.iter_mut().zip(row) {
            *to += x;
        }
    }
}

/// Checks all lengths and ids, and returns D.
fn check<S>(table: &[S], ids: &[u8], out: &[S]) -> usize {
    if ids.is_empty() {
        assert!(out.is_empty(), "no ids for an output of {}", out.len());
        return 1;
    }
    let width = out.len() / ids.len();
    assert!(
        width > 0 && out.len() == ids.len() * width,
        "an output of {} is not a whole number of rows for {} ids",
        out.len(),
        ids.len()
    );
    assert!(table.len().is_multiple_of(width), "a table of {} is not a whole number of rows of {width}", table.len());
    let vocabulary = table.len() / width;
    if let Some(t) = ids.iter().position(|&id| usize::from(id) >= vocabulary) {
        panic!("id {} at position {t} lies outside a vocabulary of {vocabulary}", ids[t]);
    }
    width
}
