//! BED: the intervals to work on.
//!
//! ```text
//! chrom   start   end     name    score   strand
//! chr20   9999899 10002000        peak_1  .       -
//! ```
//!
//! Three columns are required and up to six are used; further columns are ignored. Columns are parted by tabs, or, in
//! a line without tabs, by runs of spaces. Blank lines, comments (`#`) and `track` and `browser` lines are skipped,
//! a byte order mark before the first line is too, and lines may end in CRLF. Positions are 0-based and half-open, as everywhere inside this crate.

mod error;

use std::{
    fs::File,
    io::{self, BufRead, Read},
    path::Path,
};

pub use self::error::{BedError, BedErrorKind};
use crate::{
    contig::Contigs,
    input::{decompress_any, is_stdin},
    region::Interval,
    strand::Strand,
};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Bytes of the longest line that is read.
const LONGEST_LINE: u64 = 1 << 20;

/// A line of a BED file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BedRecord {
    /// Where it lies: a contig of the list it was read against, 0-based, half-open.
    pub interval: Interval,
    /// Column 4; a lone `.` counts as absent.
    pub name: Option<String>,
    /// Column 5 as written; a lone `.` counts as absent.
    pub score: Option<String>,
    /// Column 6; absent and `.` are the forward strand.
    pub strand: Strand,
}

/// Reads a BED file, plain or gzip; `-` is standard input.
///
/// Names are resolved with [`Contigs::resolve`], so a BED of `20` goes with a genome of `chr20`.
///
/// # Errors
///
/// - the file cannot be read, or its gzip stream ends early;
/// - a line is longer than 1 MiB or its name holds a control character;
/// - a line has fewer than three columns, a position that is no number, an end that is not after its start, an end
///   past the contig's end, a contig that is unknown or ambiguous, or a strand other than `+`, `-` and `.`. The
///   message names file, line and contig.
pub fn read_bed(path: &Path, contigs: &Contigs) -> Result<Vec<BedRecord>, BedError> {
    let open = || if is_stdin(path) { decompress_any(io::stdin()) } else { decompress_any(File::open(path)?) };
    let reader = open().map_err(|e| BedError::io(path, e))?;
    parse_bed(reader, path, contigs)
}

/// Parses the text of a BED file; `path` is what errors call it.
///
/// # Errors
///
/// As [`read_bed`].
pub fn parse_bed<R: BufRead>(mut reader: R, path: &Path, contigs: &Contigs) -> Result<Vec<BedRecord>, BedError> {
    let mut records = Vec::new();
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let n = (&mut reader).take(LONGEST_LINE + 1).read_until(b'\n', &mut line).map_err(|e| BedError::io(path, e))?;
        if n == 0 {
            return Ok(records);
        }
        number += 1;
        let text = if number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line };
        let record = parse_line(text, contigs).map_err(|kind| BedError::line(path, number, kind))?;
        records.extend(record);
    }
}

fn parse_line(line: &[u8], contigs: &Contigs) -> Result<Option<BedRecord>, BedErrorKind> {
    if line.len() as u64 > LONGEST_LINE && !line.ends_with(b"\n") {
        return Err(BedErrorKind::TooLong { longest: LONGEST_LINE });
    }
    let line = std::str::from_utf8(line).map_err(|_| BedErrorKind::NotText)?;
    let line = line.trim_end_matches(['\r', '\n']);
    if is_header(line) {
        return Ok(None);
    }
    let columns = split_columns(line);
    let [chrom, start, end, rest @ ..] = columns.as_slice() else {
        return Err(BedErrorKind::TooFewColumns { found: columns.len() });
    };
    Ok(Some(BedRecord {
        interval: parse_interval(chrom, start, end, contigs)?,
        name: parse_name(rest.first())?,
        score: present(rest.get(1)),
        strand: parse_strand(rest.get(2).copied())?,
    }))
}

fn is_header(line: &str) -> bool {
    let first = line.split_ascii_whitespace().next();
    first.is_none_or(|word| word.starts_with('#') || matches!(word, "track" | "browser"))
}

fn split_columns(line: &str) -> Vec<&str> {
    const USED: usize = 6;
    if line.contains('\t') {
        line.split('\t').map(str::trim).take(USED).collect()
    } else {
        line.split_ascii_whitespace().take(USED).collect()
    }
}

fn parse_interval(chrom: &str, start: &str, end: &str, contigs: &Contigs) -> Result<Interval, BedErrorKind> {
    let start = parse_position("start", start)?;
    let end = parse_position("end", end)?;
    let contig = contigs.resolve(chrom).map_err(BedErrorKind::Contig)?;
    let length = contigs.get(contig).length;
    if start >= end {
        return Err(BedErrorKind::Empty { contig: chrom.into(), start, end });
    }
    if end > length {
        return Err(BedErrorKind::PastEnd { contig: chrom.into(), length, end });
    }
    Ok(Interval { contig, start, end })
}

fn parse_position(column: &'static str, text: &str) -> Result<u64, BedErrorKind> {
    text.parse().map_err(|_| BedErrorKind::NotANumber { column, found: text.into() })
}

fn parse_strand(text: Option<&str>) -> Result<Strand, BedErrorKind> {
    match text {
        None | Some("." | "+" | "") => Ok(Strand::Forward),
        Some("-") => Ok(Strand::Reverse),
        Some(other) => Err(BedErrorKind::Strand { found: other.into() }),
    }
}

fn parse_name(column: Option<&&str>) -> Result<Option<String>, BedErrorKind> {
    match present(column) {
        Some(found) if found.contains(char::is_control) => Err(BedErrorKind::ControlInName { found }),
        name => Ok(name),
    }
}

fn present(column: Option<&&str>) -> Option<String> {
    column.filter(|text| !matches!(**text, "" | ".")).map(|text| (*text).to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write as _};

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::contig::Contig;

    fn contigs() -> Contigs {
        Contigs::new(vec![Contig { name: "chr20".into(), length: 1_000 }, Contig { name: "chrX".into(), length: 50 }])
            .unwrap()
    }

    fn parse(text: &str) -> Result<Vec<BedRecord>, BedError> {
        parse_bed(text.as_bytes(), Path::new("in.bed"), &contigs())
    }

    fn message(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn columns_headers_and_line_ends() {
        let text =
            "browser position chr20:1-10\ntrack name=x\n# note\n\n20\t10\t20\tpeak\t7.5\t-\textra\r\nchrX 0 50\n";
        let records = parse(text).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(
            records[0],
            BedRecord {
                interval: Interval { contig: 0, start: 10, end: 20 },
                name: Some("peak".into()),
                score: Some("7.5".into()),
                strand: Strand::Reverse,
            }
        );
        assert_eq!(records[1].interval.contig, 1);
        assert_eq!(records[1].name, None);
        assert_eq!(records[1].strand, Strand::Forward);
    }

    #[test]
    fn dots_are_absent_and_the_last_line_needs_no_end() {
        let records = parse("20\t0\t1\t.\t.\t.").unwrap();
        assert_eq!((&records[0].name, &records[0].score), (&None, &None));
    }

    #[test]
    fn messages_name_file_line_and_values() {
        let past = message("# x\nchr20\t990\t1001\n");
        assert_eq!(
            past,
            r#"in.bed, line 2: interval ends past the end of contig "chr20": expected an end of at most 1000, found 1001"#
        );
        let empty = message("chr20\t10\t10\n");
        assert_eq!(
            empty,
            r#"in.bed, line 1: interval of contig "chr20" holds no base: expected start < end, found start 10, end 10"#
        );
        assert!(message("chr20\t10\n").contains("expected at least 3 columns, found 2"));
        assert!(message("chr20\t1e3\t2\n").contains("expected a number as start, found \"1e3\""));
        assert!(message("chr20\t-1\t2\n").contains("found \"-1\""));
        assert!(message("chr7\t1\t2\n") == "in.bed, line 1");
        assert!(message("20\t1\t2\ta\t0\t*\n").contains("expected a strand of +, - or ., found \"*\""));
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_control_characters_are_refused() {
        let records = parse("\u{feff}chr20\t1\t2\tpeak\n").unwrap();
        assert_eq!(records[0].interval, Interval { contig: 0, start: 1, end: 2 });
        assert_eq!(parse("\u{feff}# note\n20\t1\t2\n").unwrap().len(), 1);
        assert!(parse("20\t1\t2\n\u{feff}20\t1\t2\n").is_err());
        for name in ["a\0b", "a\u{1b}[31m"] {
            let message = message(&format!("20\t1\t2\t{name}\n"));
            let expected = format!("in.bed, line 1: expected a name without control characters, found {name:?}");
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn a_line_without_end_is_not_read_whole() {
        let start = b"20\t1\t2\n20\t3\t4\t".as_slice();
        let endless = BufReader::new(start.chain(io::repeat(b'a')));
        let error = parse_bed(endless, Path::new("in.bed"), &contigs()).unwrap_err();
        assert_eq!(error.to_string(), "in.bed, line 2: expected a line of at most 1048576 bytes, found a longer one");
        let longest = format!("20\t1\t2\t{}\n", "a".repeat((1 << 20) - 7));
        assert_eq!(parse(&longest).unwrap().len(), 1);
    }

    #[test]
    fn gzip_is_told_from_content_and_must_be_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("regions.txt");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"20\t1\t2\nX\t3\t4\n").unwrap();
        let bytes = encoder.finish().unwrap();
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read_bed(&path, &contigs()).unwrap().len(), 2);

        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        let error = read_bed(&path, &contigs()).unwrap_err();
        assert!(matches!(error.kind(), BedErrorKind::Io(_)), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_bed(Path::new("no/such.bed"), &contigs()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/such.bed");
    }
}
