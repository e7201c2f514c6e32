//! Which positions each vector of a sequence stands for.

use std::ops::Range;

/// Spans of equal length, side by side, the one at the end perhaps shorter.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Spans {
    first: u64,
    end: u64,
    size: u64,
    /// Where the sequence ends, if the spans are those of its reverse complement.
    mirrored_at: Option<u64>,
}

impl Spans {
    /// Cuts `positions` into spans of `size`.
    ///
    /// # Panics
    ///
    /// Panics if `size` is 0.
    pub fn new(positions: Range<u64>, size: u64) -> Self {
        assert!(size > 0, "spans of no positions");
        Self { first: positions.start, end: positions.end.max(positions.start), size, mirrored_at: None }
    }

    /// All positions as one span.
    pub fn one(positions: Range<u64>) -> Self {
        let size = positions.end.saturating_sub(positions.start).max(1);
        Self::new(positions, size)
    }

    /// The spans in the positions of the reverse complement of a sequence of `n`: they cover the same bases, in reverse order.
    #[must_use]
    pub fn mirrored(self, n: u64) -> Self {
        Self { mirrored_at: Some(n), ..self }
    }

    /// How many spans there are.
    pub fn len(&self) -> usize {
        (self.end - self.first).div_ceil(self.size) as usize
    }

    /// Whether there are no spans.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `index`-th span in the order of positions.
    pub fn get(&self, index: usize) -> Range<u64> {
        match self.mirrored_at {
            None => self.span(index),
            Some(n) => {
                let span = self.span(self.len() - 1 - index);
                n - span.end..n - span.start
            }
        }
    }

    /// Indices of the spans that have some of these positions.
    #[cfg(feature = "cuda")]
    pub(crate) fn meeting(&self, positions: &Range<u64>) -> Range<usize> {
        let before = |is_before: &dyn Fn(Range<u64>) -> bool| {
            let (mut low, mut high) = (0, self.len());
            while low < high {
                let middle = low + (high - low) / 2;
                if is_before(self.get(middle)) { low = middle + 1 } else { high = middle }
            }
            low
        };
        let first = before(&|span| span.end <= positions.start);
        first..before(&|span| span.start < positions.end).max(first)
    }

    fn span(&self, index: usize) -> Range<u64> {
        let start = self.first + index as u64 * self.size;
        start..(start.saturating_add(self.size)).min(self.end)
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "a list of one span is meant")]
mod tests {
    use super::*;

    fn all(spans: &Spans) -> Vec<Range<u64>> {
        (0..spans.len()).map(|i| spans.get(i)).collect()
    }

    #[test]
    fn spans_lie_side_by_side() {
        assert_eq!(all(&Spans::new(0..7, 3)), [0..3, 3..6, 6..7]);
        assert_eq!(all(&Spans::new(2..6, u64::MAX)), [2..6]);
        assert_eq!(all(&Spans::one(2..6)), [2..6]);
        assert!(Spans::one(5..5).is_empty());
    }

    #[test]
    fn mirrored_spans_cover_the_same_bases() {
        assert_eq!(all(&Spans::new(0..8, 3).mirrored(8)), [0..2, 2..5, 5..8]);
        assert_eq!(all(&Spans::one(2..6).mirrored(9)), [3..7]);
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn those_that_have_some_positions_are_found() {
        for spans in [Spans::new(5..27, 4), Spans::new(5..27, 4).mirrored(30), Spans::one(9..10), Spans::one(3..3)] {
            for start in 0..30 {
                for end in start..32 {
                    let has = |span: &Range<u64>| span.start < end && span.end > start;
                    let expected: Vec<usize> =
                        (0..spans.len()).filter(|&i| end > start && has(&spans.get(i))).collect();
                    let found = spans.meeting(&(start..end));
                    if end > start {
                        assert_eq!(found.collect::<Vec<_>>(), expected, "{spans:?} {start}..{end}");
                    }
                }
            }
        }
    }
}
