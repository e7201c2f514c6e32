//! Labelled sequences: what a model is fine-tuned on.
//!
//! ```text
//! label     sequence                 label     chrom  start     end       strand
//! positive  ACGTTAC…                 positive  chr20  21849666  21849798  -
//! ```
//!
//! Tab-separated text, plain, gzip or bgzip, with a header. Columns are told by their names and may come in any order;
//! others are ignored. Without a genome the bases are those of the column `sequence`, as they stand. With a genome they
//! are those of `contig` (or `chrom`, `chr`), `start` and `end`, 0-based and half-open as in BED; where `strand` is `-`,
//! their reverse complement. Lines may end in CRLF; blank lines are skipped.

mod columns;
mod error;

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;

use columns::{Bases, Columns, Place};
pub use error::{LabelledError, LabelledErrorKind};

use crate::genome::Genome;
use crate::input::{decompress_any, is_stdin};
use crate::strand::reverse_complement;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes of the longest line that is read.
const LONGEST_LINE: u64 = 1 << 28;

/// A row of a table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Labelled {
    /// The line that it stands in, from 1.
    pub line: u64,
    /// The label as written; none where the table has no such column.
    pub label: Option<String>,
    /// Its bases, at least one.
    pub bases: Vec<u8>,
}

/// Whether a table must have labels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Labels {
    /// Each row has one.
    Required,
    /// There may be none.
    Optional,
}

/// Reads a table; `-` is standard input. With a genome, intervals are read from it.
///
/// # Errors
///
/// - the file cannot be read, or its gzip stream ends early;
/// - there is no header, or it lacks a column;
/// - a line has more or fewer fields than the header, an empty label, bases that are none, or an interval that the genome
///   does not have. The message names file and line.
pub fn read_labelled(path: &Path, genome: Option<&mut Genome>, labels: Labels) -> Result<Vec<Labelled>, LabelledError> {
    let open = || if is_stdin(path) { decompress_any(io::stdin()) } else { decompress_any(File::open(path)?) };
    let reader = open().map_err(|error| LabelledError::io(path, error))?;
    parse_labelled(reader, path, genome, labels)
}

/// Parses the text of a table; `path` is what errors call it.
///
/// # Errors
///
/// As [`read_labelled`].
pub fn parse_labelled<R: BufRead>(
    reader: R,
    path: &Path,
    mut genome: Option<&mut Genome>,
    labels: Labels,
) -> Result<Vec<Labelled>, LabelledError> {
    let mut lines = Lines { reader, path, line: Vec::new(), number: 0 };
    let Some((number, header)) = lines.next()? else {
        return Err(LabelledError::whole(path, LabelledErrorKind::NoHeader));
    };
    let columns =
        Columns::of_header(header, genome.is_some(), labels).map_err(|kind| LabelledError::at(path, number, kind))?;
    let mut rows = Vec::new();
    while let Some((number, line)) = lines.next()? {
        let row = row(line, number, &columns, genome.as_deref_mut());
        rows.push(row.map_err(|kind| LabelledError::at(path, number, kind))?);
    }
    if rows.is_empty() { Err(LabelledError::whole(path, LabelledErrorKind::NoRows)) } else { Ok(rows) }
}

/// Lines that are not blank, with their numbers.
struct Lines<'a, R> {
    reader: R,
    path: &'a Path,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<'_, R> {
    fn next(&mut self) -> Result<Option<(u64, &str)>, LabelledError> {
        loop {
            self.line.clear();
            let read = (&mut self.reader).take(LONGEST_LINE + 1).read_until(b'\n', &mut self.line);
            if read.map_err(|error| LabelledError::io(self.path, error))? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        let at = |kind| LabelledError::at(self.path, self.number, kind);
        if self.line.len() as u64 > LONGEST_LINE && !self.line.ends_with(b"\n") {
            return Err(at(LabelledErrorKind::TooLong { longest: LONGEST_LINE }));
        }
        let text = if self.number == 1 { self.line.strip_prefix(BYTE_ORDER_MARK) } else { None };
        let text = std::str::from_utf8(text.unwrap_or(&self.line)).map_err(|_| at(LabelledErrorKind::NotText))?;
        Ok(Some((self.number, text.trim_end_matches(['\r', '\n']))))
    }
}

fn row(line: &str, number: u64, columns: &Columns, genome: Option<&mut Genome>) -> Result<Labelled, LabelledErrorKind> {
    let fields: Vec<&str> = line.split('\t').collect();
    if fields.len() != columns.count {
        return Err(LabelledErrorKind::Fields { expected: columns.count, found: fields.len() });
    }
    let label = columns.label.map(|column| label(fields[column])).transpose()?;
    let bases = match (&columns.bases, genome) {
        (Bases::Interval(columns), Some(genome)) => interval(&columns.of(&fields)?, genome)?,
        (Bases::Sequence(column), _) => sequence(fields[*column])?,
        (Bases::Interval(_), None) => unreachable!("intervals are asked for where there is a genome"),
    };
    Ok(Labelled { line: number, label, bases })
}

fn label(text: &str) -> Result<String, LabelledErrorKind> {
    let text = text.trim();
    if text.is_empty() { Err(LabelledErrorKind::NoLabel) } else { Ok(text.into()) }
}

fn sequence(text: &str) -> Result<Vec<u8>, LabelledErrorKind> {
    let bases = text.trim().as_bytes();
    if bases.is_empty() {
        return Err(LabelledErrorKind::NoBases);
    }
    match crate::genome::first_foreign(bases) {
        None => Ok(bases.to_vec()),
        Some(place) => {
            let found = text.trim().get(place..).and_then(|rest| rest.chars().next()).unwrap_or('\u{fffd}');
            Err(LabelledErrorKind::Base { position: place as u64 + 1, found })
        }
    }
}

/// The bases of an interval, from the strand that the row names.
fn interval(place: &Place<'_>, genome: &mut Genome) -> Result<Vec<u8>, LabelledErrorKind> {
    let contig = genome.contigs().resolve(place.contig).map_err(LabelledErrorKind::Contig)?;
    let length = genome.contigs().get(contig).length;
    if place.end > length {
        return Err(LabelledErrorKind::PastEnd { contig: place.contig.into(), length, end: place.end });
    }
    let mut bases = Vec::new();
    genome.read(contig, place.start..place.end, &mut bases).map_err(|error| LabelledErrorKind::Genome(error.into()))?;
    if place.is_reverse {
        reverse_complement(&mut bases);
    }
    Ok(bases)
}

#[cfg(test)]
mod tests;
