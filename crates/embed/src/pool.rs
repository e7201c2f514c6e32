//! From the hidden states of a window's positions to vectors.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use longstrand_seq::ParseChoiceError;

mod cuts;
mod pooler;

pub(crate) use cuts::Cuts;
pub(crate) use pooler::Pooler;

/// How the hidden states of a window's positions become vectors.
///
/// Sums are taken in f64, position after position, so that they do not depend on how a pass is cut into chunks. Padding
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
mod tests {
    use super::*;

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
