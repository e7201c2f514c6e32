//! What a run has counted.

use std::collections::BTreeMap;

use longstrand_table::Metadata;
use serde_json::{Map, Value, json};

use crate::options::Score;
use crate::scorer::Scored;

/// Records, alleles, and why some have no score.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Records read and written.
    pub records: u64,
    /// Alternate alleles, those of records without one included.
    pub alleles: u64,
    /// What became of the alleles, score by score in the order of the columns.
    pub scores: Vec<ScoreCounts>,
    /// Values that were left out because they are infinite or not a number.
    pub not_finite: u64,
}

/// How many alleles have a score.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScoreCounts {
    /// The score.
    pub score: Score,
    /// Alleles that have it.
    pub scored: u64,
    /// Alleles that do not, by the reason.
    pub reasons: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Nothing, of these scores.
    pub(crate) fn new(scores: &[Score]) -> Self {
        let none = |&score: &Score| ScoreCounts { score, scored: 0, reasons: BTreeMap::new() };
        Self { scores: scores.iter().map(none).collect(), ..Self::default() }
    }

    /// Counts the alleles of a record.
    pub(crate) fn add(&mut self, alleles: &[Scored]) {
        self.records += 1;
        self.alleles += alleles.len() as u64;
        for scored in alleles {
            for (counts, reason) in self.scores.iter_mut().zip(&scored.reasons) {
                match reason {
                    Some(reason) => *counts.reasons.entry(reason.name()).or_default() += 1,
                    None => counts.scored += 1,
                }
            }
            self.not_finite += scored.not_finite;
        }
    }

    /// For the footer of a table.
    pub(crate) fn metadata(&self) -> Metadata {
        let of_score = |counts: &ScoreCounts| json!({ "scored": counts.scored, "reasons": counts.reasons });
        let scores: Map<String, Value> =
            self.scores.iter().map(|counts| (counts.score.to_string(), of_score(counts))).collect();
        let counts = json!({ "records": self.records, "alleles": self.alleles, "scores": scores });
        vec![("longstrand.counts".into(), counts.to_string())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allele::Reason;

    #[test]
    fn each_score_has_its_own_reasons() {
        let allele = |reasons: [Option<Reason>; 2]| Scored {
            values: Vec::new(),
            window: None,
            n_ambiguous: None,
            reasons: reasons.to_vec(),
            reason: None,
            not_finite: 0,
        };
        let mut counts = Counts::new(&[Score::Masked, Score::Embedding]);
        counts.add(&[allele([None, None]), allele([Some(Reason::NotASubstitution), None])]);
        counts.add(&[allele([Some(Reason::NoEnd); 2])]);
        assert_eq!((counts.records, counts.alleles), (2, 3));
        let (masked, embedding) = (&counts.scores[0], &counts.scores[1]);
        assert_eq!((masked.scored, embedding.scored), (1, 2));
        assert_eq!(masked.reasons, BTreeMap::from([("no_end", 1), ("not_a_substitution", 1)]));
        assert_eq!(embedding.reasons, BTreeMap::from([("no_end", 1)]));
    }
}
