//! `longstrand join`: the outputs of shards become what the whole run writes, or the message says why not.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use flate2::read::MultiGzDecoder;
use longstrand_seq::variant::VariantReader;
use longstrand_tests::{
    BRCA1, BRCA1_VARIANTS, READS, YEAST,
    command::Longstrand,
    data,
    synthetic::{Family, Shape},
    variants::{Contig, vcf},
    workdir::Workdir,
};

const ERROR: i32 = 1;
const USAGE: i32 = 2;

const BINARY: &str = env!("CARGO_BIN_EXE_longstrand-under-test");

/// `join PARTS -o OUTPUT` of names in the folder, quiet.
fn join(workdir: &Workdir, parts: &[&str], output: &str) -> Longstrand {
    let parts =
        parts.iter().fold(Longstrand::at(BINARY).arg("join").arg("-q"), |line, part| line.arg(workdir.path(part)));
    parts.arg("-o").arg(workdir.path(output))
}

/// The files of an output, a file or a folder, with what they hold.
fn content(output: &Path) -> Vec<(String, Vec<u8>)> {
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    if output.is_file() {
        return vec![(String::new(), fs::read(output).expect("a file"))];
    }
    let entries = fs::read_dir(output).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = entries.map(|path| (name(&path), fs::read(&path).expect("a file"))).collect();
    files.sort();
    files
}

/// The header of a VCF or BCF without the command, and the records.
fn lines_of(path: &Path) -> Vec<String> {
    let mut reader = VariantReader::open(path, &[]).expect("variants");
    let is_kept = |line: &&[u8]| !line.starts_with(b"##longstrand_score_command=");
    let mut lines: Vec<Vec<u8>> = reader.header().meta_lines().filter(is_kept).map(<[u8]>::to_vec).collect();
    while let Some(record) = reader.read().expect("a record") {
        lines.push(record.line().to_vec());
    }
    lines.into_iter().map(|line| String::from_utf8(line).expect("text")).collect()
}

#[test]
fn embeddings_are_the_bytes_of_the_whole_run() {
    let workdir = Workdir::new(BINARY, Family::Mamba);
    for (number, (input, options, ending)) in [
        (YEAST, "--region I --window 1024 --row-group 50", ".parquet"),
        (YEAST, "--region I --window 1024 --dtype f16 --layer 1,last", ".parquet"),
        (YEAST, "--region I:1-60,000 --window 1024 --row-group 10", "/"),
        (READS, "--exclude-flags DUP", ".pq"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = |name: &str| format!("{number}_{name}{ending}");
        let whole = name("whole");
        workdir.embed(data(input), &whole).args(options).succeeds();
        for i in 1..=4 {
            workdir.embed(data(input), &name(&i.to_string())).args(options).args(&format!("--shard {i}/4")).succeeds();
        }
        let parts = ["3", "1", "4", "2"].map(name);
        let parts = parts.each_ref().map(String::as_str);
        join(&workdir, &parts, &name("joined")).succeeds();
        let (expected, found) = (content(&workdir.path(&whole)), content(&workdir.path(&name("joined"))));
        assert!(found == expected, "{input} {options}");
        join(&workdir, &parts, &name("joined")).args("--resume").succeeds();
        assert!(content(&workdir.path(&name("joined"))) == expected);
    }
}

#[test]
fn scores_are_those_of_the_whole_run() {
    let workdir = Workdir::new(BINARY, Family::CaduceusPh);
    workdir.write("few.vcf", few());
    for ending in ["vcf", "vcf.gz", "bcf"] {
        let name = |name: &str| format!("{name}.{ending}");
        let table = |name: &str| format!("{name}_{ending}.parquet");
        let score = |output: &str, shard: &str| {
            let command = workdir.score(workdir.path("few.vcf"), data(BRCA1)).args("--sliced-reference --context 64");
            let command = command.args("--score wildtype").args(shard).arg("-o").arg(workdir.path(&name(output)));
            command.arg("--parquet").arg(workdir.path(&table(output))).succeeds();
        };
        score("whole", "");
        ["1", "2", "3", "4"].iter().for_each(|i| score(i, &format!("--shard {i}/4")));
        let (parts, tables) = (["2", "4", "3", "1"].map(name), ["4", "2", "1", "3"].map(table));
        let joined = join(&workdir, &parts.each_ref().map(String::as_str), &name("joined")).succeeds();
        assert!(joined.stderr.is_empty(), "{joined}");
        join(&workdir, &tables.each_ref().map(String::as_str), &table("joined")).succeeds();
        assert_eq!(lines_of(&workdir.path(&name("joined"))), lines_of(&workdir.path(&name("whole"))));
        let [whole, found] = ["whole", "joined"].map(|name| content(&workdir.path(&table(name))));
        assert!(found == whole, "{ending}");
        let indexes = workdir.names().into_iter().filter(|name| name.starts_with(&format!("joined.{ending}.")));
        assert_eq!(indexes.count(), usize::from(ending != "vcf"));
    }
    let text = workdir.text("joined.vcf");
    assert!(text.contains("CommandLine=\"longstrand join -q "), "{text}");
}

/// Every 40th of BRCA1's variants.
fn few() -> String {
    let mut text = String::new();
    let file = File::open(data(BRCA1_VARIANTS)).expect("a file");
    MultiGzDecoder::new(file).read_to_string(&mut text).expect("gzip of text");
    let (header, records): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
    header.into_iter().chain(records.into_iter().step_by(40)).map(|line| format!("{line}\n")).collect()
}

/// A workdir with a genome, variants and a second model.
fn bench() -> Workdir {
    let workdir = Workdir::new(BINARY, Family::CaduceusPh);
    Shape { family: Family::CaduceusPh, d_model: 32, n_layer: 2 }.write(12, &workdir.path("other/model"));
    let contig = Contig::random("chr1", 6_000, 15);
    workdir.write("genome.fa", contig.fasta());
    workdir.write("changed.fa", Contig::random("chr1", 6_000, 16).fasta());
    let records: Vec<String> = (1..=30).map(|i| contig.snv(i * 100)).collect();
    workdir.write("in.vcf", vcf(&[&contig], &records));
    workdir
}

fn embed(workdir: &Workdir, output: &str, options: &str) {
    workdir.embed(workdir.path("genome.fa"), output).args(options).succeeds();
}

fn score(workdir: &Workdir, output: &str, options: &str) {
    let command = workdir.score(workdir.path("in.vcf"), workdir.path("genome.fa"));
    command.args("--score wildtype --context 64").args(options).arg("-o").arg(workdir.path(output)).succeeds();
}

#[test]
fn tables_that_are_not_all_shards_of_one_run() {
    let workdir = bench();
    for (output, options) in [
        ("1.parquet", "--shard 1/3"),
        ("2.parquet", "--shard 2/3"),
        ("3.parquet", "--shard 3/3"),
        ("2_of_4.parquet", "--shard 2/4"),
        ("pooled.parquet", "--shard 2/3 --pool max"),
        ("grouped.parquet", "--shard 2/3 --row-group 2"),
        ("folder", "--shard 2/3"),
        ("whole.parquet", ""),
    ] {
        embed(&workdir, output, options);
    }
    workdir.embed(workdir.path("changed.fa"), "changed.parquet").args("--shard 2/3").succeeds();
    let other = Longstrand::at(BINARY).embed(workdir.path("genome.fa"), workdir.path("model.parquet"));
    other.model(workdir.path("other/model")).args("--shard 2/3").succeeds();
    score(&workdir, "2.vcf", "--shard 2/3");
    let substitutions = workdir.command("mutagenesis", workdir.path("genome.fa")).args("--region chr1:100-102");
    substitutions.args("--context 64 -o").arg(workdir.path("mutagenesis.parquet")).succeeds();
    let whole = fs::read(workdir.path("2.parquet")).expect("a part");
    workdir.write("cut.parquet", &whole[..whole.len() - 9]);
    workdir.write("short.parquet", &whole[..3]);
    let before = workdir.names();
    let fails = |parts: &[&str], says: &[&str]| _ = join(&workdir, parts, "out.parquet").fails(ERROR, says);
    fails(&["1.parquet", "3.parquet"], &["expected all 3 shards, found no shard 2/3", "1.parquet", "3.parquet"]);
    fails(&["2.parquet", "3.parquet"], &["found no shard 1/3"]);
    fails(
        &["1.parquet", "2.parquet", "folder", "3.parquet"],
        &["expected one part of shard 2/3, found two", "2.parquet and", "folder"],
    );
    for (part, says) in [
        ("2_of_4.parquet", &["2_of_4.parquet: expected one of 3 shards as", "1.parquet is, found 2/4"][..]),
        ("pooled.parquet", &["pooled.parquet: expected longstrand.pool mean as", "found max"]),
        ("grouped.parquet", &["expected longstrand.rows_per_group 2048 as", "found 2"]),
        ("changed.parquet", &["expected longstrand.inputs[0].name \"genome.fa\" as", "found \"changed.fa\""]),
        ("model.parquet", &["expected longstrand.model.digest ", "has it, found "]),
        ("2.vcf", &["2.vcf: expected Parquet as", "found a file that is not Parquet"]),
        ("whole.parquet", &["expected one of 3 shards", "found 1/1"]),
        ("mutagenesis.parquet", &["mutagenesis.parquet: expected the output of a shard, found none told"]),
        ("folder/part-00000.parquet", &["expected a whole table, found a part of one"]),
        ("cut.parquet", &["cannot read", "cut.parquet"]),
        ("short.parquet", &["short.parquet: expected Parquet as"]),
        ("nothing.parquet", &["cannot open", "nothing.parquet"]),
    ] {
        fails(&["1.parquet", part, "3.parquet"], says);
    }
    assert_eq!(workdir.names(), before);
    join(&workdir, &["3.parquet", "folder", "1.parquet"], "out.parquet").succeeds();
    fails(&["1.parquet", "2.parquet", "3.parquet"], &["out.parquet exists; --force replaces it"]);
    assert_eq!(content(&workdir.path("out.parquet")), content(&workdir.path("whole.parquet")));
    join(&workdir, &["1.parquet", "2.parquet", "3.parquet"], "out.parquet").args("--force").succeeds();
}

#[test]
fn an_output_that_touches_a_part() {
    let workdir = bench();
    for (i, output) in ["1.parquet", "2", "in/part-00000.parquet"].iter().enumerate() {
        fs::create_dir_all(workdir.path("in")).expect("a folder");
        embed(&workdir, output, &format!("--shard {}/3", i + 1));
    }
    let parts = ["1.parquet", "2", "in/part-00000.parquet"];
    let before = parts.map(|part| content(&workdir.path(part)));
    for output in ["1.parquet", "./1.parquet", "2", "2/part-00000.parquet", "in/"] {
        join(&workdir, &parts, output)
            .args("--force")
            .fails(ERROR, &["expected an output apart from the parts, found "]);
    }
    assert!(parts.map(|part| content(&workdir.path(part))) == before);
    join(&workdir, &parts, "out.vcf").fails(USAGE, &["-o: expected a name that ends in .parquet"]);
}

#[test]
fn variants_that_are_not_all_shards_of_one_run() {
    let workdir = bench();
    for (output, options) in [
        ("1.vcf", "--shard 1/3"),
        ("2.vcf", "--shard 2/3"),
        ("2.vcf.gz", "--shard 2/3"),
        ("2.bcf", "--shard 2/3"),
        ("3.vcf", "--shard 3/3"),
        ("strand.vcf", "--shard 2/3 --strand forward"),
        ("2_of_4.vcf", "--shard 2/4"),
    ] {
        score(&workdir, output, options);
    }
    let text = workdir.text("2.vcf");
    let version = format!("=<ID=LS,version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version));
    workdir.write("version.vcf", text.replace(&version, "=<ID=LS,version=\"0.0.9\""));
    workdir.write("header.vcf", text.replace("##contig=<ID=chr1,length=6000>", "##contig=<ID=chr1,length=6001>"));
    let lines: Vec<&str> = text.lines().collect();
    workdir.write("cut.vcf", lines[..lines.len() - 3].join("\n"));
    let packed = fs::read(workdir.path("2.vcf.gz")).expect("a part");
    workdir.write("cut.vcf.gz", &packed[..packed.len() - 30]);
    let packed = fs::read(workdir.path("2.bcf")).expect("a part");
    workdir.write("cut.bcf", &packed[..packed.len() - 30]);
    let before = workdir.names();
    let fails = |parts: &[&str], says: &[&str]| _ = join(&workdir, parts, "out.vcf.gz").fails(ERROR, says);
    fails(&["1.vcf", "3.vcf"], &["expected all 3 shards, found no shard 2/3 among "]);
    fails(&["1.vcf", "2.vcf", "3.vcf", "2.vcf"], &["expected one part of shard 2/3, found two"]);
    for (part, says) in [
        ("strand.vcf", &["expected longstrand.options.strand \"both\" as", "1.vcf has it, found \"forward\""][..]),
        ("2_of_4.vcf", &["expected one of 3 shards as", "found 2/4"]),
        ("version.vcf", &["expected longstrand.version", "found 0.0.9"]),
        ("header.vcf", &["header.vcf: expected ##contig=<ID=chr1,length=6000> in the header as", "length=6001>"]),
        ("in.vcf", &["in.vcf: expected a header line ##longstrand_score, found none"]),
        ("cut.vcf", &["cut.vcf: expected 9 records in shard 2/3 of 27, found 7", "cut off"]),
        ("cut.vcf.gz", &["cut.vcf.gz", "truncated"]),
        ("cut.bcf", &["cut.bcf", "truncated"]),
        ("genome.fa", &["genome.fa: expected VCF or BCF"]),
    ] {
        fails(&["1.vcf", part, "3.vcf"], says);
    }
    assert_eq!(workdir.names(), before);
    let parts = ["3.vcf", "2.vcf.gz", "1.vcf"];
    join(&workdir, &parts, "out.vcf.gz").succeeds();
    fails(&parts, &["out.vcf.gz", "exists"]);
    join(&workdir, &parts, "out.vcf.gz").args("--force").succeeds();
    join(&workdir, &parts, "1.vcf").args("--force").fails(ERROR, &["expected an output apart from the parts"]);
    join(&workdir, &parts, "out.parquet").fails(USAGE, &["-o: expected a name that ends in .vcf"]);
    join(&workdir, &parts, "new.vcf").args("--resume").fails(USAGE, &["--resume goes on with Parquet alone"]);
}
