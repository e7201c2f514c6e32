//! What is read is the same however it is stored and whatever its contigs are called.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::PathBuf,
};

use longstrand_tests::{
    CHR20, INTERVALS, READS, YEAST,
    command::Longstrand,
    data,
    synthetic::Family,
    table::{Row, metadata, numbers, rows},
    workdir::Workdir,
};

fn workdir() -> Workdir {
    with_model(Family::CaduceusPh)
}

fn with_model(family: Family) -> Workdir {
    Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family)
}

/// A pseudo-random contig of 2,500 bases with a soft-masked stretch and a run of N.
fn contig() -> String {
    let mut state = 5_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut bases: Vec<u8> = (0..2500).map(|_| b"ACGT"[next() % 4]).collect();
    bases[100..300].make_ascii_lowercase();
    bases[1000..1600].fill(b'N');
    String::from_utf8(bases).expect("letters")
}

fn fasta(name: &str, bases: &str) -> String {
    let lines: Vec<&str> =
        bases.as_bytes().chunks(60).map(|line| std::str::from_utf8(line).expect("letters")).collect();
    format!(">{name}\n{}\n", lines.join("\n"))
}

/// The bases of a gzip file of the repository, written plain into the folder.
fn gunzipped(workdir: &Workdir, file: &str, name: &str) -> PathBuf {
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(File::open(data(file)).expect("a file")).read_to_end(&mut text).expect("gzip");
    workdir.write(name, text)
}

/// The file as a single gzip stream, which cannot be read at random.
fn gzipped(workdir: &Workdir, plain: &PathBuf, name: &str) -> PathBuf {
    let path = workdir.path(name);
    let mut encoder = flate2::write::GzEncoder::new(File::create(&path).expect("a file"), flate2::Compression::fast());
    encoder.write_all(&fs::read(plain).expect("the plain file")).expect("gzip");
    encoder.finish().expect("gzip");
    path
}

#[test]
fn plain_gzip_bgzip_and_standard_input_are_the_same_genome() {
    let workdir = with_model(Family::Mamba);
    let plain = gunzipped(&workdir, CHR20, "plain.fa");
    let gzip = gzipped(&workdir, &plain, "plain.fa.gz");
    let options = "--max-n 0 --window 65536 --pool bins:1024";
    let expected = workdir.rows(data(CHR20), options);
    assert_eq!(expected.len(), 1_100_000_usize.div_ceil(1024));
    assert!(workdir.rows(&plain, options) == expected, "plain");
    assert!(workdir.rows(&gzip, options) == expected, "gzip");
    for input in [plain, gzip, data(CHR20)] {
        workdir.embed("-", "stdin.parquet").args(options).args("--force").stdin(&input).succeeds();
        assert!(rows(&workdir.path("stdin.parquet")) == expected, "{} on standard input", input.display());
    }
}

#[test]
fn reads_come_from_standard_input_too() {
    let workdir = workdir();
    let expected = workdir.rows(data(READS), "--region 20:9,999,900-10,000,100");
    workdir.embed("-", "stdin.parquet").args("--region 20:9,999,900-10,000,100").stdin(data(READS)).succeeds();
    assert!(rows(&workdir.path("stdin.parquet")) == expected);
}

#[test]
fn a_chromosome_answers_to_its_other_names() {
    let workdir = workdir();
    let region = |name: &str| {
        workdir.rows(data(CHR20), &format!("--sliced-reference --region {name}:9,999,901-10,001,000 --window 500"))
    };
    let expected = region("20");
    assert_eq!(expected.len(), 3);
    assert!(expected.iter().all(|row| row.contig == "20"), "the file's own name stands in the table");
    for name in ["chr20", "NC_000020.10", "CM000682.1"] {
        assert!(region(name) == expected, "{name}");
    }
    let reads = |name: &str| workdir.rows(data(READS), &format!("--region {name}:9,999,900-10,000,000"));
    assert!(reads("20") == reads("chr20") && !reads("20").is_empty());
}

#[test]
fn intervals_of_a_bed_file_are_windows_on_their_strand() {
    let workdir = workdir();
    let bed = format!("--sliced-reference --bed {}", data(INTERVALS).display());
    let found = workdir.rows(data(CHR20), &bed);
    let places: Vec<_> = found.iter().map(|r| (r.name.as_str(), r.start, r.end, r.strand.as_str())).collect();
    assert_eq!(places, [("first_601", 9_999_899, 10_000_500, "+"), ("last_1000", 10_001_000, 10_002_000, "-")]);
    let forward = workdir.rows(data(CHR20), "--sliced-reference --region 20:10,001,001-10,002,000");
    assert_ne!(found[1].embedding, forward[0].embedding);

    let plain = gunzipped(&workdir, CHR20, "plain.fa");
    let text = fs::read_to_string(plain).expect("the slice");
    let bases: String = text.lines().skip(1).collect();
    let at = 10_001_000 - 9_450_000;
    let complement: String = bases[at..at + 1000].chars().rev().map(complement).collect();
    let reverse = workdir.write("reverse.fa", fasta("reverse", &complement));
    assert_eq!(found[1].embedding, workdir.rows(&reverse, "--window contig")[0].embedding);

    let centred = workdir.rows(data(CHR20), &format!("{bed} --window 200"));
    let places: Vec<_> = centred.iter().map(|row| (row.start, row.end)).collect();
    assert_eq!(places, [(10_000_099, 10_000_299), (10_001_400, 10_001_600)]);
}

fn complement(base: char) -> char {
    match base.to_ascii_uppercase() {
        'A' => 'T',
        'C' => 'G',
        'G' => 'C',
        'T' => 'A',
        other => other,
    }
}

#[test]
fn a_bed_cuts_reads_out_under_another_name() {
    let workdir = workdir();
    let found = workdir.rows(data(READS), &format!("--bed {}", data(INTERVALS).display()));
    // As many as samtools view -c -F 0x900 -L finds; 973 are in the file.
    assert_eq!(found.len(), 773);
    let between = |row: &Row| row.contig == "chr20" && row.start >= 10_000_500 && row.end <= 10_001_000;
    assert!(!found.iter().any(between));
    assert!(workdir.rows(data(READS), "--region 20:9,999,900-10,002,000").iter().any(between));
}

#[test]
fn a_window_wider_than_its_contig_is_counted() {
    let workdir = workdir();
    let genome = workdir.write("g.fa", fasta("one", &contig()));
    let bed = workdir.write("x.bed", "one\t10\t20\n");
    let options = format!("--bed {} --window 3000 --force", bed.display());
    let table = workdir.path("x.parquet");
    let run = |last: &str| workdir.embed(&genome, "x.parquet").args(&options).args(last).run();
    let count = |last: &str, name: &str| {
        run(last);
        let places: Vec<_> = rows(&table).iter().map(|row| (row.start, row.end)).collect();
        assert_eq!(places, [(0, 2500)]);
        let counts: serde_json::Value = serde_json::from_str(&metadata(&table)["longstrand.counts"]).expect("JSON");
        counts[name].as_u64().expect("a count")
    };
    assert_eq!((count("", "kept_partial"), count("", "padded")), (1, 0));
    assert_eq!((count("--last pad", "kept_partial"), count("--last pad", "padded")), (0, 1));
    run("--last drop").failed(1, &["expected at least one window, found none; 1 shorter than the window"]);
    let told = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"));
    let told = told.arg("embed").arg(&genome).arg("-o").arg(&table).model(workdir.path("model")).args(&options);
    let told = told.succeeds();
    assert!(told.stderr.contains("1 row of 1 window, 1 of them shorter than --window"), "{told}");
}

#[test]
fn a_name_that_occurs_twice_is_noticed_in_a_stream() {
    let workdir = workdir();
    let plain = workdir.write("twice.fa", ">one\nACGT\n>two\nACGT\n>one\nACGT\n");
    for input in [gzipped(&workdir, &plain, "twice.fa.gz"), plain] {
        workdir.embed(&input, "x.parquet").fails(1, &["contig \"one\" occurs more than once"]);
    }
}

#[test]
fn a_protein_is_refused_with_its_line() {
    let workdir = workdir();
    let protein = workdir.write("p.fa", ">one\nMKTAYIAKQR\n");
    let says = ["p.fa: record \"one\", line 2: expected IUPAC nucleotide codes, found \"I\""];
    workdir.embed(&protein, "x.parquet").fails(1, &says);
}

#[test]
fn reads_without_a_variant_are_the_reference_on_their_strand() {
    let workdir = workdir();
    let mut reads = workdir.rows(data(READS), "--region 20:9,999,900-10,002,000 --min-mapq 60");
    reads.retain(|read| read.n_bases == read.end - read.start);
    let lines: String =
        reads.iter().map(|r| format!("20\t{}\t{}\t{}\t0\t{}\n", r.start, r.end, r.name, r.strand)).collect();
    let bed = workdir.write("reads.bed", lines);
    let reference = workdir.rows(data(CHR20), &format!("--sliced-reference --bed {}", bed.display()));
    assert_eq!(reference.len(), reads.len());
    for strand in ["+", "-"] {
        let of_strand = reads.iter().zip(&reference).filter(|(read, _)| read.strand == strand);
        let same = of_strand.clone().filter(|(read, reference)| read.embedding == reference.embedding).count();
        let all = of_strand.count();
        assert!(all > 300 && same > 100, "{strand}: {same} of {all} reads are as the reference");
    }
}

#[test]
fn windows_keep_drop_or_pad_what_is_left() {
    let workdir = workdir();
    let genome = workdir.write("g.fa", fasta("one", &contig()));
    let places = |options: &str| -> Vec<(i64, i64, i64)> {
        workdir.rows(&genome, options).iter().map(|row| (row.start, row.end, row.n_bases)).collect()
    };
    assert_eq!(places("--window 1000"), [(0, 1000, 1000), (1000, 2000, 1000), (2000, 2500, 500)]);
    assert_eq!(places("--window 1000 --last drop"), [(0, 1000, 1000), (1000, 2000, 1000)]);
    assert_eq!(places("--window 1000 --last pad"), places("--window 1000"));
    assert_eq!(places("--window contig"), [(0, 2500, 2500)]);
    let strided: Vec<i64> = places("--window 1000 --stride 300").iter().map(|row| row.0).collect();
    assert_eq!(strided, [0, 300, 600, 900, 1200, 1500]);
    // Padding takes part in the pass of a model that looks both ways, and in no mean.
    let last = |options: &str| -> Row { workdir.rows(&genome, options).pop().expect("a row") };
    assert_ne!(last("--window 1000").embedding, last("--window 1000 --last pad").embedding);
}

#[test]
fn unknown_and_soft_masked_bases_are_counted() {
    let workdir = workdir();
    let genome = workdir.write("g.fa", fasta("one", &contig()));
    let ambiguous =
        |options: &str| -> Vec<i64> { workdir.rows(&genome, options).iter().map(|row| row.n_ambiguous).collect() };
    assert_eq!(ambiguous("--window 500"), [0, 0, 500, 100, 0]);
    assert_eq!(ambiguous("--window 500 --max-n 0.2"), [0, 0, 100, 0]);
    assert_eq!(ambiguous("--window 500 --max-n 0.1"), [0, 0, 0]);
    for options in ["--window 250", "--window 500 --pool bins:250"] {
        workdir.embed(&genome, "masked.parquet").args(options).args("--soft-mask --force").succeeds();
        let masked = numbers(&workdir.path("masked.parquet"), "n_soft_masked");
        assert_eq!(masked, [150, 50, 0, 0, 0, 0, 0, 0, 0, 0], "{options}");
    }
    // The mask is a matter of the table: a model reads upper case.
    let upper = workdir.write("upper.fa", fasta("one", &contig().to_ascii_uppercase()));
    assert!(workdir.rows(&genome, "--window 500") == workdir.rows(&upper, "--window 500"));
}

/// A genome of one contig without N and mask in 2bit, little-endian.
fn two_bit(name: &str, bases: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let word = |bytes: &mut Vec<u8>, value: usize| bytes.extend_from_slice(&(value as u32).to_le_bytes());
    [0x1A41_2743, 0, 1, 0].into_iter().for_each(|value| word(&mut bytes, value));
    bytes.push(name.len() as u8);
    bytes.extend_from_slice(name.as_bytes());
    let record = bytes.len() + 4;
    word(&mut bytes, record);
    [bases.len(), 0, 0, 0].into_iter().for_each(|value| word(&mut bytes, value));
    let code = |base: u8| b"TCAG".iter().position(|&b| b == base).expect("a base") as u8;
    for four in bases.as_bytes().chunks(4) {
        bytes.push(four.iter().enumerate().fold(0, |byte, (i, &base)| byte | code(base) << (6 - 2 * i)));
    }
    bytes
}

#[test]
fn two_bit_is_told_by_its_content() {
    let workdir = workdir();
    let bases = contig().to_ascii_uppercase().replace('N', "");
    let fasta = workdir.write("g.fa", fasta("one", &bases));
    let packed = workdir.write("packed.fa", two_bit("one", &bases));
    assert!(workdir.rows(&packed, "--window 300") == workdir.rows(&fasta, "--window 300"));
}

#[test]
fn the_yeast_genome_is_read_at_random_from_plain_gzip() {
    let workdir = workdir();
    let region = workdir.rows(data(YEAST), "--region XVI:900,001-910,000 --window 1000");
    let plain = gunzipped(&workdir, YEAST, "yeast.fa");
    assert_eq!(region.len(), 10);
    let options = "--region chrXVI:900,001-910,000 --window 1000";
    assert!(region == workdir.rows(&plain, options));
    workdir.embed("-", "stdin.parquet").args(options).stdin(&plain).succeeds();
    assert!(rows(&workdir.path("stdin.parquet")) == region, "standard input");
}
