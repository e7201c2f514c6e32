//! `longstrand embed` and `inspect` as a shell sees them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use tempfile::TempDir;

const FASTA: &str = ">chr1\nACGTTGCAAGCTTGACCGATATCGGATTACAGGCATGAGCCACCGCGCC\n>chr2\nGGGCCTTAAnnn\n";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("g.fa"), FASTA).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Runs in the folder.
    fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longstrand"));
        command.current_dir(self.0.path()).args(line.split_whitespace()).env("CUDA_VISIBLE_DEVICES", "");
        command
    }

    /// What a run that fails says, in one line; it leaves no output behind.
    fn refused(&self, line: &str, code: i32) -> String {
        let output = self.run(line);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {message}");
        let message = message.strip_prefix("longstrand: error: ").unwrap().strip_suffix('\n').unwrap();
        assert!(!message.contains('\n'), "{message}");
        assert!(!self.path("out.parquet").exists() && !self.path(".out.parquet.parts").exists(), "{line}");
        message.into()
    }
}

/// A column of a table.
fn numbers(table: &Path, column: &str) -> Vec<i64> {
    let reader = SerializedFileReader::new(fs::File::open(table).unwrap()).unwrap();
    let number = |row: Row| {
        let find = |(name, field): (&String, &Field)| match field {
            Field::Long(number) if name == column => Some(*number),
            _ => None,
        };
        row.get_column_iter().find_map(find).unwrap()
    };
    reader.get_row_iter(None).unwrap().map(|row| number(row.unwrap())).collect()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[test]
fn a_genome_is_embedded_and_the_line_at_the_end_says_so() {
    let place = Place::new();
    let output = place.run("embed g.fa -o out.parquet --window 20 --max-n 0.2");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.starts_with("longstrand: 3 rows of 3 windows, 1 of them shorter than --window, 1 left out (too many ambiguous bases), 49 b, "),
        "{said}"
    );
    assert!(said.ends_with("/s, out.parquet\n"), "{said}");
    assert!(output.stdout.is_empty());
    assert_eq!(&fs::read(place.path("out.parquet")).unwrap()[..4], b"PAR1");

    let again = place.run("embed g.fa -o out.parquet --window 20");
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(again.stderr, b"longstrand: error: out.parquet exists; --force replaces it\n");
    let quiet = place.run("embed g.fa -o out.parquet --window 20 --force -q");
    assert_eq!((quiet.status.code(), quiet.stderr), (Some(0), vec![]));
}

#[test]
fn standard_input_gives_the_same_rows_as_the_file() {
    let place = Place::new();
    assert!(place.run("embed g.fa -o file.parquet --window 20").status.success());
    let mut piped = place.command("embed - -o pipe.parquet --window 20 -q").stdin(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(FASTA.as_bytes()).unwrap();
    assert!(piped.wait().unwrap().success());
    assert!(place.path("pipe.parquet").is_file());
}

#[test]
fn a_pipe_is_read_at_random_and_its_bins_have_their_own_soft_mask() {
    let place = Place::new();
    place.write("g.bed", b"chr2\t4\t12\tpeak\t0\t-\n");
    let options = "--bed g.bed --pool bins:4 --soft-mask --shard 1/1";
    assert!(place.run(&format!("embed g.fa -o file.parquet {options}")).status.success());
    let line = format!("embed - -o pipe.parquet {options}");
    let mut piped = place.command(&line).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(FASTA.as_bytes()).unwrap();
    let output = piped.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.starts_with("longstrand: -: a pipe cannot be read at random"), "{said}");
    assert!(said.contains("2 rows of 1 window,"), "{said}");
    assert_eq!(numbers(&place.path("pipe.parquet"), "bin"), [0, 1]);
    for table in ["file.parquet", "pipe.parquet"] {
        assert_eq!(numbers(&place.path(table), "n_soft_masked"), [3, 0], "{table}");
        assert_eq!(numbers(&place.path(table), "start"), [8, 4], "{table}");
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let place = Place::new();
    let output = place.run("embed g.fa -o out.parquet --window 20 --dry-run");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for line in [
        "input     g.fa (FASTA)\n",
        "windows   4\n",
        "bases     61\n",
        "vector    256 numbers\n",
        "output    out.parquet\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(!place.path("out.parquet").exists());
}

#[test]
fn bad_input_is_one_line_and_code_1() {
    let place = Place::new();
    place.write("empty.fa", b"");
    place.write("both.fa", b">20\nACGT\n>NC_000020.10\nACGT\n");
    place.write("past.bed", b"chr1\t40\t60\n");
    place.write("none.bed", b"track name=none\n# chr1\t0\t9\n");
    place.write("turned.bed", b"chr1\t20\t20\n");
    place.write("file", b"");
    let bam = fs::read(repository("data/NA12878_small.bam")).unwrap();
    place.write("cut.bam", &bam[..bam.len() / 2]);
    let gzip = fs::read(repository("data/scerevisiae_R64-1-1.fa.gz")).unwrap();
    place.write("cut.fa.gz", &gzip[..2000]);
    for (line, message) in [
        ("embed no.fa -o out.parquet", "cannot read no.fa: No such file or directory (os error 2)"),
        ("embed empty.fa -o out.parquet", "empty.fa: empty FASTA"),
        ("embed cut.fa.gz -o out.parquet", "cut.fa.gz: the file is truncated"),
        ("embed cut.bam -o out.parquet", "cut.bam"),
        (
            "embed g.fa -o out.parquet --bed past.bed",
            r#"past.bed, line 1: interval ends past the end of contig "chr1""#,
        ),
        (
            "embed g.fa -o out.parquet --bed turned.bed",
            r#"turned.bed, line 1: interval of contig "chr1" holds no base"#,
        ),
        ("embed g.fa -o out.parquet --bed no.bed", "cannot read no.bed: No such file or directory"),
        ("embed g.fa -o out.parquet --region chr9:1-2", r#"region "chr9:1-2": unknown contig "chr9""#),
        (
            "embed g.fa -o out.parquet --region chr1:9-2",
            r#"region "chr1:9-2": expected a start of at most the end 2, found 9"#,
        ),
        ("embed both.fa -o out.parquet --region chr20:1-2", r#"region "chr20:1-2": "#),
        ("embed g.fa -o out.parquet --window 90 --last drop", "g.fa: expected at least one window, found none"),
        ("embed g.fa -o file/out.parquet", "file: expected an existing folder, found none"),
        (
            "embed g.fa -o file",
            "file: expected a folder, or the name of a file that ends in .parquet, found something else",
        ),
        (
            "embed g.fa -o out.parquet --bed none.bed",
            "g.fa: expected at least one window, found none; the BED has no interval",
        ),
        ("embed g.fa -o out.parquet --model no/such", "no checkpoint at \"no/such\""),
        ("embed g.fa -o out.parquet --model file", "cannot read ./config.json"),
        ("inspect no/such", "no checkpoint at \"no/such\""),
    ] {
        let said = place.refused(line, 1);
        assert!(said.starts_with(message) || said.contains(&format!("{message}:")), "{line}: {said}");
    }
}

#[test]
fn options_that_do_not_go_together_are_code_2() {
    let place = Place::new();
    fs::copy(repository("data/NA12878_small.bam"), place.path("r.bam")).unwrap();
    fs::copy(place.path("g.fa"), place.path("genome")).unwrap();
    for (line, message) in [
        ("embed g.fa -o out.parquet --primary-only", "--primary-only goes with reads (BAM, CRAM): g.fa is FASTA"),
        ("embed r.bam -o out.parquet --window 20", "--window: a read is one window, and r.bam is BAM"),
        ("embed r.bam -o out.parquet --soft-mask", "--soft-mask: reads have no soft mask"),
        ("embed g.fa -o out.parquet --equivariant split", "--equivariant takes the halves"),
        ("embed g.fa -o out.parquet --layer 7", "layer 7: expected last or 0 to 4"),
        ("embed g.fa -o out.parquet --chunk 100", "expected a chunk of a multiple of 256 positions, found 100"),
        ("embed genome -o genome --force", "the output genome is one of the inputs"),
        ("embed g.fa -o out.parquet --window 9999999999999 --last pad", "expected padded windows of at most"),
        ("embed - -o out.parquet --bed -", "expected at most one input from standard input (-), found 2"),
    ] {
        assert!(place.refused(line, 2).starts_with(message), "{line}");
    }
    for line in [
        "embed g.fa",
        "embed g.fa -o out.parquet --pool median",
        "embed g.fa -o out.parquet --bed a.bed --region chr1",
        "embed g.fa -o out.parquet --max-n 2",
        "embed g.fa -o out.parquet --shard 3/2",
        "embed g.fa -o out.parquet --dtype f64",
        "embed g.fa -o out.parquet --resume --force",
    ] {
        assert_eq!(place.run(line).status.code(), Some(2), "{line}");
    }
}

#[test]
fn reads_are_found_under_another_name_of_their_contig() {
    let place = Place::new();
    fs::copy(repository("data/NA12878_small.bam"), place.path("r.bam")).unwrap();
    place.write("r.bed", b"20\t9999899\t10002000\n");
    for (output, which) in [("region.parquet", "--region 20:9,999,900-10,002,000"), ("bed.parquet", "--bed r.bed")] {
        let model = repository("tests/fixtures/caduceus-ph");
        let said = place.run(&format!("embed r.bam -o {output} {which} --model {}", model.display())).stderr;
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("longstrand: 973 rows of 973 windows"), "{said}");
    }
}

#[test]
fn inspect_tells_the_built_in_model() {
    let place = Place::new();
    let table = place.run("inspect");
    assert!(table.status.success() && table.stdout.starts_with(b"name             longstrand-ph-d256-l4-grch37\n"));
    let json: serde_json::Value = serde_json::from_slice(&place.run("inspect --json").stdout).unwrap();
    assert_eq!((&json["n_layer"], &json["trained_context"]), (&4.into(), &1024.into()));
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_no_output_and_is_code_130() {
    use std::io::Read;

    let place = Place::new();
    place.write("long.fa", format!(">c\n{}\n", "ACGTTGCA".repeat(1 << 19)).as_bytes());
    let mut child = place
        .command("embed long.fa -o out.parquet --window contig --pool bins:512")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The warning about the window's length comes when the pass is about to begin.
    let mut stderr = child.stderr.take().unwrap();
    let mut first = [0; 1];
    stderr.read_exact(&mut first).unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.ends_with("longstrand: interrupted\n"), "{said}");
    let left: Vec<_> = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "g.fa" || name == "long.fa"), "{left:?}");
}
