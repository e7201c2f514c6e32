//! `longstrand mutagenesis`: every substitution of a region, as `score` would score it, and its picture.

#![cfg(target_os = "linux")]

use std::{fs, thread, time::Duration};

use longstrand_tests::{
    CHR20,
    command::Longstrand,
    data,
    synthetic::Family,
    variants::{Contig, Scores, vcf},
    workdir::Workdir,
};

const ERROR: i32 = 1;
const USAGE: i32 = 2;
const INTERRUPTED: i32 = 130;

/// A workdir with a genome of one contig that has some N.
struct Bench {
    workdir: Workdir,
    contig: Contig,
}

impl Bench {
    fn new(family: Family) -> Self {
        let mut contig = Contig::random("chr7", 25_000, 31);
        contig.bases[109..112].fill(b'N');
        let bench = Self { workdir: Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family), contig };
        bench.workdir.write("genome.fa", bench.contig.fasta());
        bench
    }

    fn mutagenesis(&self, region: &str, output: &str) -> Longstrand {
        let command = self.workdir.command("mutagenesis", self.workdir.path("genome.fa"));
        command.arg("--region").arg(region).arg("-o").arg(self.workdir.path(output))
    }

    fn table(&self, region: &str, options: &str) -> Scores {
        self.mutagenesis(region, "table.parquet").args(options).args("--force").succeeds();
        Scores::read_parquet(&self.workdir.path("table.parquet"))
    }
}

#[test]
fn scores_are_those_of_the_same_variants() {
    for (family, options) in [
        (Family::CaduceusPh, "--score masked,wildtype,embedding --context 256"),
        (Family::CaduceusPs, "--score wildtype --context 512 --strand reverse"),
        (Family::Mamba, "--score likelihood --context 256"),
        (Family::Mamba2, "--anchor block --context 4096 --tail 50"),
    ] {
        let bench = Bench::new(family);
        let table = bench.table("chr7:101-130", options);
        let bases = &bench.contig.bases;
        let mut records = Vec::new();
        for position in (101..131).filter(|position| bases[position - 1] != b'N') {
            for base in ["A", "C", "G", "T"].iter().filter(|base| base.as_bytes()[0] != bases[position - 1]) {
                records.push(bench.contig.record(position, 1, base));
            }
        }
        assert_eq!(records.len(), 27 * 3);
        let variants = bench.workdir.write("in.vcf", vcf(&[&bench.contig], &records));
        assert_eq!(table, bench.workdir.scores(variants, bench.workdir.path("genome.fa"), options), "{family:?}");
    }
}

#[test]
fn the_ends_of_a_contig() {
    let bench = Bench::new(Family::CaduceusPh);
    for (region, rows) in [("chr7:1-3", 9), ("chr7:24,999-25,000", 6), ("7:500-500", 3), ("chr7:110-112", 0)] {
        let table = bench.table(region, "--context 128");
        assert_eq!(table.rows().len(), rows, "{region}");
        assert!(table.values("masked").iter().all(|score| score.is_finite()));
    }
    for (region, says) in [("chr7:24999-25001", "25001"), ("chr8:1-5", "unknown contig"), ("chr7:0-5", "1-based")] {
        bench.mutagenesis(region, "out.parquet").fails(ERROR, &["genome.fa", says]);
    }
    assert!(!bench.workdir.path("out.parquet").exists());
}

#[test]
fn a_slice_of_chromosome_20() {
    let bench = Bench::new(Family::CaduceusPh);
    let output = bench.workdir.path("out.parquet");
    let command = bench.workdir.command("mutagenesis", data(CHR20)).args("--sliced-reference --context 128");
    command.args("--region chr20:9,999,901-10,000,000").arg("-o").arg(&output).succeeds();
    let table = Scores::read_parquet(&output);
    assert_eq!(table.rows().len(), 300);
    assert_eq!((table.texts("pos")[0], table.texts("pos")[299]), ("9999901", "10000000"));
}

/// The names of a document's elements, which must be properly nested, with quoted attributes and escaped text.
fn elements(xml: &str) -> Vec<String> {
    let (mut names, mut open) = (Vec::new(), Vec::new());
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(
            text.split('&').skip(1).all(|entity| entity.starts_with("lt;") || entity.starts_with("gt;")),
            "{text:?}"
        );
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag:?}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
            None => {
                let name = tag.split([' ', '/']).next().expect("a name").to_owned();
                if !tag.ends_with('/') {
                    open.push(name.clone());
                }
                names.push(name);
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest:?}");
    names
}

#[test]
fn the_picture_is_well_formed_and_has_every_substitution() {
    let bench = Bench::new(Family::CaduceusPh);
    let svg = bench.workdir.path("map.svg");
    bench.mutagenesis("chr7:101-330", "out.parquet").args("--context 64 --svg").arg(&svg).succeeds();
    let text = bench.workdir.text("map.svg");
    let names = elements(&text);
    assert_eq!(names[0], "svg");
    assert_eq!(names.iter().filter(|name| *name == "title").count(), 227 * 3);
    assert!(text.contains("chr7:101-330") && text.contains("masked"));
    let table = Scores::read_parquet(&bench.workdir.path("out.parquet"));
    for i in [0, 340, 680] {
        let cell = |column: &str| table.texts(column)[i].to_owned();
        let title = format!("chr7:{} {}&gt;{} {:.3}", cell("pos"), cell("ref"), cell("alt"), table.values("masked")[i]);
        assert!(text.contains(&title), "no {title}");
    }
    // The letters along the picture are the region's, N where it has N: 4 of each line name the rows.
    let letters: String = text
        .lines()
        .filter_map(|line| line.strip_suffix("</text>")?.rsplit('>').next())
        .filter(|text| text.len() == 1)
        .collect();
    let lines: Vec<&str> = [101..201, 201..301, 301..331].map(|range| bench.contig.at(range)).to_vec();
    let expected: String = lines.iter().map(|line| format!("ACGT{line}")).collect();
    assert_eq!(letters, expected);
}

#[test]
fn a_picture_that_would_be_too_long() {
    let bench = Bench::new(Family::CaduceusPh);
    let before = bench.workdir.names();
    let draw = |region: &str| bench.mutagenesis(region, "out.parquet").args("--svg").arg(bench.workdir.path("map.svg"));
    draw("chr7:1-20001").fails(USAGE, &["--svg", "at most 20000 bases, found 20001"]);
    bench.mutagenesis("chr7:1-5", "out.parquet").args("--score likelihood").fails(USAGE, &["causal"]);
    assert_eq!(bench.workdir.names(), before);
    bench.workdir.write("map.svg", "what was here before");
    draw("chr7:1-5").fails(ERROR, &["map.svg", "exists", "--force"]);
    assert_eq!(bench.workdir.text("map.svg"), "what was here before");
    draw("chr7:1-5").args("--force").succeeds();
    let genome = bench.workdir.text("genome.fa");
    let over = bench.mutagenesis("chr7:1-5", "out.parquet").args("--force --svg").arg(bench.workdir.path("genome.fa"));
    over.fails(USAGE, &["genome.fa is one of the inputs"]);
    assert_eq!(bench.workdir.text("genome.fa"), genome);
    assert!(bench.workdir.text("map.svg").starts_with("<svg"));
}

#[test]
fn a_stopped_run_is_resumed_to_the_same_bytes() {
    let bench = Bench::new(Family::CaduceusPh);
    let run = |name: &str, options: &str| {
        let command = bench.mutagenesis("chr7:1-6,000", &format!("{name}.parquet")).args("--context 64");
        command.args(options).arg("--svg").arg(bench.workdir.path(&format!("{name}.svg")))
    };
    run("whole", "--threads 2").succeeds();
    let journal = bench.workdir.path(".out.parquet.journal");
    let mut running = run("out", "--threads 1").start();
    running.wait_for(&journal);
    while fs::metadata(&journal).map_or(0, |file| file.len()) < 50_000 {
        running.wait_for(&journal);
        thread::sleep(Duration::from_millis(5));
    }
    running.signal("INT");
    let finished = running.finish();
    assert_eq!(finished.code, Some(INTERRUPTED), "{finished}");
    assert!(!bench.workdir.path("out.parquet").exists() && journal.exists());
    run("out", "").fails(ERROR, &["--resume", "--force"]);
    run("out", "--resume --strand forward").fails(ERROR, &["a different run"]);
    run("out", "--resume --threads 2").succeeds();
    assert!(!journal.exists());
    for extension in ["parquet", "svg"] {
        let bytes = |name: &str| fs::read(bench.workdir.path(&format!("{name}.{extension}"))).expect("an output");
        assert!(bytes("out") == bytes("whole"), "{extension}");
    }
    // What is whole is left as it is.
    run("out", "--resume").succeeds();
    run("out", "").fails(ERROR, &["exists"]);
}

#[test]
fn every_output_that_is_asked_for_is_written() {
    let bench = Bench::new(Family::CaduceusPh);
    let path = |name: &str| bench.workdir.path(name);
    let run = |options: &str| bench.mutagenesis("chr7:101-130", "out.parquet").args("--context 64").args(options);
    let all = |options: &str| run(options).arg("--tsv").arg(path("out.tsv")).arg("--svg").arg(path("out.svg"));
    all("").succeeds();
    let table = Scores::read_parquet(&path("out.parquet"));
    assert_eq!(Scores::parse(&bench.workdir.text("out.tsv")), table);
    let streamed = run("--force --tsv -").succeeds().stdout;
    assert_eq!(Scores::parse(&streamed), table);
    // Of what is whole nothing is written again; of what is not, all.
    let whole = ["out.parquet", "out.tsv", "out.svg"].map(|name| fs::read(path(name)).expect("an output"));
    all("--resume").succeeds();
    for missing in ["out.svg", "out.tsv", "out.parquet"] {
        fs::remove_file(path(missing)).expect("an output");
        if missing == "out.parquet" {
            // Texts alone do not tell whose they are.
            all("--resume").fails(ERROR, &["out.tsv exists", "--force"]);
            all("--force").succeeds();
        } else {
            all("--resume").succeeds();
        }
        let found = ["out.parquet", "out.tsv", "out.svg"].map(|name| fs::read(path(name)).expect("an output"));
        assert!(found == whole, "without {missing}");
    }
    all("--resume --strand forward").fails(ERROR, &["out.parquet", "a different run", "options.strand"]);
}

#[test]
fn parts_without_a_journal_are_not_gone_on_with() {
    let bench = Bench::new(Family::CaduceusPh);
    let path = |name: &str| bench.workdir.path(name);
    let run = |output: &str| bench.mutagenesis("chr7:101-130", output).args("--context 64 --resume");
    run("parts/").succeeds();
    let part = path("parts").join("part-00000.parquet");
    assert_eq!(Scores::read_parquet(&part).rows().len(), 81);
    // A folder without its last part, and the parts of a file that was never put together.
    fs::create_dir(path(".out.parquet.parts")).expect("a folder");
    fs::rename(&part, path(".out.parquet.parts").join("part-00000.parquet")).expect("a part");
    for (output, file) in [("out.parquet", path("out.parquet")), ("parts/", part)] {
        run(output).succeeds();
        assert_eq!(Scores::read_parquet(&file).rows().len(), 81, "{output}");
    }
    assert_eq!(fs::read_dir(path("parts")).expect("a folder").count(), 1);
    assert!(!path(".out.parquet.parts").exists());
}

#[test]
fn outputs_that_belong_to_other_files() {
    let bench = Bench::new(Family::CaduceusPh);
    for (name, says) in [("genome.fa.fai", "is the index of the input"), ("out.parquet", "two outputs are")] {
        let command = bench.mutagenesis("chr7:1-5", "out.parquet").arg("--svg").arg(bench.workdir.path(name));
        command.fails(USAGE, &[name, says]);
    }
    assert!(!bench.workdir.path("out.parquet").exists());
}

#[test]
fn outputs_that_cannot_be_written_are_told_before_anything_is_computed() {
    let bench = Bench::new(Family::CaduceusPh);
    fs::create_dir(bench.workdir.path("folder")).expect("a folder");
    let before = bench.workdir.names();
    for (flag, name, says) in [
        ("--tsv", "nowhere/out.tsv", "nowhere: there is no such folder"),
        ("--svg", "nowhere/out.svg", "nowhere: there is no such folder"),
        ("--svg", "folder", "folder exists and is not a file"),
        ("--tsv", "folder", "folder exists and is not a file"),
    ] {
        for options in ["", "--force"] {
            // With so long a context it would take hours.
            let command = bench.mutagenesis("chr7:1-2,000", "out.parquet").args("--context 8192").args(options);
            let started = std::time::Instant::now();
            command.arg(flag).arg(bench.workdir.path(name)).fails(ERROR, &[says]);
            assert!(started.elapsed().as_secs() < 30, "{name}");
            assert_eq!(bench.workdir.names(), before, "{name}");
        }
    }
    let command = bench.mutagenesis("chr7:1-5", "out.parquet").args("--force --tsv");
    command.arg(bench.workdir.path("model/config.json")).fails(USAGE, &["is a file of the model"]);
}

#[test]
fn a_context_beyond_what_the_model_was_trained_at_is_told() {
    let workdir = Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), Family::CaduceusPh);
    let contig = Contig::random("chr7", 20_000, 31);
    let genome = workdir.write("genome.fa", contig.fasta());
    let builtin = |name: &str, options: &str| {
        let command = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test")).arg(name).arg(&genome);
        command.args("-q --context 8192").args(options).succeeds().stderr
    };
    let out = workdir.path("out.parquet").display().to_string();
    let told = "windows of 8192 bases; the model was trained at";
    assert!(builtin("mutagenesis", &format!("--region chr7:5-6 --strand forward -o {out}")).contains(told));
    assert!(builtin("track", "--region chr7:5-6 --strand forward --entropy -").contains(told));
}
