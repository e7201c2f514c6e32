//! Which positions each vector of a window stands for.

use std::ops::Range;

use super::Pool;

/// Spans of equal length, side by side, the one at the end perhaps shorter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cuts {
    first: u64,
    end: u64,
    size: u64,
    /// Where the window ends, if the spans are those of its reverse complement.
    mirrored_at: Option<u64>,
}

impl Cuts {
    /// The spans of a window of `n` positions.
    pub(crate) fn new(pool: Pool, n: u64) -> Self {
        let (first, end, size) = match pool {
            Pool::Mean | Pool::Max => (0, n, n),
            Pool::Last => (n.saturating_sub(1), n, 1),
            Pool::Center(width) => {
                let width = width.get().min(n);
                let first = (n - width) / 2;
                (first, first + width, width)
            }
            Pool::Bins(size) => (0, n, size.get()),
            Pool::None => (0, n, 1),
        };
        Self { first, end, size: size.max(1), mirrored_at: None }
    }

    /// The spans in the positions of the reverse complement: they cover the same bases, in reverse order. The last position
    /// is the reverse complement's own.
    pub(crate) fn of_reverse_complement(pool: Pool, n: u64) -> Self {
        let mirrored_at = (pool != Pool::Last).then_some(n);
        Self { mirrored_at, ..Self::new(pool, n) }
    }

    /// How many spans there are.
    pub(crate) fn len(&self) -> usize {
        (self.end - self.first).div_ceil(self.size) as usize
    }

    /// The `index`-th span in the order of positions.
    pub(crate) fn get(&self, index: usize) -> Range<u64> {
        match self.mirrored_at {
            None => self.span(index),
            Some(n) => {
                let span = self.span(self.len() - 1 - index);
                n - span.end..n - span.start
            }
        }
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

    fn spans(cuts: &Cuts) -> Vec<Range<u64>> {
        (0..cuts.len()).map(|i| cuts.get(i)).collect()
    }

    fn forward(pool: &str, n: u64) -> Vec<Range<u64>> {
        spans(&Cuts::new(pool.parse().unwrap(), n))
    }

    #[test]
    fn spans_lie_where_the_documentation_says() {
        assert_eq!(forward("mean", 7), [0..7]);
        assert_eq!(forward("last", 7), [6..7]);
        assert_eq!(forward("center:4", 7), [1..5]);
        assert_eq!(forward("center:4", 8), [2..6]);
        assert_eq!(forward("center:9", 7), [0..7]);
        assert_eq!(forward("bins:3", 7), [0..3, 3..6, 6..7]);
        assert_eq!(forward("none", 3), [0..1, 1..2, 2..3]);
        assert_eq!(forward("bins:18446744073709551615", 3), [0..3]);
    }

    #[test]
    fn mirrored_spans_cover_the_same_bases() {
        for pool in ["mean", "max", "center:4", "bins:3", "none"] {
            let pool = pool.parse().unwrap();
            let mut mirrored = spans(&Cuts::of_reverse_complement(pool, 8));
            mirrored.reverse();
            let back: Vec<_> = mirrored.iter().map(|span| 8 - span.end..8 - span.start).collect();
            assert_eq!(back, spans(&Cuts::new(pool, 8)), "{pool}");
        }
        assert_eq!(spans(&Cuts::of_reverse_complement(Pool::Last, 8)), [7..8]);
    }
}
