use super::{add, multiply};
use crate::{tasks::ELEMENTS, testing::Random};

#[cfg(feature = "cuda")]
mod cuda;

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
