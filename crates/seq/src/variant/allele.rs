//! Alternate alleles.

/// What stands in a record's ALT column for one allele.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Allele<'a> {
    /// Bases, in letters of either case.
    Bases(&'a [u8]),
    /// `<DEL>` and its subtypes, such as `<DEL:ME:ALU>`.
    Deletion,
    /// `<DUP>` and its subtypes, such as `<DUP:TANDEM>`.
    Duplication,
    /// `<INV>` and its subtypes.
    Inversion,
    /// `*`: the site is deleted by a variant further up.
    Overlapping,
    /// `<*>`, `<NON_REF>` or `<X>`: any other allele.
    Unspecified,
    /// `.`: there is no alternate allele.
    Missing,
    /// A breakend, single or mated.
    Breakend,
    /// Any other symbolic allele, such as `<INS>` or `<CNV>`; here without its angle brackets.
    Symbolic(&'a str),
    /// Text that VCF gives no meaning.
    Unknown(&'a [u8]),
}

impl<'a> Allele<'a> {
    /// Tells what one allele of an ALT column is.
    pub(super) fn parse(text: &'a [u8]) -> Self {
        match text {
            b"." | b"" => Self::Missing,
            b"*" => Self::Overlapping,
            [b'<', inside @ .., b'>'] if !inside.contains(&b'<') => {
                std::str::from_utf8(inside).map_or(Self::Unknown(text), Self::symbolic)
            }
            _ if text.iter().all(u8::is_ascii_alphabetic) => Self::Bases(text),
            _ if is_breakend(text) => Self::Breakend,
            _ => Self::Unknown(text),
        }
    }

    fn symbolic(name: &'a str) -> Self {
        match name.split(':').next() {
            Some("DEL") => Self::Deletion,
            Some("DUP") => Self::Duplication,
            Some("INV") => Self::Inversion,
            _ if matches!(name, "*" | "NON_REF" | "X") => Self::Unspecified,
            _ => Self::Symbolic(name),
        }
    }

    /// Whether SVLEN is the number of reference bases that the allele replaces.
    pub(super) fn is_sized_by_svlen(self) -> bool {
        match self {
            Self::Deletion | Self::Duplication | Self::Inversion => true,
            Self::Symbolic(name) => name.split(':').next() == Some("CNV"),
            _ => false,
        }
    }

    /// Whether INFO END says where the allele ends.
    pub(super) fn is_symbolic(self) -> bool {
        self.is_sized_by_svlen() || matches!(self, Self::Symbolic(_) | Self::Unspecified)
    }
}

fn is_breakend(text: &[u8]) -> bool {
    let is_mated = text.iter().any(|b| matches!(b, b'[' | b']'));
    let is_single = text.len() > 1 && (text.starts_with(b".") || text.ends_with(b"."));
    is_mated || is_single
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_told() {
        for (text, allele) in [
            ("A", Allele::Bases(b"A")),
            ("acgtN", Allele::Bases(b"acgtN")),
            (".", Allele::Missing),
            ("*", Allele::Overlapping),
            ("<*>", Allele::Unspecified),
            ("<NON_REF>", Allele::Unspecified),
            ("<X>", Allele::Unspecified),
            ("<DEL>", Allele::Deletion),
            ("<DEL:ME:ALU>", Allele::Deletion),
            ("<DUP:TANDEM>", Allele::Duplication),
            ("<INV>", Allele::Inversion),
            ("<INS>", Allele::Symbolic("INS")),
            ("<DELETED>", Allele::Symbolic("DELETED")),
            ("G]17:198982]", Allele::Breakend),
            ("[13:123457[C", Allele::Breakend),
            ("G.", Allele::Breakend),
            (".TC", Allele::Breakend),
            ("<DEL", Allele::Unknown(b"<DEL")),
            ("A1", Allele::Unknown(b"A1")),
        ] {
            assert_eq!(Allele::parse(text.as_bytes()), allele, "{text}");
        }
    }
}
