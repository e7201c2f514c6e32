//! Where the alleles of a record end.

use longstrand_seq::variant::{Allele, VariantRecord};

use crate::allele::Reason;

/// What a record tells of its alleles' ends, read once for all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extents {
    /// POS.
    position: u64,
    /// The last base of REF, 1-based.
    reference_end: u64,
    /// INFO END, 1-based, where it is not before POS.
    told: Option<u64>,
    /// |SVLEN| of each allele.
    lengths: Vec<Option<u64>>,
    alleles: usize,
}

impl Extents {
    pub(crate) fn of(record: &VariantRecord) -> Self {
        let position = record.position();
        let reference_end = (position + record.reference().len() as u64).saturating_sub(1);
        let alleles = record.alternates().count();
        if !record.alternates().any(has_end) {
            return Self { position, reference_end, alleles, ..Self::default() };
        }
        let lengths = record.svlens().take(alleles).map(|length| length.map(i64::unsigned_abs)).collect();
        Self { position, reference_end, told: record.info_end(), lengths, alleles }
    }

    /// The last base of the reference, 1-based, that an allele replaces; none where the record does not tell it.
    pub(crate) fn end(&self, i: usize, allele: Allele<'_>) -> Option<u64> {
        match allele {
            Allele::Deletion | Allele::Duplication | Allele::Inversion => self.structure_end(i).ok(),
            allele if has_end(allele) => Some(self.told.unwrap_or(self.reference_end).max(self.reference_end)),
            _ => Some(self.reference_end),
        }
    }

    /// The last base, 1-based, of a deletion, duplication or inversion: POS + |SVLEN| of the allele, or END. END of a record
    /// with several alleles is the furthest of their ends.
    ///
    /// # Errors
    ///
    /// - [`Reason::NoEnd`] where there is neither, or where it does not lie behind POS;
    /// - [`Reason::EndAndSvlenDisagree`]
    pub(crate) fn structure_end(&self, i: usize) -> Result<u64, Reason> {
        let sized = self.lengths.get(i).copied().flatten().map(|length| self.position.saturating_add(length));
        let agrees = |sized: u64, told: u64| if self.alleles > 1 { sized <= told } else { sized == told };
        let end = match (sized, self.told) {
            (Some(sized), Some(told)) if !agrees(sized, told) => return Err(Reason::EndAndSvlenDisagree),
            (sized, told) => sized.or(told).ok_or(Reason::NoEnd)?,
        };
        if end > self.position { Ok(end) } else { Err(Reason::NoEnd) }
    }
}

/// Whether END tells the end of an allele.
fn has_end(allele: Allele<'_>) -> bool {
    use Allele::{Deletion, Duplication, Inversion, Symbolic, Unspecified};
    matches!(allele, Deletion | Duplication | Inversion | Symbolic(_) | Unspecified)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(end: Option<u64>, lengths: &[Option<u64>], alleles: usize) -> Extents {
        Extents { position: 100, reference_end: 100, told: end, lengths: lengths.to_vec(), alleles }
    }

    #[test]
    fn ends_are_told_by_svlen_and_end_alike() {
        let end = |end, lengths: &[Option<u64>]| extents(end, lengths, 1).structure_end(0);
        assert_eq!(end(Some(150), &[]), Ok(150));
        assert_eq!(end(None, &[Some(50)]), Ok(150));
        assert_eq!(end(Some(150), &[Some(50)]), Ok(150));
        assert_eq!(end(Some(150), &[Some(51)]), Err(Reason::EndAndSvlenDisagree));
        assert_eq!(end(Some(150), &[None]), Ok(150));
        assert_eq!(end(None, &[None]), Err(Reason::NoEnd));
        assert_eq!(end(Some(100), &[]), Err(Reason::NoEnd));
        assert_eq!(end(None, &[Some(u64::MAX)]), Ok(u64::MAX));
    }

    #[test]
    fn of_several_alleles_end_is_the_furthest() {
        let several = extents(Some(190), &[Some(50), Some(90), Some(91)], 3);
        let ends: Vec<_> = (0..3).map(|i| several.structure_end(i)).collect();
        assert_eq!(ends, [Ok(150), Ok(190), Err(Reason::EndAndSvlenDisagree)]);
        assert_eq!(extents(None, &[Some(5), None], 2).structure_end(1), Err(Reason::NoEnd));
        assert_eq!(extents(Some(190), &[Some(50)], 1).end(0, Allele::Bases(b"AC")), Some(100));
        assert_eq!(extents(Some(190), &[], 1).end(0, Allele::Unspecified), Some(190));
        assert_eq!(extents(None, &[], 1).end(0, Allele::Symbolic("INS")), Some(100));
        assert_eq!(extents(None, &[], 1).end(0, Allele::Deletion), None);
    }
}
