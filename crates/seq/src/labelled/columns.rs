//! Which column of a table holds what.

use super::{LabelledErrorKind, Labels};

/// The names that a contig's column goes by.
const CONTIG: [&str; 3] = ["contig", "chrom", "chr"];

/// Columns by their places.
pub(super) struct Columns {
    /// How many there are.
    pub(super) count: usize,
    pub(super) label: Option<usize>,
    pub(super) bases: Bases,
}

/// Where the bases come from.
pub(super) enum Bases {
    /// The column that holds them.
    Sequence(usize),
    /// The columns that say where they lie in a genome.
    Interval(IntervalColumns),
}

pub(super) struct IntervalColumns {
    contig: usize,
    start: usize,
    end: usize,
    strand: Option<usize>,
}

/// Where bases lie, 0-based and half-open.
pub(super) struct Place<'a> {
    pub(super) contig: &'a str,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) is_reverse: bool,
}

impl Columns {
    pub(super) fn of_header(header: &str, of_genome: bool, labels: Labels) -> Result<Self, LabelledErrorKind> {
        let names: Vec<&str> = header.split('\t').map(|name| name.trim().trim_start_matches('#')).collect();
        let find = |name: &'static str| one(&names, &[name]);
        let require = |name: &'static str, found: Option<usize>| {
            found.ok_or_else(|| LabelledErrorKind::NoColumn { name, found: names.join(", "), of_genome })
        };
        let label = find("label")?;
        if labels == Labels::Required {
            require("label", label)?;
        }
        let bases = match of_genome {
            false => Bases::Sequence(require("sequence", find("sequence")?)?),
            true => Bases::Interval(IntervalColumns {
                contig: require("contig", one(&names, &CONTIG)?)?,
                start: require("start", find("start")?)?,
                end: require("end", find("end")?)?,
                strand: find("strand")?,
            }),
        };
        Ok(Self { count: names.len(), label, bases })
    }
}

/// The place of the one column that has one of these names, in either case.
fn one(names: &[&str], wanted: &[&'static str]) -> Result<Option<usize>, LabelledErrorKind> {
    let is_wanted = |name: &&str| wanted.iter().any(|wanted| name.eq_ignore_ascii_case(wanted));
    let mut found = names.iter().enumerate().filter(|(_, name)| is_wanted(name));
    let first = found.next().map(|(place, _)| place);
    match found.next() {
        None => Ok(first),
        Some(_) => Err(LabelledErrorKind::TwoColumns { name: wanted[0] }),
    }
}

impl IntervalColumns {
    pub(super) fn of<'a>(&self, fields: &[&'a str]) -> Result<Place<'a>, LabelledErrorKind> {
        let contig = fields[self.contig].trim();
        let (start, end) = (number("start", fields[self.start])?, number("end", fields[self.end])?);
        if start >= end {
            return Err(LabelledErrorKind::Empty { contig: contig.into(), start, end });
        }
        let is_reverse = match self.strand.map_or("", |column| fields[column].trim()) {
            "" | "." | "+" => false,
            "-" => true,
            other => return Err(LabelledErrorKind::Strand { found: other.into() }),
        };
        Ok(Place { contig, start, end, is_reverse })
    }
}

fn number(column: &'static str, text: &str) -> Result<u64, LabelledErrorKind> {
    text.trim().parse().map_err(|_| LabelledErrorKind::NotANumber { column, found: text.into() })
}
