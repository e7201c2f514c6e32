//! What is wrong with vectors that are written all the same.

use super::EmbeddingRow;

/// Numbers that a reader of the table may not expect.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Flaws {
    /// Finite numbers that became infinite because f16 ends at 65,504.
    pub f16_overflows: u64,
    /// Vectors of which a number was infinite or not a number before it was rounded.
    pub not_finite: u64,
    /// Name of the window of the first of them.
    pub first_not_finite: Option<String>,
}

impl Flaws {
    /// Adds those of rows that come later.
    pub fn append(&mut self, later: &Self) {
        self.f16_overflows += later.f16_overflows;
        self.not_finite += later.not_finite;
        if self.first_not_finite.is_none() {
            self.first_not_finite.clone_from(&later.first_not_finite);
        }
    }

    pub(super) fn check(&mut self, row: &EmbeddingRow<'_>) {
        if !row.embedding.iter().all(|value| value.is_finite()) {
            self.not_finite += 1;
            self.first_not_finite.get_or_insert_with(|| row.name.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::Strand;

    fn flaws(rows: &[(&str, [f32; 2])]) -> Flaws {
        let mut flaws = Flaws::default();
        for (name, embedding) in rows {
            flaws.check(&EmbeddingRow {
                name,
                contig: "1",
                start: 0,
                end: 1,
                strand: Strand::Forward,
                layer: "last",
                bin: 0,
                n_bases: 1,
                n_ambiguous: 0,
                n_soft_masked: 0,
                embedding,
            });
        }
        flaws
    }

    #[test]
    fn vectors_are_counted_and_the_first_is_named() {
        let mut all = flaws(&[("a", [0.0, f32::MAX])]);
        assert_eq!(all, Flaws::default());
        all.append(&flaws(&[("b", [1.0, f32::NAN]), ("c", [f32::INFINITY, f32::NAN])]));
        all.append(&flaws(&[("d", [f32::NEG_INFINITY, 0.0])]));
        assert_eq!(all, Flaws { f16_overflows: 0, not_finite: 3, first_not_finite: Some("b".into()) });
    }
}
