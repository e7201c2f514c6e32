use super::*;
use crate::error::told;

fn told_of(result: Result<impl Sized, VariantError>) -> String {
    match result {
        Ok(_) => panic!("no error"),
        Err(error) => told(&error),
    }
}

/// The message without the folder's name.
fn message(folder: &Folder, result: Result<impl Sized, VariantError>) -> String {
    told_of(result).replace(&format!("{}/", folder.0.path().display()), "")
}

fn read_all(mut reader: VariantReader) -> Result<(), VariantError> {
    while reader.read()?.is_some() {}
    Ok(())
}

fn read(folder: &Folder, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = folder.put(name, bytes);
    message(folder, VariantReader::open(&path, &[]).and_then(read_all))
}

#[test]
fn other_files_are_named() {
    let folder = Folder::new();
    for (bytes, found) in [
        (b">20\nACGT\n".to_vec(), "FASTA"),
        (bgzip(b"BAM\x01\0\0\0\0"), "BAM"),
        (b"CRAM\x03\0".to_vec(), "CRAM"),
        (b"BCF\x04\0\0".to_vec(), "a version of BCF other than 2.1 and 2.2"),
        (b"\x7fELF\0\0".to_vec(), "binary data"),
    ] {
        assert_eq!(read(&folder, "f", bytes), format!("f: expected VCF or BCF, found {found}"));
    }
    let expected = "f: line 1 of the header: expected \"##fileformat=VCFv4.x\", found ";
    assert_eq!(read(&folder, "f", ""), format!("{expected}the end of the file"));
    assert_eq!(read(&folder, "f", bgzip(b"")), format!("{expected}the end of the file"));
    assert_eq!(read(&folder, "f", "20\t5\n"), format!("{expected}\"20\\t5\""));
    assert!(message(&folder, VariantReader::open(&folder.path("none"), &[])).starts_with("cannot read none: "));
}

#[test]
fn a_broken_line_is_told_with_its_place() {
    let folder = Folder::new();
    assert_eq!(
        read(&folder, "f", format!("{ODDS}20\tfive\t.\tA\tC\t.\t.\t.\n")),
        "f: line 26: 20: expected a 1-based position in POS, found \"five\""
    );
    assert_eq!(
        read(&folder, "f", format!("{ODDS}20\t5\t.\t\tC\t.\t.\t.\n")),
        "f: line 26: 20:5: expected bases in REF, found an empty column"
    );
}

#[test]
fn a_file_that_is_cut_is_truncated() {
    let folder = Folder::new();
    let whole = bgzip(&gunzip(REAL));
    let bcf = folder.path("real.bcf");
    convert(&folder.put("real", REAL), &bcf).unwrap();
    let bcf = fs::read(bcf).unwrap();
    let raw = gunzip(&bcf);
    for (name, bytes) in [
        ("no end block", &whole[..whole.len() - 28]),
        ("cut end block", &whole[..whole.len() - 3]),
        ("cut block", &whole[..whole.len() / 2]),
        ("a few bytes", &whole[..40]),
        ("no end block of BCF", &bcf[..bcf.len() - 28]),
        ("cut BCF", &bcf[..bcf.len() / 2]),
        ("cut raw BCF", &raw[..raw.len() - 1]),
        ("cut raw header", &raw[..100]),
        ("cut raw start", &raw[..7]),
    ] {
        let told = read(&folder, "f", bytes);
        assert!(told.starts_with("f: the file is truncated: "), "{name}: {told}");
    }
    let indexed = folder.path("indexed.vcf.gz");
    convert(&folder.path("real"), &indexed).unwrap();
    let bytes = fs::read(&indexed).unwrap();
    fs::write(&indexed, &bytes[..bytes.len() - 28]).unwrap();
    let told = told_of(records(&indexed, &["21:15900000-15900001"]));
    assert!(told.contains("truncated"), "{told}");
}

#[test]
fn regions_need_an_index_of_the_file() {
    let folder = Folder::new();
    let of =
        |name: &str, regions: &str| message(&folder, VariantReader::open(&folder.path(name), &[regions.to_owned()]));
    folder.put("plain.vcf", ODDS);
    folder.put("gzip.vcf.gz", gzip(ODDS.as_bytes()));
    folder.put("bare.vcf.gz", bgzip(ODDS.as_bytes()));
    assert_eq!(
        of("plain.vcf", "20"),
        "plain.vcf: regions need bgzip and an index, found a file that is not compressed"
    );
    assert_eq!(of("gzip.vcf.gz", "20"), "gzip.vcf.gz: regions need bgzip and an index, found gzip");
    assert_eq!(of("bare.vcf.gz", "20"), "bare.vcf.gz: regions need an index: there is no bare.vcf.gz.tbi");
    convert(&folder.path("plain.vcf"), &folder.path("odds.vcf.gz")).unwrap();
    assert!(of("odds.vcf.gz", "21").starts_with("odds.vcf.gz: region \"21\": "));
    assert!(of("odds.vcf.gz", "20:9-8").contains("at most the end 8, found 9"));
    folder.put("odds.vcf.gz.tbi", "no index");
    assert!(of("odds.vcf.gz", "20").starts_with("odds.vcf.gz: cannot use the index odds.vcf.gz.tbi: "));
    folder.put("odds.vcf.gz.tbi", bgzip(b"TBI\x01\xff\xff\xff\x7f"));
    let told = of("odds.vcf.gz", "20");
    assert_eq!(told, "odds.vcf.gz: cannot use the index odds.vcf.gz.tbi: it is damaged, or is of another file");
}

#[test]
fn streams_are_not_surveyed() {
    let told = told_of(surveyed("-".as_ref(), &[]));
    assert_eq!(told, "-: the records of a stream cannot be counted before they are read");
}

#[test]
fn bcf_holds_only_what_the_header_declares() {
    let folder = Folder::new();
    let convert = |line: &str| {
        let from = folder.put("f", format!("{}{line}\n", &ODDS[..ODDS.find("20\t0").unwrap()]));
        message(&folder, convert(&from, &folder.path("f.bcf")))
    };
    let rest = "GT\t0\t0\t0";
    for (line, expected) in [
        (
            format!("21\t5\t.\tA\tC\t.\t.\t.\t{rest}"),
            "21:5: expected a contig that the header declares, which BCF needs, found \"21\"",
        ),
        (
            format!("20\t5\t.\tA\tC\t.\tq9\t.\t{rest}"),
            "20:5: expected a FILTER that the header declares, which BCF needs, found \"q9\"",
        ),
        (
            format!("20\t5\t.\tA\tC\t.\t.\tAB=1\t{rest}"),
            "20:5: expected a INFO that the header declares, which BCF needs, found \"AB\"",
        ),
        (format!("20\t5\t.\tA\tC\t.\t.\tDP=x\t{rest}"), "20:5: expected a 32-bit integer in DP, found \"x\""),
        (
            format!("20\t5\t.\tA\tC\t.\t.\tDP=2147483648\t{rest}"),
            "20:5: expected a 32-bit integer in DP, found \"2147483648\"",
        ),
        (format!("20\t5\t.\tA\tC\tx\t.\t.\t{rest}"), "20:5: expected a number in QUAL, found \"x\""),
        (
            format!("20\t3000000000\t.\tA\tC\t.\t.\t.\t{rest}"),
            "20:3000000000: expected a position that BCF can hold, found 3000000000",
        ),
        ("20\t5\t.\tA\tC\t.\t.\t.\tGT\t0".into(), "20:5: expected 3 samples, found 1"),
        ("20\t5\t.\tA\tC\t.\t.\t.\tGT\t0\t0\tx".into(), "20:5: expected alleles in GT, found \"x\""),
        ("20\t5\t.\tA\tC\t.\t.\t.\tGT\t0\t0\t0:1".into(), "20:5: expected at most 1 fields in a sample, found more"),
        (
            "20\t5\t.\tA\tC\t.\t.\t.\tXY\t0\t0\t0".into(),
            "20:5: expected a FORMAT that the header declares, which BCF needs, found \"XY\"",
        ),
    ] {
        assert_eq!(convert(&line), format!("f.bcf: line 19: {expected}"));
    }
}

#[test]
fn a_record_of_more_alleles_than_bcf_holds_names_the_limit() {
    let folder = Folder::new();
    let alternates = vec!["C"; 65_535].join(",");
    let line = format!("20\t5\t.\tA\t{alternates}\t.\t.\t.\tGT\t0\t0\t0");
    let from = folder.put("f", format!("{}{line}\n", &ODDS[..ODDS.find("20\t0").unwrap()]));
    assert_eq!(
        message(&folder, convert(&from, &folder.path("f.bcf"))),
        "f.bcf: line 19: 20:5: expected at most 65535 alleles, REF among them, as BCF holds, found 65536"
    );
}

#[test]
fn a_record_can_be_checked_without_being_written() {
    let folder = Folder::new();
    let line = "20\t5\t.\tA\tC\t.\tq9\t.\tGT\t0\t0\t0";
    let from = folder.put("f", format!("{}{line}\n", &ODDS[..ODDS.find("20\t0").unwrap()]));
    let mut reader = VariantReader::open(&from, &[]).unwrap();
    let record = reader.read().unwrap().unwrap();
    for (name, format, says) in [("f.vcf", VariantFormat::Vcf, None), ("f.bcf", VariantFormat::Bcf, Some("\"q9\""))] {
        let output = VariantOutput::from_path(folder.path(name));
        let mut writer = VariantWriter::create(&output, format, reader.header(), false).unwrap();
        match (writer.check(&record), says) {
            (checked, None) => checked.unwrap(),
            (checked, Some(says)) => assert!(message(&folder, checked).contains(says)),
        }
        writer.finish().unwrap();
        assert_eq!(records(&folder.path(name), &[]).unwrap(), []);
    }
}

#[test]
fn what_stands_under_the_name_is_kept() {
    let folder = Folder::new();
    let from = folder.put("odds", ODDS);
    folder.put("out.vcf", "old");
    folder.put("b.vcf.gz.tbi", "old");
    fs::create_dir(folder.path("d.vcf")).unwrap();
    let to = |name: &str| message(&folder, convert(&from, &folder.path(name)));
    assert_eq!(to("out.vcf"), "out.vcf exists; --force replaces it");
    assert_eq!(to("b.vcf.gz"), "b.vcf.gz.tbi exists; --force replaces it");
    assert_eq!(to("d.vcf"), "d.vcf exists and is not a file");
    assert_eq!(to("none/out.vcf"), "none: there is no such folder to write into");
    assert_eq!(fs::read_to_string(folder.path("out.vcf")).unwrap(), "old");
}

#[test]
fn a_file_that_appears_meanwhile_is_kept() {
    let folder = Folder::new();
    let from = folder.put("odds", ODDS);
    let header = VariantReader::open(&from, &[]).unwrap().header().clone();
    let output = VariantOutput::from_path(folder.path("out.vcf"));
    let writer = VariantWriter::create(&output, VariantFormat::Vcf, &header, false).unwrap();
    folder.put("out.vcf", "other");
    folder.put("out.vcf.tbi", "its index");
    assert_eq!(message(&folder, writer.finish()), "out.vcf exists; --force replaces it");
    assert_eq!(folder.names(), ["odds", "out.vcf", "out.vcf.tbi"]);
}
