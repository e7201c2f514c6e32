//! Elementwise sum and product in place.
//!
//! Both buffers have the same shape, whatever it is. Each element is one operation.
//!
//! Backward is made of the same two: a sum passes its gradient to both operands ([`add`]), and of a product x · y the
//! gradients are d_out · y and d_out · x ([`multiply`], on copies of `d_out`).

use std::ops::MulAssign;

use rayon::prelude::*;

use crate::{backend::Scalar, tasks::ELEMENTS};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn every_element_meets_its_partner() {
        for len in [0, 1, 17, ELEMENTS, 2 * ELEMENTS + 3] {
            let mut random = Random::new(len as u64);
            let (x, y) = (random.vector(len, -2.0, 2.0), random.vector(len, -2.0, 2.0));
            let mut sum = x.clone();
            add(&mut sum, &y);
            let mut product = x.clone();
            multiply(&mut product, &y);
            for i in 0..len {
                assert_eq!((sum[i], product[i]), (x[i] + y[i], x[i] * y[i]));
            }
        }
    }

    #[test]
    #[should_panic(expected = "lengths of the operands")]
    fn buffers_of_two_lengths_are_refused() {
        multiply(&mut [1.0, 2.0], &[1.0]);
    }
}
