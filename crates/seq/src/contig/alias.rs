//! Which chromosome a contig's name means.

/// A chromosome, and the human assembly when the name tells it.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Chromosome {
    /// The bare name: `20`, `X`, `MT`, or the whole name when it is no known form.
    pub(super) name: String,
    assembly: Option<Assembly>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Assembly {
    Grch37,
    Grch38,
}

/// RefSeq accession versions of chromosomes 1 to 22, X and Y: in GRCh37 and in GRCh38.
const REFSEQ_VERSIONS: [(u8, u8); 24] = [
    (10, 11),
    (11, 12),
    (11, 12),
    (11, 12),
    (9, 10),
    (11, 12),
    (13, 14),
    (10, 11),
    (11, 12),
    (10, 11),
    (9, 10),
    (11, 12),
    (10, 11),
    (8, 9),
    (9, 10),
    (9, 10),
    (10, 11),
    (9, 10),
    (9, 10),
    (10, 11),
    (8, 9),
    (10, 11),
    (10, 11),
    (9, 10),
];

/// GenBank numbers the human chromosomes CM000663 (1) to CM000686 (Y); version 1 is GRCh37, version 2 GRCh38.
const GENBANK_FIRST: usize = 663;

impl Chromosome {
    /// Reads a name. A name of no known form is a chromosome of its own.
    pub(super) fn of(name: &str) -> Self {
        refseq(name).or_else(|| genbank(name)).unwrap_or_else(|| bare(name))
    }

    /// Whether two names of the same chromosome may mean the same sequence.
    pub(super) fn is_compatible(&self, other: &Self) -> bool {
        match (self.assembly, other.assembly) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        }
    }
}

fn refseq(name: &str) -> Option<Chromosome> {
    if name == "NC_012920.1" {
        return Some(Chromosome { name: "MT".into(), assembly: None });
    }
    let (number, version) = accession(name, "NC_")?;
    let &(grch37, grch38) = REFSEQ_VERSIONS.get(number.checked_sub(1)?)?;
    let assembly = match version {
        v if v == grch37 => Assembly::Grch37,
        v if v == grch38 => Assembly::Grch38,
        _ => return None,
    };
    Some(Chromosome { name: human(number), assembly: Some(assembly) })
}

fn genbank(name: &str) -> Option<Chromosome> {
    if name == "J01415.2" {
        return Some(Chromosome { name: "MT".into(), assembly: None });
    }
    let (number, version) = accession(name, "CM")?;
    let number = (number + 1).checked_sub(GENBANK_FIRST).filter(|n| (1..=24).contains(n))?;
    let assembly = match version {
        1 => Assembly::Grch37,
        2 => Assembly::Grch38,
        _ => return None,
    };
    Some(Chromosome { name: human(number), assembly: Some(assembly) })
}

/// Splits `NC_000020.10` into 20 and 10.
fn accession(name: &str, prefix: &str) -> Option<(usize, u8)> {
    let (number, version) = name.strip_prefix(prefix)?.split_once('.')?;
    if number.len() != 6 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((number.parse().ok()?, version.parse().ok()?))
}

fn human(number: usize) -> String {
    match number {
        23 => "X".into(),
        24 => "Y".into(),
        n => n.to_string(),
    }
}

/// A chromosome's name in the form of another one's; none where either has no such form.
pub(super) fn named_like(name: &str, like: &str) -> Option<String> {
    let chromosome = Some(Chromosome::of(name).name).filter(|name| is_chromosome(name))?;
    match split_chr(like) {
        Some((chr, _)) if chromosome == "MT" => Some(format!("{chr}M")),
        Some((chr, _)) => Some(format!("{chr}{chromosome}")),
        None => is_chromosome(like).then_some(chromosome),
    }
}

/// Whether a bare name is a chromosome's: of one or two letters or digits, or a Roman number.
fn is_chromosome(bare: &str) -> bool {
    let is_short = bare.len() <= 2 && bare.bytes().all(|b| b.is_ascii_alphanumeric());
    !bare.is_empty() && (is_short || bare.bytes().all(|b| b"IVX".contains(&b)))
}

/// Splits `chr20` behind `chr`, in letters of either case.
fn split_chr(name: &str) -> Option<(&str, &str)> {
    let (chr, bare) = name.split_at_checked(3)?;
    (chr.eq_ignore_ascii_case("chr") && !bare.is_empty()).then_some((chr, bare))
}

fn bare(name: &str) -> Chromosome {
    let name = split_chr(name).map_or(name, |(_, bare)| bare);
    let name = if name == "M" { "MT" } else { name };
    Chromosome { name: name.into(), assembly: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accessions_name_chromosome_and_assembly() {
        for (name, chromosome, assembly) in [
            ("NC_000001.10", "1", Assembly::Grch37),
            ("NC_000001.11", "1", Assembly::Grch38),
            ("NC_000007.13", "7", Assembly::Grch37),
            ("NC_000014.9", "14", Assembly::Grch38),
            ("NC_000021.8", "21", Assembly::Grch37),
            ("NC_000024.10", "Y", Assembly::Grch38),
            ("CM000663.1", "1", Assembly::Grch37),
            ("CM000685.2", "X", Assembly::Grch38),
        ] {
            let expected = Chromosome { name: chromosome.into(), assembly: Some(assembly) };
            assert_eq!(Chromosome::of(name), expected, "{name}");
        }
    }

    #[test]
    fn names_take_the_form_of_others() {
        for (name, like, expected) in [
            ("21", "chr20", Some("chr21")),
            ("chrX", "20", Some("X")),
            ("chrX", "chr20", Some("chrX")),
            ("chrM", "20", Some("MT")),
            ("M", "X", Some("MT")),
            ("MT", "Chr1", Some("ChrM")),
            ("NC_012920.1", "chr20", Some("chrM")),
            ("NC_000021.9", "20", Some("21")),
            ("XIV", "chrI", Some("chrXIV")),
            ("scaffold_7", "chr20", None),
            ("chrX", "NC_000020.11", None),
            ("chrX", "", None),
        ] {
            assert_eq!(named_like(name, like).as_deref(), expected, "{name} like {like}");
        }
    }

    #[test]
    fn other_accessions_stand_for_themselves() {
        for name in ["NC_000000.1", "NC_000025.1", "NC_001133.9", "CM000662.1", "CM000687.1", "NC_0000200.10", "chr"] {
            assert_eq!(Chromosome::of(name).name, name);
        }
    }
}
