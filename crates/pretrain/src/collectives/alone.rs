//! One process.

use std::collections::VecDeque;

use super::{CollectiveError, Collectives};

/// The only rank there is. Nothing is copied and nothing can fail.
#[derive(Clone, Debug, Default)]
pub struct Alone {
    started: VecDeque<Vec<f32>>,
}

impl Collectives for Alone {
    type Values = Vec<f32>;

    fn rank(&self) -> usize {
        0
    }

    fn world_size(&self) -> usize {
        1
    }

    fn start_sum(&mut self, values: Vec<f32>) -> Result<(), CollectiveError> {
        self.started.push_back(values);
        Ok(())
    }

    fn finish_sum(&mut self) -> Result<Vec<f32>, CollectiveError> {
        Ok(self.started.pop_front().expect("a sum was begun, as the contract asks"))
    }

    fn sum_f64(&mut self, _: &mut [f64]) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn broadcast(&mut self, root: usize, bytes: Vec<u8>) -> Result<Vec<u8>, CollectiveError> {
        assert_eq!(root, 0, "a broadcast comes from a rank");
        Ok(bytes)
    }

    fn gather(&mut self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        Ok(vec![bytes])
    }

    fn split(&mut self, size: usize) -> Result<Box<dyn Collectives<Values = Self::Values>>, CollectiveError> {
        assert_eq!(size, 1, "one rank is a group of one");
        Ok(Box::new(Self::default()))
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_one_are_what_it_gave_in_order() {
        let mut alone = Alone::default();
        let (first, second) = (vec![1.0, -0.0, f32::NAN], vec![2.0]);
        let place = first.as_ptr();
        alone.start_sum(first).unwrap();
        alone.start_sum(second).unwrap();
        let sum = alone.finish_sum().unwrap();
        assert_eq!((sum.as_ptr(), sum.len()), (place, 3));
        assert_eq!(alone.finish_sum().unwrap(), [2.0]);
        let mut numbers = [0.1, 7.0];
        alone.sum_f64(&mut numbers).unwrap();
        assert_eq!(numbers, [0.1, 7.0]);
        assert_eq!(alone.broadcast(0, vec![3]).unwrap(), [3]);
        assert_eq!(alone.gather(vec![4, 5]).unwrap(), [[4, 5]]);
        assert_eq!(alone.split(1).unwrap().world_size(), 1);
        alone.agree("the settings", b"a").unwrap();
        alone.barrier().unwrap();
    }
}
