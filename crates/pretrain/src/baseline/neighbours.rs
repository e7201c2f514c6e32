//! Which bases a base is predicted from.

use std::{fmt, str::FromStr};

use super::{BaselineError, OTHER};

/// The bases around a position that a Markov model knows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Neighbours {
    /// So many to the left.
    Left(u32),
    /// So many to the left, and as many to the right.
    Both(u32),
}

impl Neighbours {
    /// The most to the left: the counts take 0.7 GB then.
    pub const MOST_LEFT: u32 = 12;
    /// The most on either side: the counts take 0.6 GB then.
    pub const MOST_BOTH: u32 = 6;

    /// Checks that their words can be counted.
    ///
    /// # Errors
    ///
    /// - they are too many
    pub fn checked(self) -> Result<Self, BaselineError> {
        match self {
            Self::Left(k) if k <= Self::MOST_LEFT => Ok(self),
            Self::Both(k) if k <= Self::MOST_BOTH => Ok(self),
            _ => Err(BaselineError::Neighbours { found: self.to_string() }),
        }
    }

    /// Whether they lie to the left alone, where a causal model looks.
    pub fn are_causal(self) -> bool {
        matches!(self, Self::Left(_) | Self::Both(0))
    }

    /// k.
    pub(super) fn order(self) -> usize {
        match self {
            Self::Left(k) | Self::Both(k) => k as usize,
        }
    }

    /// The number of different neighbours at one distance.
    pub(super) fn radix(self) -> usize {
        match self {
            Self::Left(_) => 4,
            Self::Both(_) => 16,
        }
    }

    /// How many of the distances 1, 2, …, k have bases around position `t`, and the number of the word that these are:
    /// the neighbours at distance d are its digit d − 1.
    pub(super) fn word(self, digits: &[u8], t: usize) -> (usize, usize) {
        let (mut word, mut factor) = (0, 1);
        for distance in 1..=self.order() {
            let left = t.checked_sub(distance).map_or(OTHER, |place| digits[place]);
            let right = match self {
                Self::Left(_) => 0,
                Self::Both(_) => digits.get(t + distance).copied().unwrap_or(OTHER),
            };
            if left >= OTHER || right >= OTHER {
                return (distance - 1, word);
            }
            word += factor * (usize::from(left) + 4 * usize::from(right));
            factor *= self.radix();
        }
        (self.order(), word)
    }
}

/// `5` are 5 bases to the left, `3+3` are 3 on either side.
impl fmt::Display for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left(k) => write!(f, "{k}"),
            Self::Both(k) => write!(f, "{k}+{k}"),
        }
    }
}

impl FromStr for Neighbours {
    type Err = BaselineError;

    fn from_str(text: &str) -> Result<Self, BaselineError> {
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let neighbours = match text.split_once('+') {
            None => number(text).map(Self::Left),
            Some((left, right)) => number(left).filter(|&k| number(right) == Some(k)).map(Self::Both),
        };
        neighbours.ok_or_else(|| BaselineError::Neighbours { found: text.into() })?.checked()
    }
}
