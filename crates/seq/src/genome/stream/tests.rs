use std::io::Write;

use tempfile::NamedTempFile;

use super::*;

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bgzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = noodles_bgzf::io::Writer::new(Vec::new());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// All records, read `max` bases at a time.
fn read_all(bytes: &[u8], max: usize) -> Result<Vec<(String, String)>, Error> {
    let file = file(bytes);
    let mut stream = FastaStream::open(file.path())?;
    let mut records = Vec::new();
    while let Some(name) = stream.next_contig()? {
        let mut bases = Vec::new();
        while stream.read_bases(max, &mut bases)? > 0 {}
        records.push((name, String::from_utf8(bases).unwrap()));
    }
    Ok(records)
}

fn message(bytes: &[u8]) -> String {
    let text = read_all(bytes, 1000).unwrap_err().to_string();
    text.split_once(": ").unwrap().1.to_string()
}

#[test]
fn all_forms_of_lines_are_read() {
    let expected = vec![
        ("a".to_string(), "ACGTacgtNN".to_string()),
        ("b".to_string(), String::new()),
        ("c".to_string(), "RY-*.".to_string()),
    ];
    for text in [
        ">a first\nACGT\nacgt\nNN\n>b\n>c\nRY-*.\n",
        ">a first\r\nACGT\r\nacgt\r\nNN\r\n>b\r\n>c\r\nRY-*.\r\n",
        "\n\n>a\tfirst\nACGTac\n\ngtNN\n\n>b\n\n\n>c\nRY-*.",
        "; written by hand\n>a\nACGTa\n;>no header\ncgtNN\n>b\n>c\nRY-*.\r",
    ] {
        for max in [1, 3, 4, 1000] {
            assert_eq!(read_all(text.as_bytes(), max).unwrap(), expected, "{text:?} by {max}");
        }
        assert_eq!(read_all(&gzip(text.as_bytes()), 7).unwrap(), expected);
        assert_eq!(read_all(&bgzip(text.as_bytes()), 7).unwrap(), expected);
    }
}

#[test]
fn members_of_gzip_follow_one_another() {
    let bytes = [gzip(b">a\nAC"), gzip(b"GT\n>b\nTT\n")].concat();
    assert_eq!(read_all(&bytes, 100).unwrap(), [("a".into(), "ACGT".into()), ("b".into(), "TT".into())]);
}

#[test]
fn line_ends_on_the_edge_of_the_buffer_are_seen() {
    for pad in 0..6 {
        let line = "A".repeat((1 << 18) - 8 + pad);
        let text = format!(">a\r\n{line}\r\nCC\r\n>b\r\nG\r\n");
        let expected = [("a".to_string(), format!("{line}CC")), ("b".to_string(), "G".to_string())];
        assert_eq!(read_all(text.as_bytes(), 1 << 20).unwrap(), expected);
    }
}

#[test]
fn records_that_are_not_read_are_passed_over() {
    let file = file(b">a some words \nACGT\nACGT\n>b\nTT\n");
    let mut stream = FastaStream::open(file.path()).unwrap();
    assert_eq!(stream.next_contig().unwrap().unwrap(), "a");
    let mut bases = Vec::new();
    assert_eq!(stream.read_bases(3, &mut bases).unwrap(), 3);
    assert_eq!(stream.next_contig().unwrap().unwrap(), "b");
    assert_eq!(stream.read_bases(3, &mut bases).unwrap(), 2);
    assert_eq!(stream.read_bases(3, &mut bases).unwrap(), 0);
    assert_eq!(bases, b"ACGTT");
    assert_eq!(stream.next_contig().unwrap(), None);
}

#[test]
fn ids_are_those_of_the_bases() {
    let vocabulary = Vocabulary::caduceus();
    let file = file(b">a\nACGTN\nacgtR\n");
    let mut stream = FastaStream::open(file.path()).unwrap();
    stream.next_contig().unwrap();
    let mut ids = Vec::new();
    assert_eq!(stream.read_ids(&vocabulary, 100, &mut ids).unwrap(), 10);
    assert_eq!(ids, [7, 8, 9, 10, 11, 7, 8, 9, 10, 6]);
}

#[test]
fn what_is_no_fasta_is_told_with_its_line() {
    for (text, expected) in [
        ("", "empty FASTA: expected a record, found none"),
        ("\n\n", "empty FASTA: expected a record, found none"),
        ("ACGT\n>a\n", "line 1: expected a header (\">\"), found sequence before the first one"),
        ("\nchr1\t10\n", "line 2: not FASTA: expected a header (\">\"), found \"chr1\\t10\""),
        (">\nAC\n", "line 1: expected a name after \">\", found none"),
        (">a\nAC\n> b\nAC\n", "record \"a\", line 3: expected a name after \">\", found none"),
        (">a\nACGT\nAC4T\n", "record \"a\", line 3: expected IUPAC nucleotide codes, found \"4\""),
        (">a\nAC GT\n", "record \"a\", line 2: expected IUPAC nucleotide codes, found \" \""),
        (">a\nACGU\nMKLV\n", "record \"a\", line 3: expected IUPAC nucleotide codes, found \"L\""),
        (">a\nAC\x01GT\n", "record \"a\", line 2: expected IUPAC nucleotide codes, found byte 0x01"),
        (">a\rACGT\r>b\r", "line 1: expected lines that end in LF or CRLF, found a carriage return inside a header"),
    ] {
        assert_eq!(message(text.as_bytes()), expected, "{text:?}");
    }
    assert_eq!(message(&gzip(b"")), "empty FASTA: expected a record, found none");
}

#[test]
fn a_truncated_stream_is_an_error() {
    let text = format!(">a\n{}\n", "ACGTTGCA\n".repeat(50_000));
    let (gz, bgz) = (gzip(text.as_bytes()), bgzip(text.as_bytes()));
    for cut in [&gz[..gz.len() / 2], &gz[..gz.len() - 4], &bgz[..bgz.len() / 2], &bgz[..bgz.len() - 28]] {
        let message = message(cut);
        assert!(message == "the file is truncated", "{message}");
    }
}

#[test]
fn a_name_that_occurs_twice_is_noticed() {
    let text = b">a\nAC\n>b\nGT\n>a x\nTT\n";
    for bytes in [text.to_vec(), gzip(text), bgzip(text)] {
        let error = crate::error::told(&read_all(&bytes, 100).unwrap_err());
        assert!(error.ends_with("contig \"a\" occurs more than once"), "{error}");
    }
}

#[test]
fn only_the_name_of_a_header_must_be_utf8() {
    let records = read_all(b">a Saccharomyces c\xe9r\xe9visiae\nAC\n;caf\xe9\nGT\n", 100).unwrap();
    assert_eq!(records, [("a".into(), "ACGT".into())]);
    let expected = "record \"a\", line 3: expected a name in UTF-8, found \"caf\u{fffd}\"";
    assert_eq!(message(b">a\nA\n>caf\xe9 x\nA\n"), expected);
}

#[test]
fn endless_headers_and_comments_are_refused() {
    let longest = "x".repeat((1 << 20) - 2);
    let text = format!(">{longest}x\nAC\n;x{longest}\nGT\n");
    assert_eq!(read_all(text.as_bytes(), 100).unwrap()[0].1, "ACGT");
    for (text, place) in [
        (format!(">a\nAC\n>b {longest}\nGT\n"), "record \"a\", line 3"),
        (format!(">a\nAC\n;{longest}xx\nGT\n"), "record \"a\", line 3"),
        (format!(";{longest}xx"), "line 1"),
    ] {
        let expected = format!("{place}: expected a header or comment of at most 1048576 bytes, found a longer one");
        assert_eq!(message(text.as_bytes()), expected);
    }
}
