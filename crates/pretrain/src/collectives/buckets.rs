//! Gradients in portions that are worth a message.

use super::{CollectiveError, Collectives};

/// Sums that are under way at a time, so that memory for them stays small.
const UNDER_WAY: usize = 2;

/// Which tensors are summed together.
///
/// Tensors come in the order of the forward pass. Buckets begin with the last one, whose gradient the backward pass
/// has first, and take whole tensors until they are full; a tensor larger than that is a bucket of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Buckets {
    lengths: Vec<usize>,
    buckets: Vec<Vec<usize>>,
}

impl Buckets {
    /// Bytes of a bucket: large enough that a message's overhead does not count.
    pub const BYTES: usize = 25 << 20;

    /// Buckets of at most `bytes` for tensors of these numbers of f32.
    pub fn new(lengths: &[usize], bytes: usize) -> Self {
        let mut buckets: Vec<Vec<usize>> = Vec::new();
        let mut filled = usize::MAX;
        for (tensor, &length) in lengths.iter().enumerate().rev() {
            filled = filled.saturating_add(length.saturating_mul(size_of::<f32>()));
            match buckets.last_mut().filter(|_| filled <= bytes) {
                Some(bucket) => bucket.push(tensor),
                None => {
                    buckets.push(vec![tensor]);
                    filled = length * size_of::<f32>();
                }
            }
        }
        Self { lengths: lengths.to_vec(), buckets }
    }

    /// The tensors of each bucket, by their places in the forward pass.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[usize]> {
        self.buckets.iter().map(Vec::as_slice)
    }

    /// Replaces all tensors by their sums over the ranks. A single rank's stay where they are.
    ///
    /// # Errors
    ///
    /// As [`Collectives::finish_sum`]; the tensors are then of no use.
    ///
    /// # Panics
    ///
    /// When the tensors are not those that the buckets were made for.
    pub fn sum<C>(&self, tensors: &mut [&mut [f32]], ranks: &mut C) -> Result<(), CollectiveError>
    where
        C: Collectives<Values = Vec<f32>> + ?Sized,
    {
        assert!(tensors.iter().map(|tensor| tensor.len()).eq(self.lengths.iter().copied()), "tensors of other buckets");
        if ranks.world_size() == 1 {
            return Ok(());
        }
        let mut unfinished = self.buckets.iter();
        for (place, bucket) in self.buckets.iter().enumerate() {
            ranks.start_sum(bucket.iter().flat_map(|&tensor| tensors[tensor].iter().copied()).collect())?;
            if place + 1 >= UNDER_WAY {
                unfinished.next().map_or(Ok(()), |bucket| finish(bucket, tensors, ranks))?;
            }
        }
        unfinished.try_for_each(|bucket| finish(bucket, tensors, ranks))
    }
}

fn finish<C>(bucket: &[usize], tensors: &mut [&mut [f32]], ranks: &mut C) -> Result<(), CollectiveError>
where
    C: Collectives<Values = Vec<f32>> + ?Sized,
{
    let sums = ranks.finish_sum()?;
    let mut rest = &sums[..];
    for &tensor in bucket {
        let (of_tensor, after) = rest.split_at(tensors[tensor].len());
        tensors[tensor].copy_from_slice(of_tensor);
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn buckets_begin_with_the_last_tensor_and_hold_whole_ones() {
        let of = |lengths: &[usize], bytes| Buckets::new(lengths, bytes).buckets;
        assert_eq!(of(&[10, 20, 30, 5], 140), [vec![3, 2], vec![1, 0]]);
        assert_eq!(of(&[10, 20, 30, 5], 139), [vec![3], vec![2], vec![1, 0]]);
        assert_eq!(of(&[1, 100, 1, 0], 8), [vec![3, 2], vec![1], vec![0]]);
        assert_eq!(of(&[1, 2], 0), [vec![1], vec![0]]);
        assert!(of(&[], 8).is_empty());
    }

    /// Two ranks with the same values, the second of which is not there.
    #[derive(Default)]
    struct Twins(VecDeque<Vec<f32>>, usize);

    impl Collectives for Twins {
        type Values = Vec<f32>;

        fn rank(&self) -> usize {
            0
        }

        fn world_size(&self) -> usize {
            2
        }

        fn start_sum(&mut self, values: Vec<f32>) -> Result<(), CollectiveError> {
            self.0.push_back(values.iter().map(|value| value + value).collect());
            self.1 = self.1.max(self.0.len());
            Ok(())
        }

        fn finish_sum(&mut self) -> Result<Vec<f32>, CollectiveError> {
            Ok(self.0.pop_front().unwrap())
        }

        fn sum_f64(&mut self, _: &mut [f64]) -> Result<(), CollectiveError> {
            unreachable!()
        }

        fn broadcast(&mut self, _: usize, _: Vec<u8>) -> Result<Vec<u8>, CollectiveError> {
            unreachable!()
        }

        fn gather(&mut self, _: Vec<u8>) -> Result<Vec<Vec<u8>>, CollectiveError> {
            unreachable!()
        }

        fn split(&mut self, _: usize) -> Result<Box<dyn Collectives<Values = Self::Values>>, CollectiveError> {
            unreachable!()
        }

        fn barrier(&mut self) -> Result<(), CollectiveError> {
            unreachable!()
        }
    }

    #[test]
    fn every_tensor_gets_its_own_sums() {
        let lengths = [3, 1, 0, 8, 2, 5];
        let values = |factor: f32| {
            let tensor = |(i, &n): (usize, &usize)| (0..n).map(|j| factor * (10 * i + j) as f32).collect::<Vec<f32>>();
            lengths.iter().enumerate().map(tensor).collect::<Vec<_>>()
        };
        for bytes in [0, 4, 12, 32, 1_000] {
            let mut tensors = values(1.0);
            let mut twins = Twins::default();
            let mut slices: Vec<&mut [f32]> = tensors.iter_mut().map(Vec::as_mut_slice).collect();
            Buckets::new(&lengths, bytes).sum(&mut slices, &mut twins).unwrap();
            assert_eq!(tensors, values(2.0), "{bytes}");
            assert!(twins.1 <= UNDER_WAY && twins.0.is_empty());
        }
    }
}
