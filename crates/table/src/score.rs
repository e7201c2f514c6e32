//! The table of `score`: one row for each allele.

mod batch;
mod writer;

use std::ops::Range;

use arrow_schema::{DataType, Field, Schema};

pub(crate) use writer::SLICE_ROWS;
pub use writer::ScoreWriter;

/// The columns before the scores: name, type, whether a value may be missing.
const KEYS: [(&str, DataType, bool); 7] = [
    ("contig", DataType::Utf8, false),
    ("pos", DataType::Int64, false),
    ("end", DataType::Int64, true),
    ("ref", DataType::Utf8, false),
    ("alt", DataType::Utf8, false),
    ("id", DataType::Utf8, true),
    ("variant_type", DataType::Utf8, false),
];
/// The columns behind the scores.
const REST: [(&str, DataType, bool); 4] = [
    ("n_ambiguous", DataType::Int64, true),
    ("window_start", DataType::Int64, true),
    ("window_end", DataType::Int64, true),
    ("reason", DataType::Utf8, true),
];

/// Which scores the table has.
///
/// A score `NAME` becomes the columns `NAME`, `NAME_forward` and `NAME_reverse`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScoreLayout {
    scores: Vec<String>,
}

impl ScoreLayout {
    /// A table of these scores, in this order.
    ///
    /// ```
    /// use longstrand_table::ScoreLayout;
    ///
    /// let layout = ScoreLayout::new(["masked", "embedding_l2"]);
    /// assert_eq!(layout.columns()[7..10], ["masked", "masked_forward", "masked_reverse"]);
    /// ```
    ///
    /// # Panics
    ///
    /// If two columns would bear the same name.
    pub fn new(scores: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let layout = Self { scores: scores.into_iter().map(Into::into).collect() };
        let mut columns = layout.columns();
        columns.sort_unstable();
        let twin = columns.windows(2).find(|pair| pair[0] == pair[1]);
        assert!(twin.is_none(), "columns of one name: {twin:?}");
        layout
    }

    /// Names of the scores.
    pub fn scores(&self) -> &[String] {
        &self.scores
    }

    /// Names of the columns.
    pub fn columns(&self) -> Vec<String> {
        self.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn schema(&self) -> Schema {
        let fixed = |(name, data_type, nullable): (&str, DataType, bool)| Field::new(name, data_type, nullable);
        let scores = self.scores.iter().flat_map(|name| {
            ["", "_forward", "_reverse"].map(|strand| Field::new(format!("{name}{strand}"), DataType::Float64, true))
        });
        Schema::new(KEYS.map(fixed).into_iter().chain(scores).chain(REST.map(fixed)).collect::<Vec<_>>())
    }
}

/// A score, and its value on each strand. What was not computed, or is not a number, is missing in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StrandScores {
    /// The score: that of one strand, or the mean of both.
    pub score: Option<f64>,
    /// Its value on the strand that the reference spells.
    pub forward: Option<f64>,
    /// Its value on the reverse complement.
    pub reverse: Option<f64>,
}

impl StrandScores {
    /// The three values in the order of their columns; NaN counts as missing.
    pub(crate) fn values(&self) -> [Option<f64>; 3] {
        [self.score, self.forward, self.reverse].map(|value| value.filter(|value| !value.is_nan()))
    }
}

/// One row: an allele and its scores. Its fields are the columns.
#[derive(Clone, Debug)]
pub struct ScoreRow<'a> {
    /// Contig, as the variants call it.
    pub contig: &'a str,
    /// First base of the reference allele, 1-based: the column `pos`.
    pub position: u64,
    /// Last base of the reference that the allele replaces, 1-based, where it is told: the column `end`.
    pub end: Option<u64>,
    /// Reference allele: the column `ref`.
    pub reference: &'a str,
    /// This row's alternate allele: the column `alt`.
    pub alternate: &'a str,
    /// Name of the variant, if it has one: the column `id`.
    pub id: Option<&'a str>,
    /// Kind of the variant, as in "snv" or "deletion".
    pub variant_type: &'a str,
    /// One for each score of the layout.
    pub values: &'a [StrandScores],
    /// Bases of the window that are not A, C, G or T.
    pub n_ambiguous: Option<u64>,
    /// Bases of the reference that the model saw, 0-based, half-open: the columns `window_start` and `window_end`.
    pub window: Option<Range<u64>>,
    /// Why scores are missing.
    pub reason: Option<&'a str>,
}

impl ScoreRow<'_> {
    /// The texts with the names of their columns; a missing one is empty.
    pub(crate) fn texts(&self) -> [(&'static str, &str); 6] {
        [
            ("contig", self.contig),
            ("ref", self.reference),
            ("alt", self.alternate),
            ("id", self.id.unwrap_or_default()),
            ("variant_type", self.variant_type),
            ("reason", self.reason.unwrap_or_default()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_the_documented_order() {
        let columns = ScoreLayout::new(["wildtype"]).columns();
        let expected = "contig pos end ref alt id variant_type wildtype wildtype_forward wildtype_reverse \
                        n_ambiguous window_start window_end reason";
        assert_eq!(columns.join(" "), expected);
    }

    #[test]
    #[should_panic = "columns of one name"]
    fn a_score_that_is_given_twice_is_refused() {
        ScoreLayout::new(["masked", "masked"]);
    }

    #[test]
    fn a_value_that_is_not_a_number_is_missing() {
        let strands = StrandScores { score: Some(f64::NAN), forward: Some(0.0), reverse: None };
        assert_eq!(strands.values(), [None, Some(0.0), None]);
    }
}
