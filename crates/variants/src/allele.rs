//! Alleles that can be scored, and why others cannot.

use std::fmt;

use longstrand_seq::variant::{Allele as Alternate, NoEnd};

/// A change of the reference: the bases `start..start + reference.len()` become `alternate`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Edit {
    /// The contig's place in the genome's order.
    pub(crate) contig: usize,
    /// The first base, 0-based.
    pub(crate) start: u64,
    /// The reference's bases, upper case.
    pub(crate) reference: Vec<u8>,
    /// The bases that stand in their place, upper case.
    pub(crate) alternate: Vec<u8>,
    /// Whether the record spells the alternate bases out: a symbolic allele is no substitution, whatever its length.
    pub(crate) is_spelled: bool,
}

impl Edit {
    /// One past the last base that is replaced, 0-based.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.reference.len() as u64
    }

    /// The bases that differ, where the edit replaces bases one for one: position, reference, alternate.
    pub(crate) fn substitutions(&self) -> Option<impl Iterator<Item = (u64, u8, u8)>> {
        let pairs = self.reference.iter().zip(&self.alternate).zip(self.start..);
        (self.is_spelled && self.reference.len() == self.alternate.len())
            .then(|| pairs.filter(|((from, to), _)| from != to).map(|((&from, &to), position)| (position, from, to)))
    }
}

/// What an allele is, by its form in the record.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum VariantType {
    /// One base for another.
    Snv,
    /// Several bases for as many others.
    Mnv,
    /// Bases are added.
    Insertion,
    /// Bases are left out.
    Deletion,
    /// Bases are replaced by more or fewer others.
    Complex,
    /// `<DEL>`.
    SymbolicDeletion,
    /// `<DUP>`.
    SymbolicDuplication,
    /// `<INV>`.
    SymbolicInversion,
    /// Another symbolic allele.
    Symbolic,
    /// A breakend.
    Breakend,
    /// `*`, a deletion that another record tells.
    Overlapping,
    /// `<*>`, any allele that is not told.
    Unspecified,
    /// No alternate allele.
    None,
}

impl VariantType {
    /// The type of an alternate allele beside its REF.
    pub(crate) fn of(reference: &[u8], alternate: &Alternate<'_>) -> Self {
        match alternate {
            Alternate::Bases(bases) => Self::of_bases(reference, bases),
            Alternate::Deletion => Self::SymbolicDeletion,
            Alternate::Duplication => Self::SymbolicDuplication,
            Alternate::Inversion => Self::SymbolicInversion,
            Alternate::Symbolic(_) | Alternate::Unknown(_) => Self::Symbolic,
            Alternate::Breakend => Self::Breakend,
            Alternate::Overlapping => Self::Overlapping,
            Alternate::Unspecified => Self::Unspecified,
            Alternate::Missing => Self::None,
        }
    }

    /// What is left when the bases that both alleles begin and end with are taken away.
    fn of_bases(reference: &[u8], alternate: &[u8]) -> Self {
        let same = |pair: &(&u8, &u8)| pair.0.eq_ignore_ascii_case(pair.1);
        let prefix = reference.iter().zip(alternate).take_while(same).count();
        let (reference, alternate) = (&reference[prefix..], &alternate[prefix..]);
        let suffix = reference.iter().rev().zip(alternate.iter().rev()).take_while(same).count();
        match (reference.len() - suffix, alternate.len() - suffix) {
            (0, 0) => Self::None,
            (1, 1) => Self::Snv,
            (0, _) => Self::Insertion,
            (_, 0) => Self::Deletion,
            (from, to) if from == to => Self::Mnv,
            _ => Self::Complex,
        }
    }

    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Snv => "snv",
            Self::Mnv => "mnv",
            Self::Insertion => "insertion",
            Self::Deletion => "deletion",
            Self::Complex => "complex",
            Self::SymbolicDeletion => "symbolic_deletion",
            Self::SymbolicDuplication => "symbolic_duplication",
            Self::SymbolicInversion => "symbolic_inversion",
            Self::Symbolic => "symbolic",
            Self::Breakend => "breakend",
            Self::Overlapping => "overlapping_deletion",
            Self::Unspecified => "unspecified",
            Self::None => "none",
        }
    }
}

/// Why an allele has no score.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Reason {
    /// The record has no alternate allele.
    NoAlternate,
    /// `*`: another record tells the deletion.
    OverlappingDeletion,
    /// `<*>` or `<NON_REF>`: no allele is named.
    Unspecified,
    /// A breakend: the sequence beyond it is not told.
    Breakend,
    /// A symbolic allele whose sequence is not told.
    Symbolic,
    /// A symbolic allele without END or SVLEN.
    NoEnd,
    /// END and SVLEN of a symbolic allele tell two different ends.
    EndAndSvlenDisagree,
    /// REF or ALT has a letter that is no nucleotide code.
    InvalidBases,
    /// REF is not A, C, G or T at a site that is asked for.
    AmbiguousReference,
    /// ALT has a code that stands for several bases.
    AmbiguousAlternate,
    /// REF and ALT are the same.
    SameAsReference,
    /// REF is not what the reference has.
    ReferenceMismatch,
    /// The contig, or these positions of it, are not in the reference.
    NotInReference,
    /// The allele is longer than the context.
    LongerThanContext,
    /// The alleles of the record that come before it have as many bases as are held of one record.
    TooManyBases,
    /// The model gave a number that is infinite or none.
    NotFinite,
    /// The score is of substitutions, and the allele changes the length.
    NotASubstitution,
}

impl Reason {
    /// The name in tables and VCF.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoAlternate => "no_alternate",
            Self::OverlappingDeletion => "overlapping_deletion",
            Self::Unspecified => "unspecified_allele",
            Self::Breakend => "breakend",
            Self::Symbolic => "symbolic_allele",
            Self::NoEnd => "no_end",
            Self::EndAndSvlenDisagree => "end_and_svlen_disagree",
            Self::InvalidBases => "invalid_bases",
            Self::AmbiguousReference => "ambiguous_reference",
            Self::AmbiguousAlternate => "ambiguous_alternate",
            Self::SameAsReference => "same_as_reference",
            Self::ReferenceMismatch => "reference_mismatch",
            Self::NotInReference => "not_in_reference",
            Self::LongerThanContext => "longer_than_context",
            Self::TooManyBases => "too_many_bases",
            Self::NotFinite => "not_finite",
            Self::NotASubstitution => "not_a_substitution",
        }
    }
}

impl From<NoEnd> for Reason {
    fn from(why: NoEnd) -> Self {
        match why {
            NoEnd::Untold => Self::NoEnd,
            NoEnd::Disagree => Self::EndAndSvlenDisagree,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_what_is_left_of_the_alleles() {
        for (reference, alternate, expected) in [
            ("A", "G", VariantType::Snv),
            ("CAG", "CAT", VariantType::Snv),
            ("CA", "TG", VariantType::Mnv),
            ("A", "ATT", VariantType::Insertion),
            ("CTT", "C", VariantType::Deletion),
            ("TTC", "C", VariantType::Deletion),
            ("CTT", "GA", VariantType::Complex),
            ("a", "AT", VariantType::Insertion),
        ] {
            assert_eq!(
                VariantType::of_bases(reference.as_bytes(), alternate.as_bytes()),
                expected,
                "{reference}>{alternate}"
            );
        }
    }

    #[test]
    fn substitutions_are_the_bases_that_differ() {
        let edit = |reference: &str, alternate: &str| Edit {
            contig: 0,
            start: 10,
            reference: reference.into(),
            alternate: alternate.into(),
            is_spelled: true,
        };
        let found: Vec<_> = edit("CAG", "TAC").substitutions().unwrap().collect();
        assert_eq!(found, [(10, b'C', b'T'), (12, b'G', b'C')]);
        assert!(edit("CA", "C").substitutions().is_none());
    }
}
