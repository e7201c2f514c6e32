//! Log-probabilities in plain f64 loops.

/// See the [module](super).
///
/// # Panics
///
/// Panics if `x` is not a whole number of rows of `width`.
pub fn forward(x: &mut [f64], width: usize) {
    super::check(x, width);
    for row in x.chunks_exact_mut(width) {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
        for x in row {
            *x = *x - max - sum.ln();
        }
    }
}
