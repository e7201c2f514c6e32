//! The two strands of DNA.

use std::fmt;

/// The strand that a sequence is read from.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Strand {
    /// As the file has it; written `+`.
    #[default]
    Forward,
    /// The reverse complement; written `-`.
    Reverse,
}

impl Strand {
    /// The other strand.
    pub fn opposite(self) -> Self {
        match self {
            Self::Forward => Self::Reverse,
            Self::Reverse => Self::Forward,
        }
    }
}

impl fmt::Display for Strand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "+",
            Self::Reverse => "-",
        })
    }
}

/// Turns a sequence into its reverse complement, in place.
///
/// IUPAC codes become the code of the complementary set (`R` ↔ `Y`); `U` becomes `A`. Case is kept, and a byte that is no
/// nucleotide code stays as it is.
pub fn reverse_complement(bases: &mut [u8]) {
    bases.reverse();
    for base in bases {
        *base = COMPLEMENT[usize::from(*base)];
    }
}

const COMPLEMENT: [u8; 256] = complement_table();

const fn complement_table() -> [u8; 256] {
    let from = b"ACGTURYKMSWBDHVN";
    let to = b"TGCAAYRMKSWVHDBN";
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte as u8;
        byte += 1;
    }
    let mut i = 0;
    while i < from.len() {
        table[from[i] as usize] = to[i];
        table[from[i].to_ascii_lowercase() as usize] = to[i].to_ascii_lowercase();
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complements_every_code_and_keeps_case() {
        let mut bases = b"ACGTUrykmswbdhvnN-*".to_vec();
        reverse_complement(&mut bases);
        assert_eq!(bases, b"*-NnbdhvwskmryAACGT");
    }

    #[test]
    fn twice_is_the_same_sequence() {
        let mut bases = b"ACGTRYKMSWBDHVNacgtrykmswbdhvn".to_vec();
        let before = bases.clone();
        reverse_complement(&mut bases);
        reverse_complement(&mut bases);
        assert_eq!(bases, before);
    }

    #[test]
    fn strands_are_written_as_in_bed() {
        assert_eq!(Strand::Forward.to_string(), "+");
        assert_eq!(Strand::Forward.opposite().to_string(), "-");
    }
}
