//! What is scored and how.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use longstrand_seq::{ParseChoiceError, Strand};

use crate::error::ScoreError;

/// A definition of a score; `docs/scores.md` has the formulas.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Score {
    /// log p(alt) − log p(ref) with the site masked, in a window centred on it.
    Masked,
    /// The same without masking, in windows of a fixed grid.
    Wildtype,
    /// log p(sequence with alt) − log p(sequence with ref) of a causal model.
    Likelihood,
    /// Distances between the embeddings of the two sequences around the site.
    Embedding,
}

impl Score {
    /// Every score, in the order of their columns.
    pub const ALL: [Self; 4] = [Self::Masked, Self::Wildtype, Self::Likelihood, Self::Embedding];

    const NAMES: [&'static str; 4] = {
        let [first, second, third, fourth] = Self::ALL;
        [first.name(), second.name(), third.name(), fourth.name()]
    };

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Masked => "masked",
            Self::Wildtype => "wildtype",
            Self::Likelihood => "likelihood",
            Self::Embedding => "embedding",
        }
    }

    /// The columns that it gives.
    pub(crate) fn columns(self) -> &'static [Column] {
        const DIFFERENCE: &str = "difference of natural-log probabilities";
        match self {
            Self::Masked => {
                &[Column { name: "masked", meaning: "log p(alt) - log p(ref), site masked", unit: DIFFERENCE }]
            }
            Self::Wildtype => {
                &[Column { name: "wildtype", meaning: "log p(alt) - log p(ref), site not masked", unit: DIFFERENCE }]
            }
            Self::Likelihood => &[
                Column {
                    name: "likelihood",
                    meaning: "log p(sequence with alt) - log p(sequence with ref)",
                    unit: DIFFERENCE,
                },
                Column {
                    name: "likelihood_per_base",
                    meaning: "mean log p of a base of the sequence with alt - the same with ref",
                    unit: "difference of natural-log probabilities, a base",
                },
            ],
            Self::Embedding => &[
                Column {
                    name: "embedding_cosine",
                    meaning: "1 - cosine of the mean embeddings around the site with alt and with ref",
                    unit: "cosine distance",
                },
                Column {
                    name: "embedding_l2",
                    meaning: "Euclidean distance of the mean embeddings around the site with alt and with ref",
                    unit: "Euclidean distance",
                },
                Column {
                    name: "embedding_dot",
                    meaning: "inner product of the mean embeddings around the site with alt and with ref",
                    unit: "inner product",
                },
            ],
        }
    }
}

/// A column of a score.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Column {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// What it is, in a phrase without quotes.
    pub(crate) meaning: &'static str,
    /// What its values are, for a scale of colours.
    pub(crate) unit: &'static str,
}

impl Column {
    /// The score that has it.
    pub(crate) fn score(&self) -> Score {
        let has = |score: &Score| score.columns().iter().any(|column| column.name == self.name);
        Score::ALL.into_iter().find(has).expect("every column is a score's")
    }

    /// The column with its meaning, for a caption.
    pub(crate) fn caption(&self) -> String {
        format!("{}: {}", self.name, self.meaning)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Score {
    type Err = ParseChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|score| score.name() == text);
        found.ok_or_else(|| ParseChoiceError::new(&Self::NAMES, text))
    }
}

/// Which strands a model reads.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Strands {
    /// The strand that the reference spells.
    Forward,
    /// Its reverse complement.
    Reverse,
    /// Both; the score is their mean.
    #[default]
    Both,
}

impl Strands {
    /// The strands, the forward one first.
    pub fn each(self) -> &'static [Strand] {
        match self {
            Self::Forward => &[Strand::Forward],
            Self::Reverse => &[Strand::Reverse],
            Self::Both => &[Strand::Forward, Strand::Reverse],
        }
    }
}

impl fmt::Display for Strands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::Reverse => "reverse",
            Self::Both => "both",
        })
    }
}

impl FromStr for Strands {
    type Err = ParseChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "forward" => Ok(Self::Forward),
            "reverse" => Ok(Self::Reverse),
            "both" => Ok(Self::Both),
            other => Err(ParseChoiceError::new(&["forward", "reverse", "both"], other)),
        }
    }
}

/// What a causal model has read before the allele.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Anchor {
    /// A window around each allele, by itself.
    #[default]
    Window,
    /// Everything from the start of the block before the allele's: between one and two contexts, on a grid of the contig.
    Block,
    /// Everything from the contig's start.
    Contig,
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Window => "window",
            Self::Block => "block",
            Self::Contig => "contig",
        })
    }
}

impl FromStr for Anchor {
    type Err = ParseChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "window" => Ok(Self::Window),
            "block" => Ok(Self::Block),
            "contig" => Ok(Self::Contig),
            other => Err(ParseChoiceError::new(&["window", "block", "contig"], other)),
        }
    }
}

/// The longest context: no contig comes near it, and positions stay far from the end of 64 bits.
const LONGEST_CONTEXT: u64 = 1 << 32;

/// Refuses a context that is odd or longer than any contig.
pub(crate) fn check_context(context: NonZeroU64) -> Result<(), ScoreError> {
    let expected = match context.get() {
        LONGEST_CONTEXT.. => format!("fewer than {LONGEST_CONTEXT} bases"),
        bases if !bases.is_multiple_of(2) => "an even number of bases".into(),
        _ => return Ok(()),
    };
    Err(ScoreError::Usage(format!("--context: expected {expected}, found {context}")))
}

/// What becomes of a record whose REF is not what the reference has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RefMismatch {
    /// The run ends.
    #[default]
    Error,
    /// The allele gets no score, and a reason.
    Skip,
    /// The record's REF stands in for the reference's bases.
    Ignore,
}

impl fmt::Display for RefMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Skip => "skip",
            Self::Ignore => "ignore",
        })
    }
}

impl FromStr for RefMismatch {
    type Err = ParseChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "error" => Ok(Self::Error),
            "skip" => Ok(Self::Skip),
            "ignore" => Ok(Self::Ignore),
            other => Err(ParseChoiceError::new(&["error", "skip", "ignore"], other)),
        }
    }
}

/// What is computed of each allele. All of it decides the result.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScoreOptions {
    /// The scores, each once; empty for the one that suits the model: masked, or likelihood for a causal one.
    pub scores: Vec<Score>,
    /// Bases of a window, an even number; for [`Anchor::Block`], of a block. The longest allele that is scored, too.
    pub context: NonZeroU64,
    /// Which strands are read.
    pub strands: Strands,
    /// What [`Score::Likelihood`] has read before the allele.
    pub anchor: Anchor,
    /// Bases behind the allele that [`Score::Likelihood`] counts, unless the anchor is a window.
    pub tail: u64,
    /// Bases on either side of the allele whose hidden states [`Score::Embedding`] averages with the allele's own.
    pub pool_radius: u64,
    /// What becomes of a record whose REF is not what the reference has.
    pub ref_mismatch: RefMismatch,
}

impl ScoreOptions {
    /// Bases of a window.
    pub const DEFAULT_CONTEXT: NonZeroU64 = NonZeroU64::new(1_024).unwrap();
    /// Bases behind an allele.
    pub const DEFAULT_TAIL: u64 = 1_024;
    /// Bases on either side of an allele.
    pub const DEFAULT_POOL_RADIUS: u64 = 64;
}

impl Default for ScoreOptions {
    fn default() -> Self {
        Self {
            scores: Vec::new(),
            context: Self::DEFAULT_CONTEXT,
            strands: Strands::default(),
            anchor: Anchor::default(),
            tail: Self::DEFAULT_TAIL,
            pool_radius: Self::DEFAULT_POOL_RADIUS,
            ref_mismatch: RefMismatch::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_even_and_not_endless() {
        let refused = |context: u64| check_context(NonZeroU64::new(context).unwrap()).is_err();
        assert_eq!([2, 1_023, 1_048_576, LONGEST_CONTEXT, u64::MAX - 1].map(refused), [false, true, false, true, true]);
    }

    #[test]
    fn every_choice_is_read_as_it_is_written() {
        for score in Score::ALL {
            assert_eq!(score.to_string().parse(), Ok(score));
        }
        for strands in [Strands::Forward, Strands::Reverse, Strands::Both] {
            assert_eq!(strands.to_string().parse(), Ok(strands));
        }
        for anchor in [Anchor::Window, Anchor::Block, Anchor::Contig] {
            assert_eq!(anchor.to_string().parse(), Ok(anchor));
        }
        for policy in [RefMismatch::Error, RefMismatch::Skip, RefMismatch::Ignore] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
    }
}
