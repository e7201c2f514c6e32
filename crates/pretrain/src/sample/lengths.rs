//! How long windows are at each step.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The length of windows from a step on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The first step, 0-based.
    pub from_step: u64,
    /// The length in bases.
    pub length: u64,
}

/// A length for every step: one for all, or a warm-up of the sequence length (Li et al. 2022; HyenaDNA's schedule
/// doubles it). The tokens of a step stay the same: shorter windows come in larger batches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lengths(Vec<Stage>);

impl Lengths {
    /// One length.
    pub fn constant(length: u64) -> Self {
        Self(vec![Stage { from_step: 0, length }])
    }

    /// Takes stages in their order.
    ///
    /// # Errors
    ///
    /// - there is none, the first does not start at step 0, or one does not start after the one before it
    /// - a length is 0
    pub fn new(stages: Vec<Stage>) -> Result<Self, LengthError> {
        if stages.first().is_none_or(|stage| stage.from_step > 0) {
            return Err(LengthError::Start);
        }
        if let Some(pair) = stages.windows(2).find(|pair| pair[0].from_step >= pair[1].from_step) {
            return Err(LengthError::Order { before: pair[0].from_step, found: pair[1].from_step });
        }
        match stages.iter().find(|stage| stage.length == 0) {
            Some(stage) => Err(LengthError::Empty { from_step: stage.from_step }),
            None => Ok(Self(stages)),
        }
    }

    /// The stages.
    pub fn stages(&self) -> &[Stage] {
        &self.0
    }

    /// The length at a step.
    pub fn at(&self, step: u64) -> u64 {
        let after = self.0.partition_point(|stage| stage.from_step <= step);
        self.0[after - 1].length
    }

    /// The shortest.
    pub fn shortest(&self) -> u64 {
        self.0.iter().map(|stage| stage.length).min().unwrap_or(0)
    }

    /// The longest.
    pub fn longest(&self) -> u64 {
        self.0.iter().map(|stage| stage.length).max().unwrap_or(0)
    }

    /// How many windows make `tokens` tokens at a step.
    ///
    /// # Errors
    ///
    /// - the length at some step does not divide the tokens of a step
    pub fn batch(&self, step: u64, tokens: u64) -> Result<u32, LengthError> {
        self.check(tokens)?;
        let length = self.at(step);
        u32::try_from(tokens / length).map_err(|_| LengthError::Batch { length, tokens })
    }

    /// Whether every length makes whole batches of `tokens` tokens.
    ///
    /// # Errors
    ///
    /// - one does not divide them
    pub fn check(&self, tokens: u64) -> Result<(), LengthError> {
        let is_whole = |length: u64| tokens > 0 && tokens.is_multiple_of(length) && tokens / length <= u32::MAX.into();
        match self.0.iter().find(|stage| !is_whole(stage.length)) {
            Some(stage) => Err(LengthError::Batch { length: stage.length, tokens }),
            None => Ok(()),
        }
    }
}

/// Lengths that are no schedule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LengthError {
    /// No stage starts at step 0.
    Start,
    /// A stage does not start after the one before it.
    Order {
        /// The step that the one before starts at.
        before: u64,
        /// The step that it starts at.
        found: u64,
    },
    /// A length is 0.
    Empty {
        /// The step that the stage starts at.
        from_step: u64,
    },
    /// A length does not divide the tokens of a step.
    Batch {
        /// The length.
        length: u64,
        /// The tokens of a step.
        tokens: u64,
    },
}

impl fmt::Display for LengthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("lengths: expected a first stage from step 0"),
            Self::Order { before, found } => {
                write!(f, "lengths: expected the next stage after step {before}, found one from step {found}")
            }
            Self::Empty { from_step } => {
                write!(f, "lengths: expected at least 1 base from step {from_step} on, found 0")
            }
            Self::Batch { length, tokens } => {
                write!(f, "expected tokens of a step to be a multiple of the window length, {length}, found {tokens}")
            }
        }
    }
}

impl std::error::Error for LengthError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(stages: &[(u64, u64)]) -> Result<Lengths, LengthError> {
        Lengths::new(stages.iter().map(|&(from_step, length)| Stage { from_step, length }).collect())
    }

    #[test]
    fn tokens_stay_while_lengths_grow() {
        let lengths = stages(&[(0, 1_024), (10, 2_048), (25, 8_192)]).unwrap();
        let at = |step| (lengths.at(step), lengths.batch(step, 1 << 14).unwrap());
        assert_eq!(
            [at(0), at(9), at(10), at(24), at(25)],
            [(1_024, 16), (1_024, 16), (2_048, 8), (2_048, 8), (8_192, 2)]
        );
        assert_eq!(at(u64::MAX), (8_192, 2));
        assert_eq!(lengths.longest(), 8_192);
        assert_eq!(
            lengths.check(12_000).unwrap_err().to_string(),
            "expected tokens of a step to be a multiple of the window length, 1024, found 12000"
        );
    }

    #[test]
    fn what_is_no_schedule_is_told() {
        assert_eq!(stages(&[]), Err(LengthError::Start));
        assert_eq!(stages(&[(1, 8)]), Err(LengthError::Start));
        assert_eq!(stages(&[(0, 8), (5, 9), (5, 10)]), Err(LengthError::Order { before: 5, found: 5 }));
        assert_eq!(stages(&[(0, 8), (5, 0)]), Err(LengthError::Empty { from_step: 5 }));
        assert!(Lengths::constant(8).check(0).is_err());
        assert!(Lengths::constant(1).check(1 << 40).is_err());
    }
}
