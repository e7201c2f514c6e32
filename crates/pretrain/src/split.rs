//! Splits: which bases are for training, which for validation and which for the test.
//!
//! | rule | train | valid, test |
//! |---|---|---|
//! | [`SplitRule::Fraction`] | the start of every contig | its end, in this order, a gap before each |
//! | [`SplitRule::Contigs`] | all contigs that are not named | the contigs named |
//! | [`SplitRule::Bed`], [`Reading::LeakFree`] | its rows, without the bases of other splits' rows | alike |
//! | [`SplitRule::Bed`], [`Reading::Compatible`] | its rows, each widened to 2²⁰ bases | alike |
//!
//! # The two readings of a published split
//!
//! The split of HyenaDNA and Caduceus is a table `chr, start, end, split` whose rows are 131,072 bases long (Basenji's
//! human sequences). **Compatible** is what Caduceus' published data loader does: a row stands for the 2²⁰ bases from its
//! *start*, whatever its end, these are cut into windows side by side, and a window that reaches past the contig's end
//! is moved back to it. So the windows of a row reach up to 917,504 bases past it, rows overlap, and windows of the
//! training split can lie in rows of the validation and test splits: **it leaks**, and losses on its validation windows
//! are optimistic. (HyenaDNA's own loader cuts one window a row instead: around the middle of a row that is shorter than
//! the window, from the start of one that is longer.)
//!
//! **Leak-free** takes the same table at its word: a window lies wholly inside rows of its own split, and bases that rows
//! of two splits claim belong to neither. Rows that touch or overlap count as one stretch.

mod bed;
mod fraction;

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use longstrand_seq::{Interval, ParseChoiceError};
use serde::{Deserialize, Serialize};

use crate::{
    regions::Regions,
    source::{SourceError, Sources},
};

/// What bases are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Split {
    /// Weights are fitted to them.
    Train,
    /// The loss on them is watched during the run.
    Valid,
    /// They are left alone until the end.
    Test,
}

impl Split {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = ParseChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|split| split.to_string() == text);
        named.ok_or_else(|| ParseChoiceError::new(&["train", "valid", "test"], text))
    }
}

/// How bases are divided.
#[derive(Clone, Debug, PartialEq)]
pub enum SplitRule {
    /// The end of every contig is held out.
    Fraction {
        /// The part of each contig's bases that is for validation; 0 to 1.
        valid: f64,
        /// The part that is for the test, behind it.
        test: f64,
        /// Bases that nobody sees around each border, half of them on either side.
        gap: u64,
    },
    /// Whole contigs are held out.
    Contigs {
        /// Names of those for validation.
        valid: Vec<String>,
        /// Names of those for the test.
        test: Vec<String>,
    },
    /// A table says.
    Bed {
        /// A BED file whose fourth column is `train`, `valid` or `test`.
        path: PathBuf,
        /// How its rows are read.
        reading: Reading,
    },
}

/// How the rows of a split's table are read; see the [module](self).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// A window lies wholly inside rows of its own split.
    #[default]
    LeakFree,
    /// As published: every row is widened to 2²⁰ bases. It leaks between splits.
    Compatible,
}

/// What a split's windows are cut from.
#[derive(Clone, Debug, PartialEq)]
pub enum Area {
    /// Any window that lies inside one of these intervals.
    Inside(Regions),
    /// Windows side by side from the start of each row, [`ROW`] bases of them, moved back where the contig ends.
    Rows {
        /// The contig and start of each row.
        rows: Vec<(usize, u64)>,
        /// Windows have to lie inside one of these intervals.
        within: Regions,
    },
}

/// Bases that a row stands for in the compatible reading.
pub const ROW: u64 = 1 << 20;

/// The three splits of some genomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    train: Area,
    valid: Area,
    test: Area,
}

impl Splits {
    /// Divides the bases `within` of `sources`.
    ///
    /// # Errors
    ///
    /// - fractions are no fractions, or leave nothing to train on
    /// - a contig is unknown, or is held out twice
    /// - the table cannot be read, or a row names no split
    pub fn new(rule: &SplitRule, sources: &Sources, within: &Regions) -> Result<Self, SplitError> {
        match rule {
            SplitRule::Fraction { valid, test, gap } => fraction::divide(*valid, *test, *gap, sources, within),
            SplitRule::Contigs { valid, test } => by_contig(valid, test, sources, within),
            SplitRule::Bed { path, reading } => bed::divide(path, *reading, sources, within),
        }
    }

    /// What the windows of one are cut from.
    pub fn get(&self, split: Split) -> &Area {
        match split {
            Split::Train => &self.train,
            Split::Valid => &self.valid,
            Split::Test => &self.test,
        }
    }

    fn inside(areas: [Regions; 3]) -> Self {
        let [train, valid, test] = areas.map(Area::Inside);
        Self { train, valid, test }
    }
}

fn by_contig(valid: &[String], test: &[String], sources: &Sources, within: &Regions) -> Result<Splits, SplitError> {
    let mut split_of = vec![Split::Train; sources.n_contigs()];
    for (split, names) in [(Split::Valid, valid), (Split::Test, test)] {
        for name in names {
            let contig = sources.resolve(name)?;
            if split_of[contig] != Split::Train {
                return Err(SplitError::HeldOutTwice { contig: name.clone() });
            }
            split_of[contig] = split;
        }
    }
    let of = |split| {
        let contigs = (0..sources.n_contigs()).filter(|&contig| split_of[contig] == split);
        let whole = contigs.map(|contig| Interval { contig, start: 0, end: sources.length(contig) });
        within.intersect(&Regions::union(sources.n_contigs(), whole))
    };
    Ok(Splits::inside(Split::ALL.map(of)))
}

/// Genomes cannot be divided as asked.
#[derive(Debug)]
pub enum SplitError {
    /// A genome, a name or the table cannot be used.
    Source(SourceError),
    /// The parts for validation and test are no fractions, or leave nothing.
    Fractions {
        /// The part for validation.
        valid: f64,
        /// The part for the test.
        test: f64,
    },
    /// A contig is named twice.
    HeldOutTwice {
        /// Its name.
        contig: String,
    },
    /// A row of the table names no split.
    Row {
        /// The table.
        path: PathBuf,
        /// The row's place among those that are intervals, 1-based.
        row: usize,
        /// What its fourth column has.
        found: String,
    },
}

impl SplitError {
    fn row(path: &Path, index: usize, found: Option<&str>) -> Self {
        let found = found.map_or("nothing".into(), |found| format!("{found:?}"));
        Self::Row { path: path.into(), row: index + 1, found }
    }
}

impl From<SourceError> for SplitError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => error.fmt(f),
            Self::Fractions { valid, test } => write!(
                f,
                "split by fraction: expected parts of 0 or more for validation and test, together below 1, \
                 found {valid} and {test}"
            ),
            Self::HeldOutTwice { contig } => write!(f, "contig {contig:?} is held out twice"),
            Self::Row { path, row, found } => write!(
                f,
                "{}, interval {row}: expected train, valid or test in the fourth column, found {found}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for SplitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Source(error) => error.source(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
