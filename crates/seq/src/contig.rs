//! Contigs of a file and the names that they go by.

mod alias;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use alias::Chromosome;

/// One sequence of a genome.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Contig {
    /// The name as the file has it.
    pub name: String,
    /// The length in bases. For a sliced reference, the end of the last base that is known.
    pub length: u64,
}

/// The contigs of a file, in the file's order.
#[derive(Clone, Debug, Default)]
pub struct Contigs {
    contigs: Vec<Contig>,
    spans: Vec<Vec<Range<u64>>>,
    /// Whether the file has a contig from its start to its end, and not slices of it.
    are_whole: Vec<bool>,
    by_name: HashMap<String, usize>,
    by_chromosome: HashMap<String, Vec<usize>>,
}

impl Contigs {
    /// Takes contigs in the file's order.
    ///
    /// # Errors
    ///
    /// - two contigs have the same name
    pub fn new(contigs: Vec<Contig>) -> Result<Self, ContigError> {
        let spans = contigs.iter().map(|contig| std::iter::once(0..contig.length).collect()).collect();
        let are_whole = vec![true; contigs.len()];
        Self::with_spans(contigs, spans, are_whole)
    }

    /// Takes contigs of which only some intervals (0-based, half-open) may have bases, and says which are whole.
    pub(crate) fn with_spans(
        contigs: Vec<Contig>,
        spans: Vec<Vec<Range<u64>>>,
        are_whole: Vec<bool>,
    ) -> Result<Self, ContigError> {
        let mut by_name = HashMap::with_capacity(contigs.len());
        let mut by_chromosome: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, contig) in contigs.iter().enumerate() {
            if by_name.insert(contig.name.clone(), i).is_some() {
                return Err(ContigError::Duplicate { name: contig.name.clone() });
            }
            let chromosome = Chromosome::of(&contig.name);
            by_chromosome.entry(chromosome.name).or_default().push(i);
        }
        Ok(Self { contigs, spans, are_whole, by_name, by_chromosome })
    }

    /// The number of contigs.
    pub fn len(&self) -> usize {
        self.contigs.len()
    }

    /// Whether there is no contig.
    pub fn is_empty(&self) -> bool {
        self.contigs.is_empty()
    }

    /// The contig at a place in the file's order.
    ///
    /// # Panics
    ///
    /// When there are not so many contigs.
    pub fn get(&self, contig: usize) -> &Contig {
        &self.contigs[contig]
    }

    /// The intervals of a contig (0-based, half-open, ascending) whose bases the file has: the whole contig, unless the
    /// reference is sliced.
    ///
    /// # Panics
    ///
    /// When there are not so many contigs.
    pub fn spans(&self, contig: usize) -> &[Range<u64>] {
        &self.spans[contig]
    }

    /// The length of a contig in bases; none where the file has slices of it, which do not tell where it ends.
    ///
    /// # Panics
    ///
    /// When there are not so many contigs.
    pub fn whole_length(&self, contig: usize) -> Option<u64> {
        self.are_whole[contig].then(|| self.contigs[contig].length)
    }

    /// The contigs in the file's order.
    pub fn iter(&self) -> std::slice::Iter<'_, Contig> {
        self.contigs.iter()
    }

    /// The number of bases that the file has, all contigs together.
    pub fn total_length(&self) -> u64 {
        self.spans.iter().flatten().map(|span| span.end - span.start).sum()
    }

    /// Finds a contig by its name or by another name of the same chromosome.
    ///
    /// The exact name wins. Otherwise `20`, `chr20`, `NC_000020.11` and `CM000682.2` are one chromosome, as are `MT`, `M`, `chrM`,
    /// `NC_012920.1` and `J01415.2`; an accession of GRCh37 never stands for one of GRCh38.
    ///
    /// # Errors
    ///
    /// - no contig goes by the name
    /// - more than one contig does
    pub fn resolve(&self, name: &str) -> Result<usize, ContigError> {
        if let Some(&contig) = self.by_name.get(name) {
            return Ok(contig);
        }
        let asked = Chromosome::of(name);
        let candidates = self.by_chromosome.get(&asked.name).map_or(&[][..], Vec::as_slice);
        let mut matching =
            candidates.iter().copied().filter(|&i| asked.is_compatible(&Chromosome::of(&self.contigs[i].name)));
        match (matching.next(), matching.next()) {
            (Some(contig), None) => Ok(contig),
            (Some(first), Some(second)) => Err(self.ambiguous(name, first, second)),
            (None, _) => Err(self.unknown(name)),
        }
    }

    fn ambiguous(&self, name: &str, first: usize, second: usize) -> ContigError {
        ContigError::Ambiguous {
            name: name.into(),
            first: self.contigs[first].name.clone(),
            second: self.contigs[second].name.clone(),
        }
    }

    fn unknown(&self, name: &str) -> ContigError {
        const SHOWN: usize = 5;
        ContigError::Unknown {
            name: name.into(),
            known: self.iter().take(SHOWN).map(|contig| contig.name.clone()).collect(),
            count: self.len(),
        }
    }
}

/// The name of a contig in a file that calls another one `like`: with or without `chr`, and `chrM` or `MT`. What is no
/// chromosome keeps its name, as all do where `like` is none or an accession.
///
/// ```
/// use longstrand_seq::contig::named_like;
///
/// assert_eq!(named_like("MT", "chr20"), "chrM");
/// assert_eq!(named_like("NC_000021.9", "20"), "21");
/// assert_eq!(named_like("scaffold_7", "chr20"), "scaffold_7");
/// ```
pub fn named_like(name: &str, like: &str) -> String {
    alias::named_like(name, like).unwrap_or_else(|| name.to_owned())
}

/// A contig's name says nothing, or too much.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ContigError {
    /// Two contigs of one file have the same name.
    Duplicate {
        /// The name.
        name: String,
    },
    /// No contig goes by the name.
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The first few names that exist.
        known: Vec<String>,
        /// How many contigs there are.
        count: usize,
    },
    /// More than one contig goes by the name.
    Ambiguous {
        /// The name that was asked for.
        name: String,
        /// A contig that it may mean.
        first: String,
        /// Another.
        second: String,
    },
}

impl fmt::Display for ContigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { name } => write!(f, "contig {name:?} occurs more than once"),
            Self::Ambiguous { name, first, second } => {
                write!(f, "contig {name:?} is ambiguous: it may be {first:?} or {second:?}")
            }
            Self::Unknown { name, known, count } => {
                write!(f, "unknown contig {name:?}: ")?;
                match known.as_slice() {
                    [] => f.write_str("there are no contigs"),
                    known if known.len() < *count => {
                        write!(f, "there are {count} contigs, the first are {}", quoted(known))
                    }
                    known => write!(f, "there are {}", quoted(known)),
                }
            }
        }
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

impl std::error::Error for ContigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn contigs(names: &[&str]) -> Contigs {
        let contigs = names.iter().map(|name| Contig { name: (*name).into(), length: 10 });
        Contigs::new(contigs.collect()).unwrap()
    }

    #[test]
    fn names_of_one_chromosome_are_reconciled() {
        for (inside, asked) in [
            ("20", "chr20"),
            ("chr20", "20"),
            ("chr20", "NC_000020.10"),
            ("NC_000020.11", "20"),
            ("CM000682.2", "NC_000020.11"),
            ("MT", "chrM"),
            ("NC_012920.1", "M"),
            ("NC_000023.10", "chrX"),
            ("Y", "NC_000024.10"),
            ("I", "chrI"),
            ("Chr1", "1"),
        ] {
            assert_eq!(contigs(&["other", inside]).resolve(asked), Ok(1), "{asked} in a file with {inside}");
        }
    }

    #[test]
    fn other_chromosomes_and_assemblies_stay_apart() {
        for (inside, asked) in
            [("NC_000020.10", "NC_000020.11"), ("X", "10"), ("I", "1"), ("chr2", "chr20"), ("NC_000020.99", "20")]
        {
            let error = contigs(&[inside]).resolve(asked).unwrap_err();
            assert_eq!(error.to_string(), format!("unknown contig {asked:?}: there are {inside:?}"));
        }
    }

    #[test]
    fn the_exact_name_wins_over_an_alias() {
        let contigs = contigs(&["20", "chr20"]);
        assert_eq!(contigs.resolve("chr20"), Ok(1));
        assert_eq!(contigs.resolve("20"), Ok(0));
    }

    #[test]
    fn an_alias_of_two_contigs_names_both() {
        let error = contigs(&["20", "chr20"]).resolve("NC_000020.10").unwrap_err();
        assert_eq!(error.to_string(), r#"contig "NC_000020.10" is ambiguous: it may be "20" or "chr20""#);
    }

    #[test]
    fn an_unknown_contig_shows_a_few_that_exist() {
        let error = contigs(&["a", "b", "c", "d", "e", "f"]).resolve("z").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"unknown contig "z": there are 6 contigs, the first are "a", "b", "c", "d", "e""#
        );
    }

    #[test]
    fn duplicate_names_are_refused() {
        let twice = vec![Contig { name: "a".into(), length: 1 }; 2];
        assert_eq!(Contigs::new(twice).unwrap_err().to_string(), r#"contig "a" occurs more than once"#);
    }
}
