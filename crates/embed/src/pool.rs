//! From the hidden states of a window's positions to vectors.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use longstrand_model::{Pooling, Reduction, Spans};
use longstrand_seq::ParseChoiceError;

/// How the hidden states of a window's positions become vectors.
///
/// Sums are taken in f64, position after position or, on a GPU, by pieces of 64, so that they do not depend on how a pass is cut into chunks. Padding
/// and special tokens pass through the model and are not pooled.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pool {
    /// Mean over all positions.
    #[default]
    Mean,
    /// Largest value of each channel over all positions.
    Max,
    /// The last position in the orientation in which the model reads.
    Last,
    /// Mean over so many positions in the middle, which begin at ⌊(n − W) / 2⌋; over all n where n < W.
    Center(NonZeroU64),
    /// Mean over each run of so many positions from the window's start on; the last one may be shorter. One row a bin.
    Bins(NonZeroU64),
    /// No pooling: one row a base.
    None,
}

impl Pool {
    /// Whether a window gives rows for parts of itself, each with its own coordinates.
    pub fn divides(self) -> bool {
        matches!(self, Self::Bins(_) | Self::None)
    }

    /// The spans of a window of `n` positions.
    pub(crate) fn spans(self, n: u64) -> Spans {
        match self {
            Self::Mean | Self::Max => Spans::one(0..n),
            Self::Last => Spans::one(n.saturating_sub(1)..n),
            Self::Center(width) => {
                let width = width.get().min(n);
                let first = (n - width) / 2;
                Spans::one(first..first + width)
            }
            Self::Bins(size) => Spans::new(0..n, size.get()),
            Self::None => Spans::new(0..n, 1),
        }
    }

    /// What becomes of a window of `n` positions.
    pub(crate) fn pooling(self, n: u64) -> Pooling {
        Pooling { reduction: self.reduction(), spans: self.spans(n) }
    }

    /// What becomes of its reverse complement, in whose positions the spans cover the same bases, in reverse order. The last
    /// position is the reverse complement's own.
    pub(crate) fn pooling_of_reverse_complement(self, n: u64) -> Pooling {
        let spans = if self == Self::Last { self.spans(n) } else { self.spans(n).mirrored(n) };
        Pooling { reduction: self.reduction(), spans }
    }

    fn reduction(self) -> Reduction {
        if self == Self::Max { Reduction::Max } else { Reduction::Mean }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::Max => f.write_str("max"),
            Self::Last => f.write_str("last"),
            Self::Center(positions) => write!(f, "center:{positions}"),
            Self::Bins(positions) => write!(f, "bins:{positions}"),
            Self::None => f.write_str("none"),
        }
    }
}

impl FromStr for Pool {
    type Err = ParseChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseChoiceError::new(&["mean", "max", "last", "center:W", "bins:N", "none"], text);
        let number = |text: &str| text.parse::<NonZeroU64>().map_err(|_| error());
        match text.split_once(':') {
            None => match text {
                "mean" => Ok(Self::Mean),
                "max" => Ok(Self::Max),
                "last" => Ok(Self::Last),
                "none" => Ok(Self::None),
                _ => Err(error()),
            },
            Some(("center", positions)) => Ok(Self::Center(number(positions)?)),
            Some(("bins", positions)) => Ok(Self::Bins(number(positions)?)),
            Some(_) => Err(error()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "a list of one span is meant")]
mod tests {
    use std::ops::Range;

    use super::*;

    fn all(spans: &Spans) -> Vec<Range<u64>> {
        (0..spans.len()).map(|i| spans.get(i)).collect()
    }

    #[test]
    fn spans_lie_where_the_documentation_says() {
        let spans = |pool: &str, n| all(&pool.parse::<Pool>().unwrap().spans(n));
        assert_eq!(spans("mean", 7), [0..7]);
        assert_eq!(spans("last", 7), [6..7]);
        assert_eq!(spans("center:4", 7), [1..5]);
        assert_eq!(spans("center:4", 8), [2..6]);
        assert_eq!(spans("center:9", 7), [0..7]);
        assert_eq!(spans("bins:3", 7), [0..3, 3..6, 6..7]);
        assert_eq!(spans("none", 3), [0..1, 1..2, 2..3]);
        assert_eq!(spans("bins:18446744073709551615", 3), [0..3]);
        assert!(spans("mean", 0).is_empty() && spans("last", 0).is_empty());
    }

    #[test]
    fn either_strand_s_spans_cover_the_same_bases() {
        for pool in ["mean", "max", "center:4", "bins:3", "none"] {
            let pool: Pool = pool.parse().unwrap();
            let mut mirrored = all(&pool.pooling_of_reverse_complement(8).spans);
            mirrored.reverse();
            let back: Vec<_> = mirrored.iter().map(|span| 8 - span.end..8 - span.start).collect();
            assert_eq!(back, all(&pool.spans(8)), "{pool}");
        }
        assert_eq!(all(&Pool::Last.pooling_of_reverse_complement(8).spans), [7..8]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["mean", "max", "last", "center:1536", "bins:1024", "none"] {
            assert_eq!(text.parse::<Pool>().unwrap().to_string(), text);
        }
        for wrong in ["", "median", "bins", "bins:0", "bins:", "center:-1", "mean:3"] {
            assert!(wrong.parse::<Pool>().is_err(), "{wrong}");
        }
    }
}
