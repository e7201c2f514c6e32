//! Intervals of contigs, and the region strings that name them.

use std::{fmt, ops::Range};

use crate::contig::{ContigError, Contigs};

/// An interval of a contig.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Interval {
    /// The contig's place in the file's order.
    pub contig: usize,
    /// The first base, 0-based.
    pub start: u64,
    /// One past the last base, 0-based.
    pub end: u64,
}

impl Interval {
    /// The number of bases.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether there is no base.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// Reads a region string: `20`, `20:1,001-2,000`, `20:1001-` or `20:1001` (to the contig's end, as in samtools).
///
/// Positions are 1-based and both ends belong to the region; commas are ignored. A contig's name may hold colons: the longest
/// name that exists is meant, so `HLA-A*01:01` is a contig where there is one.
///
/// # Errors
///
/// - the contig is unknown or ambiguous
/// - a position is no number, or 0, or the start is past the end
/// - the region reaches past the contig's end
pub fn parse(text: &str, contigs: &Contigs) -> Result<Interval, RegionError> {
    let (contig, positions) = split_name(text, contigs)?;
    let length = contigs.get(contig).length;
    let (first, last) = match positions {
        Some(positions) => parse_positions(text, positions, length)?,
        None => return whole(text, contig, contigs),
    };
    if first > last {
        // Only a start without an end can be past a last base that nobody wrote.
        if last == length {
            return Err(past_end(text, contigs, contig, first));
        }
        return Err(RegionError::StartPastEnd { text: text.into(), start: first, end: last });
    }
    if last > length {
        return Err(past_end(text, contigs, contig, last));
    }
    Ok(Interval { contig, start: first - 1, end: last })
}

fn whole(text: &str, contig: usize, contigs: &Contigs) -> Result<Interval, RegionError> {
    match contigs.spans(contig) {
        [span] => Ok(Interval { contig, start: span.start, end: span.end }),
        spans => Err(RegionError::Scattered { text: text.into(), slices: spans.len() }),
    }
}

fn past_end(text: &str, contigs: &Contigs, contig: usize, position: u64) -> RegionError {
    let contig = contigs.get(contig);
    RegionError::PastContigEnd { text: text.into(), contig: contig.name.clone(), length: contig.length, position }
}

/// Splits off the longest name that exists.
fn split_name<'a>(text: &'a str, contigs: &Contigs) -> Result<(usize, Option<&'a str>), RegionError> {
    let mut unknown = match contigs.resolve(text) {
        Ok(contig) => return Ok((contig, None)),
        Err(error @ ContigError::Ambiguous { .. }) => return Err(region_contig(text, error)),
        Err(error) => error,
    };
    for (i, (colon, _)) in text.rmatch_indices(':').enumerate() {
        match contigs.resolve(&text[..colon]) {
            Ok(contig) => return Ok((contig, Some(&text[colon + 1..]))),
            Err(error @ ContigError::Ambiguous { .. }) => return Err(region_contig(text, error)),
            Err(error) if i == 0 => unknown = error,
            Err(_) => {}
        }
    }
    Err(region_contig(text, unknown))
}

fn region_contig(text: &str, source: ContigError) -> RegionError {
    RegionError::Contig { text: text.into(), source }
}

/// Splits `contig:start-end` (1-based, closed) into the contig and the interval, 0-based and half-open.
pub(crate) fn split_range(text: &str) -> Option<(&str, Range<u64>)> {
    let (name, positions) = text.rsplit_once(':')?;
    let (first, last) = positions.split_once('-')?;
    let first = parse_position(text, first).ok()?;
    let last = parse_position(text, last).ok()?;
    (!name.is_empty() && first <= last).then_some((name, first - 1..last))
}

/// Whether a text has the form `contig:start-end`, be the numbers an interval or not.
pub(crate) fn has_range_form(text: &str) -> bool {
    let is_number =
        |text: &str| text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit() || b == b',');
    let positions = text.rsplit_once(':').and_then(|(_, positions)| positions.split_once('-'));
    positions.is_some_and(|(first, last)| is_number(first) && is_number(last))
}

/// Reads `first`, `first-` or `first-last`, 1-based and closed; an open end is the contig's last base.
fn parse_positions(text: &str, positions: &str, length: u64) -> Result<(u64, u64), RegionError> {
    let (first, last) = positions.split_once('-').unwrap_or((positions, ""));
    let first = parse_position(text, first)?;
    let last = if last.is_empty() { length } else { parse_position(text, last)? };
    Ok((first, last))
}

fn parse_position(text: &str, digits: &str) -> Result<u64, RegionError> {
    let plain: String = digits.chars().filter(|&c| c != ',').collect();
    let is_number = !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_digit());
    match plain.parse() {
        Ok(0) => Err(RegionError::Zero { text: text.into() }),
        Ok(position) if is_number => Ok(position),
        _ => Err(RegionError::NotAPosition { text: text.into(), found: digits.into() }),
    }
}

/// A region string that names no interval.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RegionError {
    /// The contig is unknown or ambiguous.
    Contig {
        /// The region string.
        text: String,
        /// What is wrong with the name.
        source: ContigError,
    },
    /// A position is no number.
    NotAPosition {
        /// The region string.
        text: String,
        /// What stands in the position's place.
        found: String,
    },
    /// A position is 0.
    Zero {
        /// The region string.
        text: String,
    },
    /// The start lies past the end.
    StartPastEnd {
        /// The region string.
        text: String,
        /// The first base, 1-based.
        start: u64,
        /// The last base, 1-based.
        end: u64,
    },
    /// The region reaches past the contig's end.
    PastContigEnd {
        /// The region string.
        text: String,
        /// The contig's name in the file.
        contig: String,
        /// The contig's length in bases.
        length: u64,
        /// The position that lies past it, 1-based.
        position: u64,
    },
    /// A whole contig of a sliced reference is asked for, and the file has several slices of it.
    Scattered {
        /// The region string.
        text: String,
        /// How many slices there are.
        slices: usize,
    },
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contig { text, .. } => write!(f, "region {text:?}"),
            Self::NotAPosition { text, found } => {
                write!(f, "region {text:?}: expected a 1-based position, found {found:?}")
            }
            Self::Zero { text } => write!(f, "region {text:?}: expected a 1-based position, found 0"),
            Self::StartPastEnd { text, start, end } => {
                write!(f, "region {text:?}: expected a start of at most the end {end}, found {start}")
            }
            Self::PastContigEnd { text, contig, length, position } => write!(
                f,
                "region {text:?}: expected positions of at most {length}, the length of contig {contig:?}, found {position}"
            ),
            Self::Scattered { text, slices } => {
                write!(f, "region {text:?}: expected one slice of this contig, found {slices}; name an interval")
            }
        }
    }
}

impl std::error::Error for RegionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Contig { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contig::Contig;

    fn contigs() -> Contigs {
        let names = ["20", "HLA-A*01:01", "HLA-A*01", "HLA-A*01:01:02"];
        let contigs = names.map(|name| Contig { name: name.into(), length: 5_000 });
        Contigs::new(contigs.to_vec()).unwrap()
    }

    fn interval(contig: usize, start: u64, end: u64) -> Result<Interval, RegionError> {
        Ok(Interval { contig, start, end })
    }

    #[test]
    fn every_form_is_read() {
        let contigs = contigs();
        for (text, start, end) in [
            ("20", 0, 5_000),
            ("chr20", 0, 5_000),
            ("20:1,001-2,000", 1_000, 2_000),
            ("chr20:1-1", 0, 1),
            ("20:1001", 1_000, 5_000),
            ("20:1001-", 1_000, 5_000),
            ("20:5000", 4_999, 5_000),
        ] {
            assert_eq!(parse(text, &contigs), interval(0, start, end), "{text}");
        }
    }

    #[test]
    fn the_longest_name_that_exists_wins() {
        let contigs = contigs();
        assert_eq!(parse("HLA-A*01:01", &contigs), interval(1, 0, 5_000));
        assert_eq!(parse("HLA-A*01:7-8", &contigs), interval(2, 6, 8));
        assert_eq!(parse("HLA-A*01:01:7-8", &contigs), interval(1, 6, 8));
        assert_eq!(parse("HLA-A*01:01:02", &contigs), interval(3, 0, 5_000));
    }

    #[test]
    fn what_names_no_interval_is_told() {
        let contigs = contigs();
        for (text, message) in [
            ("20:2000-1000", "expected a start of at most the end 1000, found 2000"),
            ("20:0-10", "expected a 1-based position, found 0"),
            ("20:x-10", "expected a 1-based position, found \"x\""),
            ("20:", "expected a 1-based position, found \"\""),
            ("20:+1-10", "expected a 1-based position, found \"+1\""),
            ("20:-5", "expected a 1-based position, found \"\""),
            ("20:1-5001", "expected positions of at most 5000, the length of contig \"20\", found 5001"),
            ("20:5001", "expected positions of at most 5000, the length of contig \"20\", found 5001"),
        ] {
            assert_eq!(parse(text, &contigs).unwrap_err().to_string(), format!("region {text:?}: {message}"));
        }
        let error = parse("22:1-2", &contigs).unwrap_err();
        assert_eq!(error.to_string(), "region \"22:1-2\"");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with("unknown contig \"22\": there are \"20\""), "{cause}");
    }
}
