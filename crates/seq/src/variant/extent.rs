//! Where the alleles of a record end.

use super::{Allele, VariantRecord};

/// What a record tells of its alleles' ends, read once for all of them.
///
/// Ends are the last base, 1-based, which is one past the last base, 0-based.
#[derive(Clone, Debug, Default)]
pub struct Extents {
    /// POS.
    position: u64,
    /// The end of REF.
    reference_end: u64,
    /// INFO END, where it is not before POS.
    told: Option<u64>,
    /// POS + |SVLEN| of each allele.
    sized: Vec<Option<u64>>,
    alleles: usize,
}

/// Why a deletion, duplication or inversion has no end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoEnd {
    /// There is neither END nor SVLEN, or they do not lie behind POS, or one of them is there twice.
    Untold,
    /// END and SVLEN tell two different ends.
    Disagree,
}

impl Extents {
    /// What a record tells.
    pub fn of(record: &VariantRecord) -> Self {
        let (position, reference_end) = (record.position(), record.reference_end());
        let alleles = record.alternates().count();
        let is_repeated = || ["END", "SVLEN"].iter().any(|key| record.repeats_info(key));
        if !record.alternates().any(Allele::is_symbolic) || is_repeated() {
            return Self { position, reference_end, alleles, ..Self::default() };
        }
        let sized = |length: Option<i64>| position.checked_add(length?.unsigned_abs()).filter(fits);
        let sized = record.svlens().take(alleles).map(sized).collect();
        Self { position, reference_end, told: record.info_end(), sized, alleles }
    }

    /// The end of the allele at a place in ALT.
    ///
    /// Of a deletion, duplication or inversion it is POS + |SVLEN|, or END, which of several alleles is the furthest of their
    /// ends. Of any other symbolic allele it is END, or SVLEN of a `<CNV>`, and never before the end of REF; of all others it is
    /// that of REF.
    ///
    /// # Errors
    ///
    /// - a deletion, duplication or inversion does not tell its end.
    pub fn end(&self, i: usize, allele: Allele<'_>) -> Result<u64, NoEnd> {
        match allele {
            Allele::Deletion | Allele::Duplication | Allele::Inversion => self.structure_end(i),
            allele if allele.is_symbolic() => {
                let sized = self.sized(i).filter(|_| allele.is_sized_by_svlen());
                let told = if self.alleles > 1 { sized.or(self.told) } else { self.told.or(sized) };
                Ok(told.unwrap_or(self.reference_end).max(self.reference_end))
            }
            _ => Ok(self.reference_end),
        }
    }

    /// The furthest end that an allele may have, for those who look for records by their place.
    pub(super) fn furthest(&self, record: &VariantRecord) -> u64 {
        let end = |(i, allele): (usize, Allele<'_>)| match self.end(i, allele) {
            Ok(end) => end,
            Err(_) => self.told.unwrap_or(self.reference_end),
        };
        record.alternates().enumerate().map(end).max().unwrap_or(0).max(self.reference_end)
    }

    fn sized(&self, i: usize) -> Option<u64> {
        self.sized.get(i).copied().flatten()
    }

    fn structure_end(&self, i: usize) -> Result<u64, NoEnd> {
        let agrees = |sized: u64, told: u64| if self.alleles > 1 { sized <= told } else { sized == told };
        let end = match (self.sized(i), self.told) {
            (Some(sized), Some(told)) if !agrees(sized, told) => return Err(NoEnd::Disagree),
            (sized, told) => sized.or(told).ok_or(NoEnd::Untold)?,
        };
        if end > self.position { Ok(end) } else { Err(NoEnd::Untold) }
    }
}

/// Whether a position is one that files can tell: of 63 bits.
pub(super) fn fits(position: &u64) -> bool {
    i64::try_from(*position).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{super::Place, *};

    /// The ends of the alleles of a record at position 100.
    fn ends(alternates: &str, info: &str) -> Vec<Result<u64, NoEnd>> {
        let line = format!("chr2\t100\t.\tA\t{alternates}\t.\t.\t{info}");
        let record = VariantRecord::parse(line.into_bytes(), Place::Line(1)).unwrap();
        let extents = Extents::of(&record);
        record.alternates().enumerate().map(|(i, allele)| extents.end(i, allele)).collect()
    }

    #[test]
    fn ends_are_told_by_svlen_and_end_alike() {
        for (info, end) in [
            ("END=150", Ok(150)),
            ("SVLEN=-50", Ok(150)),
            ("END=150;SVLEN=50", Ok(150)),
            ("END=150;SVLEN=51", Err(NoEnd::Disagree)),
            ("END=150;SVLEN=.", Ok(150)),
            (".", Err(NoEnd::Untold)),
            ("END=100", Err(NoEnd::Untold)),
            ("END=150;END=160", Err(NoEnd::Untold)),
            ("END=150;SVLEN=50;DB;SVLEN=50", Err(NoEnd::Untold)),
            ("SVLEN=9223372036854775707", Ok(i64::MAX as u64)),
            ("SVLEN=9223372036854775708", Err(NoEnd::Untold)),
            ("SVLEN=-9223372036854775808", Err(NoEnd::Untold)),
        ] {
            for allele in ["<DEL>", "<DUP:TANDEM>", "<INV>"] {
                assert_eq!(ends(allele, info), [end], "{allele} {info}");
            }
        }
    }

    #[test]
    fn of_several_alleles_end_is_the_furthest() {
        let found = ends("<DEL>,<DUP>,<INV>", "END=190;SVLEN=-50,90,91");
        assert_eq!(found, [Ok(150), Ok(190), Err(NoEnd::Disagree)]);
        assert_eq!(ends("<DEL>,<DUP>", "SVLEN=5,."), [Ok(105), Err(NoEnd::Untold)]);
    }

    #[test]
    fn other_alleles_end_with_ref_or_where_the_record_says() {
        for (alternates, info, end) in [
            ("AC", "END=190;SVLEN=50", 100),
            ("<NON_REF>", "END=190", 190),
            ("<INS>", "SVLEN=50", 100),
            ("<CNV>", "SVLEN=500", 600),
            ("<CNV>", "SVLEN=500;END=190", 190),
            ("<CNV>", ".", 100),
        ] {
            assert_eq!(ends(alternates, info), [Ok(end)], "{alternates} {info}");
        }
    }
}
