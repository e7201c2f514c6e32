//! The sums in plain f64 loops.

use super::Steps;
use crate::selective_scan::reference::softplus;

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn add(steps: &Steps<'_, f64>, sums: &mut [f64]) {
    super::check(steps, sums);
    let (least, largest) = steps.limit;
    for t in 0..steps.delta.len() {
        for ((sum, delta), bias) in sums.iter_mut().zip(steps.delta.row(t)).zip(steps.bias) {
            *sum += softplus(delta + bias).clamp(least, largest);
        }
    }
}
