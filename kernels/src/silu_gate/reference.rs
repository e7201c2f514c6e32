//! The gate in plain f64 loops.

use crate::{Rows, RowsMut};

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

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn backward(x: &[f64], z: Rows<'_, f64>, d_out: &[f64], d_x: &mut [f64], mut d_z: RowsMut<'_, f64>) {
    let width = super::check_backward(x, &z, d_out, d_x, &d_z);
    for t in 0..z.len() {
        for (d, &z) in z.row(t).iter().enumerate() {
            let at = t * width + d;
            let sigmoid = 1.0 / (1.0 + (-z).exp());
            d_x[at] = d_out[at] * z * sigmoid;
            d_z.row(t)[d] = d_out[at] * x[at] * sigmoid * (1.0 + z * (1.0 - sigmoid));
        }
    }
}
