//! The embedding as plain copies.

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit or an id lies outside the table.
pub fn forward(table: &[f64], ids: &[u8], out: &mut [f64]) {
    let width = super::check(table, ids, out);
    for (t, &id) in ids.iter().enumerate() {
        for d in 0..width {
            out[t * width + d] = table[usize::from(id) * width + d];
        }
    }
}

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit or an id lies outside the table.
pub fn backward(ids: &[u8], d_out: &[f64], d_table: &mut [f64]) {
    let width = super::check(d_table, ids, d_out);
    for (t, &id) in ids.iter().enumerate() {
        for d in 0..width {
            d_table[usize::from(id) * width + d] += d_out[t * width + d];
        }
    }
}
