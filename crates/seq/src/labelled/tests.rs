use std::io::Write as _;

use super::*;
use crate::genome::GenomeOptions;

fn parse(text: &str) -> Result<Vec<Labelled>, LabelledError> {
    parse_labelled(text.as_bytes(), Path::new("t.tsv"), None, Labels::Required)
}

fn message(error: LabelledError) -> String {
    error.to_string()
}

fn genome(folder: &Path) -> Genome {
    let path = folder.join("g.fa");
    std::fs::write(&path, ">chr1\nAACCGGTTAC\n>chr2\nGGGG\n").unwrap();
    Genome::open(&path, &GenomeOptions::default()).unwrap()
}

#[test]
fn columns_are_told_by_name() {
    let rows = parse("\u{feff}id\tsequence\tlabel\r\n7\tACGTn\tyes\r\n\r\n8\tTT\tno").unwrap();
    let expected = |line, label: &str, bases: &[u8]| Labelled { line, label: Some(label.into()), bases: bases.into() };
    assert_eq!(rows, [expected(2, "yes", b"ACGTn"), expected(4, "no", b"TT")]);
    let rows = parse_labelled("sequence\nAC\n".as_bytes(), Path::new("t"), None, Labels::Optional).unwrap();
    assert_eq!(rows[0].label, None);
}

#[test]
fn compressed_tables_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.tsv.gz");
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    file.write_all(b"label\tsequence\n1\tACGT\n").unwrap();
    std::fs::write(&path, file.finish().unwrap()).unwrap();
    assert_eq!(read_labelled(&path, None, Labels::Required).unwrap()[0].bases, b"ACGT");
    let error = read_labelled(&folder.path().join("none"), None, Labels::Required).unwrap_err();
    assert!(message(error).starts_with("cannot read "));
}

#[test]
fn intervals_are_half_open_and_have_strands() {
    let folder = tempfile::tempdir().unwrap();
    let mut genome = genome(folder.path());
    let text =
        "label\tchrom\tstart\tend\tstrand\tsequence\na\tchr1\t2\t8\t+\tnone\nb\t1\t0\t5\t-\t\nc\tchr1\t9\t10\t.\t\n";
    let rows = parse_labelled(text.as_bytes(), Path::new("t"), Some(&mut genome), Labels::Required).unwrap();
    let bases: Vec<&[u8]> = rows.iter().map(|row| row.bases.as_slice()).collect();
    assert_eq!(bases, [b"CCGGTT".as_slice(), b"CGGTT", b"C"]);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, expected) in [
        ("", "t.tsv: expected a header, found no line"),
        ("label\tsequence\n\n", "t.tsv: expected sequences, found none"),
        ("class\tsequence\n1\tA\n", "t.tsv, line 1: expected a column \"label\", found class, sequence"),
        (
            "label\tchrom\n1\tA\n",
            "t.tsv, line 1: expected a column \"sequence\", found label, chrom; for intervals give a genome",
        ),
        ("label\tlabel\tsequence\n", "t.tsv, line 1: expected one column \"label\", found two"),
        ("label\tsequence\n1\tA\n1\n", "t.tsv, line 3: expected 2 fields, as many as the header has, found 1"),
        ("label\tsequence\n \tA\n", "t.tsv, line 2: expected a label, found none"),
        ("label\tsequence\n1\t\n", "t.tsv, line 2: expected a sequence, found none"),
        ("label\tsequence\n1\tAC1\n", "t.tsv, line 2: expected a base at position 3 of the sequence, found '1'"),
        ("label\tsequence\n1\tACé\n", "t.tsv, line 2: expected a base at position 3 of the sequence, found 'é'"),
    ] {
        assert_eq!(message(parse(text).unwrap_err()), expected, "{text:?}");
    }
    let not_text = parse_labelled(b"label\tsequence\n\xff\tA\n".as_slice(), Path::new("t"), None, Labels::Required);
    assert_eq!(message(not_text.unwrap_err()), "t, line 2: expected text, found bytes that are not UTF-8");
}

#[test]
fn intervals_that_a_genome_lacks_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut genome = genome(folder.path());
    for (row, expected) in [
        ("chr2\t0\t5\t+", "interval ends past the end of contig \"chr2\": expected an end of at most 4, found 5"),
        ("chr2\t3\t3\t+", "interval of contig \"chr2\" holds no base: expected start < end, found start 3, end 3"),
        ("chr2\t-1\t3\t+", "expected a number as start, found \"-1\""),
        ("chr2\t1\t3\t*", "expected a strand of +, - or ., found \"*\""),
    ] {
        let text = format!("label\tcontig\tstart\tend\tstrand\nx\t{row}\n");
        let error = parse_labelled(text.as_bytes(), Path::new("t"), Some(&mut genome), Labels::Required).unwrap_err();
        assert_eq!(message(error), format!("t, line 2: {expected}"));
    }
    let text = "label\tcontig\tstart\tend\nx\tchr9\t1\t2\n";
    let error = parse_labelled(text.as_bytes(), Path::new("t"), Some(&mut genome), Labels::Required).unwrap_err();
    assert!(matches!(error.kind(), LabelledErrorKind::Contig(_)), "{error}");
}
