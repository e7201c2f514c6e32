//! Records that stand for intervals of contigs.

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::{
    contig::{Contig, ContigError, Contigs},
    error::Error,
    region,
};

/// The largest position of a slice: more than any contig has.
const LARGEST_END: u64 = 1 << 48;

/// Which records hold the bases of each contig.
pub(super) struct Slices(Vec<Vec<Slice>>);

/// A record that holds an interval of a contig, 0-based, half-open.
struct Slice {
    record: usize,
    range: Range<u64>,
}

impl Slices {
    /// Every record is a contig.
    pub(super) fn whole(records: &[Contig]) -> Self {
        let whole = |(record, contig): (usize, &Contig)| vec![Slice { record, range: 0..contig.length }];
        Self(records.iter().enumerate().map(whole).collect())
    }

    /// The record that has an interval of a contig, and the interval inside the record.
    pub(super) fn locate(&self, contig: usize, range: &Range<u64>) -> Option<(usize, Range<u64>)> {
        if range.start > range.end {
            return None;
        }
        let has = |slice: &&Slice| slice.range.start <= range.start && range.end <= slice.range.end;
        let slice = self.0[contig].iter().find(has)?;
        Some((slice.record, range.start - slice.range.start..range.end - slice.range.start))
    }
}

/// Reads the names of sliced records. A record whose name is of another form is a contig from its start.
pub(super) fn sliced(path: &Path, records: &[Contig]) -> Result<(Contigs, Slices), Error> {
    let mut names = Vec::new();
    let mut slices: Vec<Vec<Slice>> = Vec::new();
    let mut by_name = HashMap::new();
    for (record, contig) in records.iter().enumerate() {
        let (name, range) = named_slice(path, contig)?;
        let i = *by_name.entry(name).or_insert(names.len());
        if i == names.len() {
            names.push(name);
            slices.push(Vec::new());
        }
        slices[i].push(Slice { record, range });
    }
    for (name, slices) in names.iter().zip(&mut slices) {
        slices.sort_by_key(|slice| (slice.range.start, slice.range.end));
        check_apart(path, name, slices, records)?;
    }
    let contigs = contigs(&names, &slices, records).map_err(|source| Error::Contigs { path: path.into(), source })?;
    Ok((contigs, Slices(slices)))
}

fn contigs(names: &[&str], slices: &[Vec<Slice>], records: &[Contig]) -> Result<Contigs, ContigError> {
    let spans = |slices: &Vec<Slice>| slices.iter().map(|slice| slice.range.clone()).collect();
    let spans: Vec<Vec<Range<u64>>> = slices.iter().map(spans).collect();
    let ends = spans.iter().map(|spans| spans.last().map_or(0, |span| span.end));
    let contigs = names.iter().zip(ends).map(|(name, length)| Contig { name: (*name).into(), length });
    // A slice is named otherwise than its contig.
    let is_whole =
        |(name, slices): (&&str, &Vec<Slice>)| slices.iter().any(|slice| records[slice.record].name == **name);
    let are_whole = names.iter().zip(slices).map(is_whole).collect();
    Contigs::with_spans(contigs.collect(), spans, are_whole)
}

/// The contig that a record belongs to, and the interval of it that the record holds.
fn named_slice<'a>(path: &Path, record: &'a Contig) -> Result<(&'a str, Range<u64>), SliceError> {
    let error = |kind| SliceError { path: path.into(), record: record.name.clone(), kind };
    let (name, range) = match region::split_range(&record.name) {
        Some((_, range)) if range.end > LARGEST_END => return Err(error(SliceErrorKind::Interval)),
        Some(slice) => slice,
        None if region::has_range_form(&record.name) => return Err(error(SliceErrorKind::Interval)),
        None => (record.name.as_str(), 0..record.length),
    };
    let expected = range.end - range.start;
    if expected == record.length {
        return Ok((name, range));
    }
    Err(error(SliceErrorKind::Length { expected, found: record.length }))
}

fn check_apart(path: &Path, name: &str, slices: &[Slice], records: &[Contig]) -> Result<(), SliceError> {
    for pair in slices.windows(2) {
        if pair[1].range.start < pair[0].range.end || pair[0].range == pair[1].range {
            let other = records[pair[0].record].name.clone();
            let kind = SliceErrorKind::Overlap { contig: name.into(), other };
            return Err(SliceError { path: path.into(), record: records[pair[1].record].name.clone(), kind });
        }
    }
    Ok(())
}

/// A record that is not the slice that its name tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SliceError {
    /// The file.
    pub path: PathBuf,
    /// The record's name in the file.
    pub record: String,
    /// What is wrong.
    pub kind: SliceErrorKind,
}

/// What is wrong with a sliced record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SliceErrorKind {
    /// The record's name has the form `contig:start-end`, and its numbers are no interval.
    Interval,
    /// The record is longer or shorter than its name says.
    Length {
        /// The number of bases that the name tells.
        expected: u64,
        /// The number of bases in the record.
        found: u64,
    },
    /// Two records hold the same bases of a contig.
    Overlap {
        /// The contig.
        contig: String,
        /// The other record's name in the file.
        other: String,
    },
}

impl fmt::Display for SliceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: record {:?}: ", self.path.display(), self.record)?;
        match &self.kind {
            SliceErrorKind::Interval => {
                write!(f, "expected a name contig:start-end with 1 <= start <= end <= {LARGEST_END}, found another")
            }
            SliceErrorKind::Length { expected, found } => {
                write!(f, "expected the {expected} bases of a slice, found {found}")
            }
            SliceErrorKind::Overlap { contig, other } => {
                write!(
                    f,
                    "expected other bases of contig {contig:?} than those of record {other:?}, found some of them"
                )
            }
        }
    }
}

impl std::error::Error for SliceError {}
