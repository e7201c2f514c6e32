//! What a run has counted.

use std::collections::BTreeMap;

use longstrand_table::Metadata;
use serde_json::json;

use crate::scorer::Scored;

/// Records, alleles, and why some have no score.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Records read and written.
    pub records: u64,
    /// Alternate alleles, those of records without one included.
    pub alleles: u64,
    /// Alleles with all the scores that were asked for.
    pub scored: u64,
    /// Alleles by the reason for which a score is missing.
    pub reasons: BTreeMap<String, u64>,
    /// Scores that are infinite or not a number.
    pub not_finite: u64,
}

impl Counts {
    /// Counts the alleles of a record.
    pub(crate) fn add(&mut self, alleles: &[Scored]) {
        self.records += 1;
        self.alleles += alleles.len() as u64;
        for scored in alleles {
            match &scored.reason {
                Some(reason) => *self.reasons.entry(reason.clone()).or_default() += 1,
                None => self.scored += 1,
            }
            self.not_finite += scored.not_finite;
        }
    }

    /// For the footer of a table.
    pub(crate) fn metadata(&self) -> Metadata {
        let counts = json!({
            "records": self.records,
            "alleles": self.alleles,
            "scored": self.scored,
            "reasons": self.reasons,
        });
        vec![("longstrand.counts".into(), counts.to_string())]
    }
}
