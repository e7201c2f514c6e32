//! Scores in VCF.

use std::collections::BTreeSet;

use longstrand_seq::Contigs;
use longstrand_seq::variant::{Allele, VariantHeader, VariantRecord};

use crate::options::{Column, ScoreOptions};
use crate::scorer::Scored;

/// The key of the number of ambiguous bases.
const AMBIGUOUS: &str = "LS_N_AMBIGUOUS";
/// The key of the reason.
const REASON: &str = "LS_REASON";
/// The header line that tells the run's identity.
const IDENTITY: &str = "##longstrand_score_identity=";
/// The header line that tells the command.
const COMMAND: &str = "##longstrand_score_command=";

/// The header with what the annotation declares.
pub(crate) fn header(
    header: &VariantHeader,
    columns: &[&Column],
    model: &str,
    options: &ScoreOptions,
    identity: &str,
    command: &str,
) -> VariantHeader {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let version = env!("CARGO_PKG_VERSION");
    let info = |key: &str, kind: &str, description: &str| {
        format!(
            "##INFO=<ID={key},Number=A,Type={kind},Description=\"{}\",Source=\"longstrand\",Version=\"{version}\">",
            quoted(description)
        )
    };
    let run = format!("model {model}, context {}, strand {}", options.context, options.strands);
    let mut lines: Vec<String> =
        columns.iter().map(|column| info(column.info, "Float", &format!("{}; {run}", column.meaning))).collect();
    lines.push(info(AMBIGUOUS, "Integer", "Bases of the windows that are none of A, C, G, T"));
    lines.push(info(REASON, "String", "Why scores are missing"));
    lines.push(format!("{IDENTITY}{identity}"));
    lines.push(format!("{COMMAND}{}", command.replace(['\n', '\r'], " ")));
    header.with_lines(lines.iter().map(String::as_str))
}

/// Whether a header tells this identity: the file is what the run would write.
pub(crate) fn is_of(header: &VariantHeader, identity: &str) -> bool {
    header.meta_lines().any(|line| line.strip_prefix(IDENTITY.as_bytes()) == Some(identity.as_bytes()))
}

/// The header with the contigs that the records seen so far are on, and all others of the reference if it does not declare
/// them all: later records may be on any.
pub(crate) fn with_contigs(header: &VariantHeader, records: &[VariantRecord], reference: &Contigs) -> VariantHeader {
    let seen: BTreeSet<&str> = records.iter().map(VariantRecord::contig).collect();
    let length = |contig: usize| reference.get(contig).length;
    let mut contigs: Vec<(String, Option<u64>)> =
        seen.iter().map(|name| ((*name).to_owned(), reference.resolve(name).ok().map(length))).collect();
    let is_declared = |name: &&str| header.contigs().iter().any(|contig| contig.name == **name);
    if header.contigs().is_empty() || !seen.iter().all(is_declared) {
        let known: BTreeSet<usize> = seen.iter().filter_map(|name| reference.resolve(name).ok()).collect();
        let like = records.first().map_or("", VariantRecord::contig);
        let others = (0..reference.len()).filter(|contig| !known.contains(contig));
        contigs.extend(others.map(|contig| (in_style(&reference.get(contig).name, like), Some(length(contig)))));
        let mut order: Vec<_> =
            contigs.into_iter().map(|(name, length)| (reference.resolve(&name).ok(), name, length)).collect();
        order.sort();
        contigs = order.into_iter().map(|(_, name, length)| (name, length)).collect();
    }
    header.with_contigs(contigs.iter().map(|(name, length)| (name.as_str(), *length)))
}

/// A chromosome's name with or without `chr`, as another one has it.
fn in_style(name: &str, like: &str) -> String {
    match (name.strip_prefix("chr"), like.starts_with("chr")) {
        (Some(bare), false) if !like.is_empty() && !like.contains('_') => bare.to_owned(),
        (None, true) if name.len() <= 2 => format!("chr{name}"),
        _ => name.to_owned(),
    }
}

/// The INFO fields of a record: one value for each alternate allele. A record without one has a reason alone.
pub(crate) fn info(record: &VariantRecord, columns: &[&Column], alleles: &[Scored]) -> Vec<(&'static str, String)> {
    let each = |value: &dyn Fn(&Scored) -> Option<String>| {
        let texts: Vec<String> = alleles.iter().map(|scored| value(scored).unwrap_or_else(|| ".".into())).collect();
        texts.join(",")
    };
    let mut fields = Vec::with_capacity(columns.len() + 2);
    if record.alternates().next() != Some(Allele::Missing) {
        for (i, column) in columns.iter().enumerate() {
            fields.push((column.info, each(&|scored| scored.values[i].score.map(number))));
        }
        fields.push((AMBIGUOUS, each(&|scored| scored.n_ambiguous.map(|n| n.to_string()))));
    }
    // A reason of an earlier run must not stay beside the scores of this one.
    if record.info(REASON).is_some() || alleles.iter().any(|scored| scored.reason.is_some()) {
        fields.push((REASON, each(&|scored| scored.reason.clone())));
    }
    fields
}

/// A number as VCF has it: 32 bits, in as few digits as tell it from its neighbours.
fn number(value: f64) -> String {
    let value = value as f32;
    match value.abs() {
        0.0 | 1e-4..1e7 => value.to_string(),
        _ => format!("{value:e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_read_back() {
        for (value, text) in [(0.1, "0.1"), (-2.5e-7, "-2.5e-7"), (0.0, "0"), (3e9, "3e9"), (-1.0, "-1")] {
            assert_eq!(number(value), text);
        }
        for value in [1.0 / 3.0, -7.123456789, 1e-12, 123456.789] {
            assert_eq!(number(value).parse::<f32>().unwrap(), value as f32);
        }
    }

    #[test]
    fn contigs_are_named_as_the_records_name_theirs() {
        assert_eq!(in_style("21", "chr20"), "chr21");
        assert_eq!(in_style("chrX", "20"), "X");
        assert_eq!(in_style("chrX", "chr20"), "chrX");
        assert_eq!(in_style("scaffold_7", "chr20"), "scaffold_7");
        assert_eq!(in_style("chrX", ""), "chrX");
    }
}
