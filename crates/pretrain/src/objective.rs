//! Objectives: what a model sees of a window, what it has to say, and how much that counts.
//!
//! | objective | input | target at position t |
//! |---|---|---|
//! | causal | the bases | the base at t + 1; none at the last position |
//! | masked | the bases, some replaced | the base at t where t was selected |
//!
//! A target is always one of A, C, G and T: `N`, other codes, special tokens and padding are input alone, so that they
//! are neither learned nor counted. In the masked objective only bases are selected, each with the same probability and
//! independently of the others, as in BERT (Devlin et al. 2019): of those selected, `mask` become `[MASK]`, `random`
//! become a random token, and the rest stay.

use std::fmt;

/// The label of a position without a target.
pub use longstrand_kernels::cross_entropy::IGNORED;
use longstrand_seq::Vocabulary;
use serde::{Deserialize, Serialize};

use crate::random::{Draws, below};

/// What is learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// The next base.
    Causal,
    /// Bases that were hidden.
    Masked(Masking),
}

/// Which bases are hidden, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Masking {
    /// The fraction of bases that is selected.
    pub select: f64,
    /// The fraction of those selected that becomes `[MASK]`.
    pub mask: f64,
    /// The fraction of those selected that becomes a random token.
    pub random: f64,
    /// Which tokens these are.
    pub random_ids: RandomIds,
}

impl Default for Masking {
    /// 15 %, of which 80 % masked, 10 % random out of the whole vocabulary and 10 % kept, as published for Caduceus.
    fn default() -> Self {
        Self { select: 0.15, mask: 0.8, random: 0.1, random_ids: RandomIds::Vocabulary }
    }
}

/// Which tokens a random replacement is drawn from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RandomIds {
    /// All tokens of the vocabulary, special ones too, as published for Caduceus (12 of them).
    #[default]
    Vocabulary,
    /// A, C, G and T.
    Bases,
}

/// Windows of one length with what is to be learned from them, row after row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Positions of a window, L.
    pub length: usize,
    /// What the model sees, token ids, `[B, L]`.
    pub ids: Vec<u8>,
    /// What it has to say, token ids or [`IGNORED`], `[B, L]`.
    pub labels: Vec<u8>,
    /// How much each position's loss counts, `[B, L]`; `None` when all count alike.
    pub weights: Option<Vec<f32>>,
}

/// Makes batches of windows.
#[derive(Clone, Debug)]
pub struct Preparation {
    objective: Objective,
    vocabulary: Vocabulary,
    mask_id: u8,
    soft_mask_weight: f32,
}

impl Preparation {
    /// Prepares windows for `objective`. The loss of a soft-masked (lower-case) target counts `soft_mask_weight`.
    ///
    /// # Errors
    ///
    /// - fractions are none, or those of masked and random tokens exceed 1
    /// - the weight is negative or no number
    /// - masking is asked for and the vocabulary has no `[MASK]`
    pub fn new(objective: Objective, vocabulary: Vocabulary, soft_mask_weight: f64) -> Result<Self, ObjectiveError> {
        if !(soft_mask_weight >= 0.0 && soft_mask_weight.is_finite()) {
            return Err(ObjectiveError::Weight { found: soft_mask_weight });
        }
        let mask_id = match objective {
            Objective::Causal => IGNORED,
            Objective::Masked(masking) => {
                masking.check()?;
                vocabulary.mask().ok_or(ObjectiveError::NoMask)?
            }
        };
        Ok(Self { objective, vocabulary, mask_id, soft_mask_weight: soft_mask_weight as f32 })
    }

    /// The objective.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// The tokens.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// An empty batch of windows of `length` bases.
    pub fn batch(&self, length: usize) -> Batch {
        let weights = (self.soft_mask_weight != 1.0).then(Vec::new);
        Batch { length, ids: Vec::new(), labels: Vec::new(), weights }
    }

    /// Appends a window, its bases from 5' to 3' of its strand and in the file's case. `draws` decide what is masked.
    ///
    /// # Panics
    ///
    /// When the window is not of the batch's length.
    pub fn push(&self, batch: &mut Batch, bases: &[u8], draws: &Draws) {
        assert_eq!(bases.len(), batch.length, "a batch has windows of one length");
        let from = batch.ids.len();
        self.vocabulary.encode(bases, &mut batch.ids);
        let ids = &mut batch.ids[from..];
        match &self.objective {
            Objective::Causal => self.next_bases(ids, &mut batch.labels),
            Objective::Masked(masking) => self.hide(masking, ids, &mut batch.labels, draws),
        }
        if let Some(weights) = &mut batch.weights {
            let weight = |base: &u8| if base.is_ascii_lowercase() { self.soft_mask_weight } else { 1.0 };
            match self.objective {
                Objective::Causal => {
                    weights.extend(bases.iter().skip(1).map(weight));
                    weights.extend(bases.first().map(|_| 1.0));
                }
                Objective::Masked(_) => weights.extend(bases.iter().map(weight)),
            }
        }
    }

    fn next_bases(&self, ids: &[u8], labels: &mut Vec<u8>) {
        labels.extend(ids.iter().skip(1).map(|&id| self.target(id)));
        labels.extend(ids.first().map(|_| IGNORED));
    }

    fn hide(&self, masking: &Masking, ids: &mut [u8], labels: &mut Vec<u8>, draws: &Draws) {
        let is_below = |word: u32, fraction: f64| f64::from(word) < fraction * TWO_TO_32;
        for (t, id) in (0..).zip(ids) {
            let [selected, action, random, _] = draws.block(t);
            let target = self.target(*id);
            if target == IGNORED || !is_below(selected, masking.select) {
                labels.push(IGNORED);
                continue;
            }
            labels.push(target);
            if is_below(action, masking.mask) {
                *id = self.mask_id;
            } else if is_below(action, masking.mask + masking.random) {
                *id = self.random_id(masking.random_ids, random);
            }
        }
    }

    fn random_id(&self, ids: RandomIds, word: u32) -> u8 {
        let bits = u64::from(word) << 32;
        match ids {
            RandomIds::Vocabulary => below(bits, self.vocabulary.len() as u64) as u8,
            RandomIds::Bases => self.vocabulary.bases()[below(bits, 4) as usize],
        }
    }

    fn target(&self, id: u8) -> u8 {
        if self.vocabulary.is_base(id) { id } else { IGNORED }
    }
}

const TWO_TO_32: f64 = 4_294_967_296.0;

impl Batch {
    /// The number of windows, B.
    pub fn len(&self) -> usize {
        self.ids.len().checked_div(self.length).unwrap_or(0)
    }

    /// Whether there is no window.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The number of positions with a target. A batch may have none, of which no mean can be taken.
    pub fn n_targets(&self) -> usize {
        self.labels.iter().filter(|&&label| label != IGNORED).count()
    }

    /// The sum of the weights of all targets, by which a weighted mean is divided.
    pub fn total_weight(&self) -> f64 {
        match &self.weights {
            None => self.n_targets() as f64,
            Some(weights) => {
                let counted = self.labels.iter().zip(weights).filter(|(label, _)| **label != IGNORED);
                counted.map(|(_, &weight)| f64::from(weight)).sum()
            }
        }
    }
}

impl Masking {
    fn check(&self) -> Result<(), ObjectiveError> {
        let is_fraction = |x: f64| (0.0..=1.0).contains(&x);
        if !is_fraction(self.select) {
            return Err(ObjectiveError::Select { found: self.select });
        }
        if !is_fraction(self.mask) || !is_fraction(self.random) || self.mask + self.random > 1.0 + f64::EPSILON {
            return Err(ObjectiveError::Actions { mask: self.mask, random: self.random });
        }
        Ok(())
    }
}

/// An objective that cannot be prepared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ObjectiveError {
    /// The fraction of bases that is selected is none.
    Select {
        /// What it is.
        found: f64,
    },
    /// The fractions of masked and random tokens are none, or exceed 1.
    Actions {
        /// The fraction masked.
        mask: f64,
        /// The fraction replaced.
        random: f64,
    },
    /// The weight of soft-masked bases is negative or no number.
    Weight {
        /// What it is.
        found: f64,
    },
    /// The vocabulary has no `[MASK]`.
    NoMask,
}

impl fmt::Display for ObjectiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Select { found } => write!(f, "expected a fraction of selected bases from 0 to 1, found {found}"),
            Self::Actions { mask, random } => write!(
                f,
                "expected fractions of masked and random tokens from 0 to 1, together at most 1, found {mask} and {random}"
            ),
            Self::Weight { found } => {
                write!(f, "expected a weight of soft-masked bases of at least 0, found {found}")
            }
            Self::NoMask => f.write_str("expected a vocabulary with a [MASK], found none"),
        }
    }
}

impl std::error::Error for ObjectiveError {}

#[cfg(test)]
mod tests;
