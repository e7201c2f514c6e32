//! Elementwise sum and product in place.
//!
//! Both buffers have the same shape, whatever it is. Each element is one operation.
//!
//! Backward is made of the same two: a sum passes its gradient to both operands ([`add`]), and of a product x · y the
//! gradients are d_out · y and d_out · x ([`multiply`], on copies of `d_out`).
//!
//! On a GPU the operands may be of two types, and there is also a change of type.

use std::ops::MulAssign;

use rayon::prelude::*;

use crate::{backend::Scalar, tasks::ELEMENTS};

#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(test)]
mod tests;

/// Adds to every element of `x` that of `y`.
///
/// # Panics
///
/// Panics if the buffers are not equally long.
pub fn add<S: Scalar>(x: &mut [S], y: &[S]) {
    for_each(x, y, |x, y| *x += y);
}

/// Multiplies every element of `x` by that of `y`.
///
/// # Panics
///
/// Panics if the buffers are not equally long.
pub fn multiply<S: Scalar + MulAssign>(x: &mut [S], y: &[S]) {
    for_each(x, y, |x, y| *x *= y);
}

fn for_each<S: Scalar>(x: &mut [S], y: &[S], update: impl Fn(&mut S, S) + Sync) {
    assert_eq!(x.len(), y.len(), "lengths of the operands");
    x.par_chunks_mut(ELEMENTS).zip(y.par_chunks(ELEMENTS)).for_each(|(x, y)| {
        for (x, &y) in x.iter_mut().zip(y) {
            update(x, y);
        }
    });
}
