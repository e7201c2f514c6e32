//! What is wrong is said in one line, with what was expected and what was found, and under its own exit code; and
//! nothing is left under the output's name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use longstrand_tests::{
    CHR20, INTERVALS, READS, YEAST,
    command::{Finished, Longstrand},
    data,
    fixture::root,
    synthetic::Family,
    workdir::Workdir,
};

/// What an error ends with.
const ERROR: i32 = 1;
/// What options that do not go together end with.
const USAGE: i32 = 2;

const OUTPUT: &str = "out.parquet";

fn workdir() -> Workdir {
    Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), Family::Mamba)
}

fn longstrand() -> Longstrand {
    Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"))
}

/// Asserts that `embed` of the input fails like this, and leaves nothing behind.
fn refused(workdir: &Workdir, input: impl AsRef<Path>, options: &str, code: i32, says: &[&str]) {
    let before = workdir.names();
    workdir.embed(input, OUTPUT).args(options).fails(code, says);
    assert_eq!(workdir.names(), before, "{options}");
}

/// The first `n` bytes of a shipped file.
fn beginning(workdir: &Workdir, file: &str, name: &str, n: usize) -> PathBuf {
    let bytes = fs::read(data(file)).expect("a shipped file");
    workdir.write(name, &bytes[..n])
}

#[test]
fn a_missing_file() {
    let workdir = workdir();
    refused(&workdir, workdir.path("no.fa"), "", ERROR, &["no.fa: No such file or directory"]);
    let bed = format!("--bed {}", workdir.path("no.bed").display());
    refused(&workdir, data(YEAST), &bed, ERROR, &["no.bed: ", "No such file or directory"]);
}

#[test]
fn an_empty_or_foreign_file() {
    let workdir = workdir();
    let empty = workdir.write("empty.fa", "");
    refused(&workdir, empty, "", ERROR, &["empty.fa: empty FASTA: expected a record, found none"]);
    let foreign = workdir.write("table.csv", "a,b\n1,2\n");
    refused(&workdir, foreign, "", ERROR, &["table.csv: line 1: not FASTA: expected a header (\">\"), found \"a,b\""]);
    let sam = workdir.write("reads.sam", "@HD\tVN:1.6\n");
    refused(
        &workdir,
        sam,
        "",
        ERROR,
        &["expected FASTA, 2bit, BAM or CRAM, found SAM; samtools view -b makes BAM of it"],
    );
    let fastq = workdir.write("reads.fq", "@r1\nACGT\n+\nIIII\n");
    refused(&workdir, fastq, "", ERROR, &["found FASTQ; samtools import makes BAM of it"]);
    let broken = workdir.write("broken.fa", ">one\nACGT\nAC!T\n");
    refused(
        &workdir,
        broken,
        "",
        ERROR,
        &["broken.fa: record \"one\", line 3: expected IUPAC nucleotide codes, found \"!\""],
    );
}

#[test]
fn a_truncated_genome() {
    let workdir = workdir();
    let gzip = beginning(&workdir, YEAST, "yeast.fa.gz", 100_000);
    for options in ["", "--region I", "--shard 1/2"] {
        refused(&workdir, &gzip, options, ERROR, &["yeast.fa.gz: the file is truncated"]);
    }
    let bgzip = beginning(&workdir, CHR20, "slice.fa.gz", 200_000);
    refused(&workdir, &bgzip, "--sliced-reference", ERROR, &["slice.fa.gz: the file is truncated"]);
}

#[test]
fn truncated_reads() {
    let workdir = workdir();
    let within = beginning(&workdir, READS, "within.bam", 40_000);
    refused(&workdir, &within, "", ERROR, &["within.bam: the file is truncated"]);
    // Whole but for the empty block that ends a BAM file.
    let whole = fs::metadata(data(READS)).expect("the reads").len() as usize;
    let endless = beginning(&workdir, READS, "endless.bam", whole - 28);
    refused(&workdir, &endless, "", ERROR, &["endless.bam: the file is truncated: expected an end-of-file marker"]);
}

#[test]
fn intervals_that_are_none() {
    let workdir = workdir();
    let bed = |line: &str| format!("--bed {}", workdir.write("x.bed", format!("I\t0\t10\n{line}\n")).display());
    let past = bed("I\t100\t230219");
    refused(
        &workdir,
        data(YEAST),
        &past,
        ERROR,
        &["x.bed, line 2: interval ends past the end of contig \"I\": expected an end of at most 230218, found 230219"],
    );
    for (start, end) in [(100, 100), (100, 99)] {
        let empty = bed(&format!("I\t{start}\t{end}"));
        let says = format!(
            "line 2: interval of contig \"I\" holds no base: expected start < end, found start {start}, end {end}"
        );
        refused(&workdir, data(YEAST), &empty, ERROR, &[&says]);
    }
    let words = bed("I\tone\ttwo");
    refused(&workdir, data(YEAST), &words, ERROR, &["line 2: expected a number as", "\"one\""]);
    let short = bed("I\t5");
    refused(&workdir, data(YEAST), &short, ERROR, &["line 2: expected at least 3 columns, found 2"]);
    let unknown = bed("Q\t1\t5");
    refused(&workdir, data(YEAST), &unknown, ERROR, &["line 2: unknown contig \"Q\": there are 16 contigs"]);
    let reads = bed("I\t1\t5");
    refused(&workdir, data(READS), &reads, ERROR, &["x.bed, line 1: unknown contig \"I\""]);
}

#[test]
fn regions_that_are_none() {
    let workdir = workdir();
    for (region, says) in [
        ("I:200-100", "region \"I:200-100\": expected a start of at most the end 100, found 200"),
        ("I:0-100", "region \"I:0-100\": expected a 1-based position, found 0"),
        ("I:1-230219", "expected positions of at most 230218, the length of contig \"I\", found 230219"),
        ("I:x-100", "region \"I:x-100\": expected a 1-based position, found \"x\""),
        ("chrQ:1-100", r#"unknown contig "chrQ": there are 16 contigs, the first are "I", "II", "III", "IV", "V""#),
    ] {
        refused(&workdir, data(YEAST), &format!("--region {region}"), ERROR, &[says]);
    }
    let outside = "--sliced-reference --region 20:9,450,000-9,460,000";
    refused(
        &workdir,
        data(CHR20),
        outside,
        ERROR,
        &["contig \"20\": expected bases within 9450000-10550000, found 9449999-9460000 (0-based, half-open)"],
    );
}

#[test]
fn a_name_that_means_two_contigs() {
    let workdir = workdir();
    let both = workdir.write("both.fa", ">20\nACGT\n>chr20\nACGT\n");
    let says = [r#"contig "NC_000020.10" is ambiguous: it may be "20" or "chr20""#];
    refused(&workdir, &both, "--region NC_000020.10", ERROR, &says);
    let bed = workdir.write("x.bed", "NC_000020.10\t0\t4\n");
    refused(&workdir, &both, &format!("--bed {}", bed.display()), ERROR, &says);
    let twice = workdir.write("twice.fa", ">20\nACGT\n>20\nACGT\n");
    refused(&workdir, &twice, "--region 20", ERROR, &["contig \"20\" occurs more than once"]);
}

/// Asserts that `embed` with this model fails like this, and writes nothing.
fn refused_model(workdir: &Workdir, model: &Path, says: &[&str]) {
    let output = workdir.path(OUTPUT);
    longstrand().embed(data(YEAST), &output).model(model).fails(ERROR, says);
    longstrand().arg("inspect").arg(model).fails(ERROR, says);
    assert!(!output.exists());
}

/// A folder with these files.
fn checkpoint(workdir: &Workdir, files: &[(&str, &[u8])]) -> PathBuf {
    let folder = workdir.path("checkpoint");
    fs::create_dir_all(&folder).expect("a folder");
    for (name, content) in files {
        fs::write(folder.join(name), content).expect("a file of a checkpoint");
    }
    folder
}

fn fixture(case: &str, file: &str) -> Vec<u8> {
    fs::read(root().join(case).join(file)).expect("a file of a fixture")
}

#[test]
fn what_is_no_checkpoint() {
    let workdir = workdir();
    refused_model(&workdir, &workdir.path("nowhere"), &["no checkpoint at", "nowhere"]);
    let empty = checkpoint(&workdir, &[]);
    refused_model(&workdir, &empty, &["no checkpoint at", "has none of model.safetensors"]);
    let config = br#"{"model_type": "bert", "hidden_size": 8}"#;
    let foreign = checkpoint(&workdir, &[("config.json", config), ("model.safetensors", b"")]);
    refused_model(&workdir, &foreign, &["cannot read the config of", "bert"]);
}

#[test]
fn a_truncated_checkpoint() {
    let workdir = workdir();
    let (config, weights) = (fixture("caduceus-ph", "config.json"), fixture("caduceus-ph", "model.safetensors"));
    for length in [0, 7, 100, weights.len() / 2, weights.len() - 1] {
        let files = [("config.json", &config[..]), ("model.safetensors", &weights[..length])];
        let says = format!("({length} bytes) is truncated or not a safetensors file");
        refused_model(&workdir, &checkpoint(&workdir, &files), &["model.safetensors", &says]);
    }
}

#[test]
fn a_checkpoint_of_another_type() {
    let workdir = workdir();
    let (config, weights) = (fixture("caduceus-ph", "config.json"), fixture("caduceus-ph", "model.safetensors"));
    // Integers of the same size in place of the first float tensor.
    let header = u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    let text = String::from_utf8(weights[8..8 + header].to_vec()).expect("a header");
    let mut other = weights[..8].to_vec();
    other.extend_from_slice(text.replacen("\"F32\"", "\"I32\"", 1).as_bytes());
    other.extend_from_slice(&weights[8 + header..]);
    let files = [("config.json", &config[..]), ("model.safetensors", &other[..])];
    refused_model(&workdir, &checkpoint(&workdir, &files), &["tensor \"", "expected type", "found I32"]);
}

/// A zip archive of one stored member, as `torch.save` writes it.
fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let (name_length, length) = (name.len() as u16, content.len() as u32);
    // Flags, method, time, date and checksum: all zero, which is to say stored.
    let mut common = vec![0; 2 + 2 + 2 + 2 + 4];
    [length, length].iter().for_each(|n| common.extend_from_slice(&n.to_le_bytes()));
    common.extend_from_slice(&name_length.to_le_bytes());
    common.extend_from_slice(&[0; 2]);
    let mut bytes = b"PK\x03\x04\x14\0".to_vec();
    bytes.extend_from_slice(&common);
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(content);
    let directory = bytes.len() as u32;
    bytes.extend_from_slice(b"PK\x01\x02\x14\0\x14\0");
    bytes.extend_from_slice(&common);
    bytes.extend_from_slice(&[0; 14]);
    bytes.extend_from_slice(name.as_bytes());
    let size = bytes.len() as u32 - directory;
    bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    [size, directory].iter().for_each(|n| bytes.extend_from_slice(&n.to_le_bytes()));
    bytes.extend_from_slice(&[0; 2]);
    bytes
}

#[test]
fn a_hostile_pickle_runs_nothing() {
    let workdir = workdir();
    let witness = workdir.path("witness");
    let command = format!("touch {}", witness.display());
    let mut pickle = b"\x80\x02cposix\nsystem\nX".to_vec();
    pickle.extend_from_slice(&(command.len() as u32).to_le_bytes());
    pickle.extend_from_slice(command.as_bytes());
    pickle.extend_from_slice(b"\x85R.");
    let config = fixture("ss-mamba", "config.json");
    let files = [("config.json", &config[..]), ("pytorch_model.bin", &archive("archive/data.pkl", &pickle)[..])];
    let says =
        ["pytorch_model.bin", "data.pkl is not a plain dictionary of tensors", r#""posix system" is not allowed"#];
    refused_model(&workdir, &checkpoint(&workdir, &files), &says);
    assert!(!witness.exists(), "the pickle's command was run");
}

#[test]
fn an_output_that_cannot_be_written() {
    let workdir = workdir();
    let file = workdir.write("file", "");
    for output in ["file/out.parquet", "file/parts", "nowhere/out.parquet"] {
        let command = workdir.embed(data(YEAST), output).args("--region I:1-1000");
        command.fails(ERROR, &["expected an existing folder, found none"]);
    }
    assert_eq!(fs::read(file).expect("the file"), b"");
}

#[test]
fn an_output_that_exists() {
    let workdir = workdir();
    let embed = |options: &str| workdir.embed(data(YEAST), OUTPUT).args("--region I:1-2000").args(options);
    let kept = workdir.write(OUTPUT, "what was here before");
    embed("").fails(ERROR, &["out.parquet exists; --force replaces it"]);
    assert_eq!(fs::read(&kept).expect("the file"), b"what was here before");
    embed("--force").succeeds();
    assert!(fs::read(&kept).expect("the file").starts_with(b"PAR1"));

    // Another question must not go on behind an earlier answer, nor an answer of other bytes.
    workdir.embed(data(YEAST), OUTPUT).args("--region I:1-3000 --resume").fails(ERROR, &["cannot resume", "options"]);
    embed("--resume").succeeds();
}

#[test]
fn an_output_that_holds_another_shard() {
    let workdir = workdir();
    for output in ["shard.parquet", "shards"] {
        let embed =
            |options: &str| workdir.embed(data(YEAST), output).args("--region I:1-3000 --window 500").args(options);
        embed("--shard 1/2").succeeds();
        for options in ["--shard 2/2", "--shard 2/2 --resume"] {
            embed(options).fails(ERROR, &["expected shard 2/2 or nothing, found shard 1/2", "an output of its own"]);
        }
    }
}

#[test]
fn a_full_disk() {
    let workdir = workdir();
    let before = workdir.names();
    let embed = workdir.embed(data(YEAST), OUTPUT).args("--region II --window 256");
    let finished: Finished = embed.run_with_file_limit(8);
    finished.failed(ERROR, &["cannot write", "File too large"]);
    assert_eq!(workdir.names(), before);
}

#[test]
fn no_window() {
    let workdir = workdir();
    let short = workdir.write("short.fa", ">a\nACGT\n>b\nAC\n");
    let none = "short.fa: expected at least one window, found none";
    refused(&workdir, &short, "--window 100 --last drop", ERROR, &[none, "2 shorter than the window"]);
    let unknown = workdir.write("unknown.fa", ">a\nNNNNNNNN\n");
    refused(&workdir, &unknown, "--max-n 0.5", ERROR, &["found none", "1 too many ambiguous bases"]);
    refused(&workdir, data(READS), "--region 20:1-1000", ERROR, &["found none", "973 outside the regions"]);
    let empty = workdir.write("empty.bed", "# nothing\n");
    refused(&workdir, data(YEAST), &format!("--bed {}", empty.display()), ERROR, &["found none"]);
}

#[test]
fn options_that_do_not_go_together() {
    let workdir = workdir();
    let bed = format!("--bed {}", data(INTERVALS).display());
    for (input, options, says) in [
        (YEAST, "--layer 9", "layer 9: expected last or 0 to 2"),
        (YEAST, "--equivariant split", "--equivariant"),
        (YEAST, "--min-mapq 20", "--min-mapq goes with reads (BAM, CRAM)"),
        (YEAST, "--region I --stride 10 --window contig", "a stride goes with windows"),
        (READS, "--window 100", "--window: a read is one window"),
        (READS, "--soft-mask", "--soft-mask: reads have no soft mask"),
        (READS, "--sliced-reference", "--sliced-reference goes with a genome or with CRAM"),
    ] {
        refused(&workdir, data(input), options, USAGE, &[says]);
    }
    for options in [&format!("--region I {bed}")[..], "--pool bins:0", "--shard 3/2", "--window 0", "--resume --force"]
    {
        let finished = workdir.embed(data(YEAST), OUTPUT).args(options).run();
        assert_eq!(finished.code, Some(USAGE), "{finished}");
        assert!(finished.stderr.starts_with("longstrand: error: "), "{finished}");
    }
    let shard = workdir.embed("-", OUTPUT).args("--shard 1/2").stdin(data(READS));
    shard.fails(USAGE, &["--shard counts the reads first"]);
}
