//! The gate in plain f64 loops.

use crate::Rows;

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn forward(x: &mut [f64], z: Rows<'_, f64>) {
    let width = super::check(x, &z);
    for (t, x) in x.chunks_exact_mut(width).enumerate() {
        for (x, &z) in x.iter_mut().zip(z.row(t)) {
            *x *= z / (1.0 + (-z).exp());
        }
    }
}
