//! Scores in VCF.

use std::collections::BTreeSet;
use std::fmt::Display;

use longstrand_seq::Contigs;
use longstrand_seq::contig::named_like;
use longstrand_seq::variant::{Allele, HeaderContig, VariantHeader, VariantRecord};
use longstrand_table::Metadata;

use crate::conditions::conditions;
use crate::options::{Column, ScoreOptions};
use crate::prefix::Prefix;
use crate::provenance::Identity;
use crate::scorer::Scored;

/// The kind of header line that tells a run.
const RUN: &str = "longstrand_score";
/// The kind of header line that tells the command.
const COMMAND: &str = "longstrand_score_command";
/// What the keys of an identity begin with, in a footer alone.
const KEYS: &str = "longstrand.";
/// What declarations name as their source.
const SOURCE: &str = "longstrand";

/// What a run adds to records.
pub(crate) struct Annotation {
    /// Columns and their keys.
    columns: Vec<(&'static Column, String)>,
    ambiguous: String,
    reason: String,
}

impl Annotation {
    pub(crate) fn new(columns: impl Iterator<Item = &'static Column>, prefix: &Prefix) -> Self {
        Self {
            columns: columns.map(|column| (column, prefix.key(column.name))).collect(),
            ambiguous: prefix.ambiguous(),
            reason: prefix.reason(),
        }
    }

    /// The header with what the run declares, in the place of what an earlier run of the prefix declared.
    pub(crate) fn header(&self, header: &VariantHeader, run: &Header<'_>) -> VariantHeader {
        let version = env!("CARGO_PKG_VERSION");
        let info = |key: &str, kind: &str, description: &str| {
            format!(
                "##INFO=<ID={key},Number=A,Type={kind},Description={},Source=\"{SOURCE}\",Version=\"{version}\">",
                quoted(description)
            )
        };
        let score = |(column, key): &(&Column, String)| {
            let conditions = conditions(column.score(), run.model, run.options);
            info(key, "Float", &format!("{}; {conditions}", column.meaning))
        };
        let mut lines: Vec<String> = self.columns.iter().map(score).collect();
        lines.push(info(&self.ambiguous, "Integer", "Bases of the windows that are none of A, C, G, T"));
        lines.push(info(&self.reason, "String", "Why scores are missing"));
        lines.push(run_line(run.prefix, run.identity.fields()));
        lines.push(command_line(run.prefix, run.command));
        header.without_info(&run.prefix.keys()).with_lines(lines.iter().map(String::as_str))
    }

    /// The INFO fields of a record: one value for each alternate allele. A record without one has a reason alone.
    pub(crate) fn info(&self, record: &VariantRecord, alleles: &[Scored]) -> Vec<(&str, String)> {
        let each = |value: &dyn Fn(&Scored) -> Option<String>| {
            let texts: Vec<String> = alleles.iter().map(|scored| value(scored).unwrap_or_else(|| ".".into())).collect();
            texts.join(",")
        };
        let mut fields = Vec::with_capacity(self.columns.len() + 2);
        if record.alternates().any(|allele| allele != Allele::Missing) {
            for (i, (_, key)) in self.columns.iter().enumerate() {
                fields.push((key.as_str(), each(&|scored| scored.values[i].score.map(number))));
            }
            fields.push((&self.ambiguous, each(&|scored| scored.n_ambiguous.map(|n| n.to_string()))));
        }
        if alleles.iter().any(|scored| scored.reason.is_some()) {
            fields.push((&self.reason, each(&|scored| scored.reason.clone())));
        }
        fields
    }
}

/// What a header tells of a run.
pub(crate) struct Header<'a> {
    pub(crate) prefix: &'a Prefix,
    pub(crate) model: &'a str,
    pub(crate) options: &'a ScoreOptions,
    pub(crate) identity: &'a Identity,
    pub(crate) command: &'a str,
}

/// The last run that a header tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ToldRun {
    /// What the keys of its INFO fields begin with.
    pub prefix: String,
    /// The program, the model, the inputs and the options, as the footer of a table has them.
    pub identity: Metadata,
}

impl ToldRun {
    /// Finds the run, if there is one.
    pub fn last(header: &VariantHeader) -> Option<Self> {
        let mut fields = header.last_fields(RUN)?.into_iter();
        let (_, prefix) = fields.next().filter(|(name, _)| name == "ID")?;
        Some(Self { prefix, identity: fields.map(|(name, value)| (format!("{KEYS}{name}"), value)).collect() })
    }

    /// The header with this run, written by another command.
    pub fn tell(&self, header: &VariantHeader, command: &str) -> VariantHeader {
        let fields = self.identity.iter().map(|(key, value)| (key.strip_prefix(KEYS).unwrap_or(key), value.as_str()));
        let lines = [run_line(&self.prefix, fields), command_line(&self.prefix, command)];
        header.with_lines(lines.iter().map(String::as_str))
    }
}

/// The line that tells a run.
fn run_line<'a>(prefix: impl Display, fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let fields: String = fields.map(|(name, value)| format!(",{name}={}", quoted(value))).collect();
    format!("##{RUN}=<ID={prefix}{fields}>")
}

/// The line that tells the command.
fn command_line(prefix: impl Display, command: &str) -> String {
    format!("##{COMMAND}=<ID={prefix},CommandLine={}>", quoted(command))
}

/// A text in quotes, in one line.
fn quoted(text: &str) -> String {
    let line = text.replace(char::is_control, " ");
    format!("\"{}\"", line.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether the last run that a header tells is this one: the file is what the run would write.
pub(crate) fn is_of(header: &VariantHeader, prefix: &Prefix, identity: &Identity) -> bool {
    let runs = header.meta_lines().filter(|line| line.starts_with(format!("##{RUN}=").as_bytes()));
    runs.last() == Some(run_line(prefix, identity.fields()).as_bytes())
}

/// The first INFO key of a prefix that somebody else has declared: what stands there would be lost.
pub(crate) fn foreign_key(header: &VariantHeader, prefix: &Prefix) -> Option<String> {
    let run = format!("##{RUN}=<ID={prefix},");
    if header.meta_lines().any(|line| line.starts_with(run.as_bytes())) {
        return None;
    }
    header.foreign_info(&prefix.keys(), SOURCE).map(str::to_owned)
}

/// The header with contigs declared that records are on, and then all others of the reference too, as where it declares
/// none: of a stream, later records may be on any. Others whose names a header cannot hold are left out.
///
/// # Errors
///
/// The name of a contig that records are on and that a header cannot hold.
pub(crate) fn with_contigs(
    header: &VariantHeader,
    undeclared: &[String],
    reference: &Contigs,
) -> Result<VariantHeader, String> {
    if undeclared.is_empty() && !header.contigs().is_empty() {
        return Ok(header.clone());
    }
    if let Some(name) = undeclared.iter().find(|name| !HeaderContig::is_name(name)) {
        return Err(name.clone());
    }
    let place = |name: &str| reference.resolve(name).ok();
    let declared = header.contigs().iter().map(|contig| contig.name.as_str());
    let names: Vec<&str> = declared.chain(undeclared.iter().map(String::as_str)).collect();
    let known: BTreeSet<usize> = names.iter().filter_map(|name| place(name)).collect();
    let like = undeclared.first().map(String::as_str).or(names.first().copied()).unwrap_or_default();
    let mut contigs: Vec<_> = undeclared.iter().map(|name| (place(name), name.clone())).collect();
    let others = (0..reference.len()).filter(|contig| !known.contains(contig));
    contigs.extend(others.map(|contig| (Some(contig), named_like(&reference.get(contig).name, like))));
    // Those that the reference does not have come last.
    contigs.sort_by_key(|(contig, _)| contig.unwrap_or(usize::MAX));
    let length = |contig: &Option<usize>| contig.and_then(|contig| reference.whole_length(contig));
    let contigs = contigs.iter().filter(|(_, name)| HeaderContig::is_name(name));
    Ok(header.with_contigs(contigs.map(|(contig, name)| (name.as_str(), length(contig)))))
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
    fn a_quoted_text_is_one_line() {
        assert_eq!(quoted("a\nb\r\tc \"d\" \\"), r#""a b  c \"d\" \\""#);
    }
}
