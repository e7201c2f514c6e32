//! What `longstrand score` writes: the same scores whatever the order, the shards, the threads and the formats; outputs that
//! exist; runs that are stopped.

#![cfg(target_os = "linux")]

use std::{
    fs,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use longstrand_seq::variant::VariantReader;
use longstrand_tests::{
    command::{Longstrand, Running},
    synthetic::{Family, ids},
    variants::{Contig, Scores, bcftools, body, has_bcftools, record, vcf, without_command},
    workdir::Workdir,
};

const ERROR: i32 = 1;
const USAGE: i32 = 2;
/// What an interrupted run ends with.
const INTERRUPTED: i32 = 130;
/// What a run ends with whose reader has gone.
const CLOSED_PIPE: i32 = 141;

const BINARY: &str = env!("CARGO_BIN_EXE_longstrand-under-test");

/// A workdir with a genome of two contigs.
struct Bench {
    workdir: Workdir,
    contigs: [Contig; 2],
}

impl Bench {
    fn new(family: Family) -> Self {
        let contigs = [Contig::random("chr1", 30_000, 15), Contig::random("chr2", 15_000, 16)];
        let workdir = Workdir::new(BINARY, family);
        workdir.write("genome.fa", contigs[0].fasta() + &contigs[1].fasta());
        Self { workdir, contigs }
    }

    fn reference(&self) -> PathBuf {
        self.workdir.path("genome.fa")
    }

    /// Substitutions, insertions, deletions and alleles without a sequence, sorted.
    fn records(&self, n: usize) -> Vec<String> {
        let mut records = Vec::new();
        for contig in &self.contigs {
            let step = contig.bases.len() / (n / 2);
            records.extend((0..n / 2).map(|i| any(contig, 1 + i * step, i)));
        }
        records
    }

    fn write(&self, name: &str, records: &[String]) -> PathBuf {
        self.workdir.write(name, vcf(&[&self.contigs[0], &self.contigs[1]], records))
    }

    fn score(&self, variants: &str) -> Longstrand {
        self.workdir.score(self.workdir.path(variants), self.reference())
    }

    fn scores(&self, records: &[String], options: &str) -> Scores {
        self.workdir.scores(self.write("some.vcf", records), self.reference(), options)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.workdir.path(name)).expect("an output")
    }
}

/// A record, of a kind that the number chooses.
fn any(contig: &Contig, position: usize, number: usize) -> String {
    let base = contig.at(position..position + 1);
    match number % 7 {
        1 => contig.record(position, 1, &format!("{base}TTG")),
        2 => contig.record(position, 4, base),
        3 => contig.record(position, 3, "ACGTACGT"),
        4 => contig.record(position, 1, "<INS>"),
        _ => contig.snv(position),
    }
}

/// A permutation.
fn shuffled<T: Clone>(items: &[T]) -> Vec<T> {
    let draws = ids(16 * items.len(), 3);
    let mut keyed: Vec<(&[u8], &T)> = draws.chunks(16).zip(items).collect();
    keyed.sort_by_key(|(draw, _)| *draw);
    keyed.into_iter().map(|(_, item)| item.clone()).collect()
}

const QUESTIONS: [(Family, &str); 4] = [
    (Family::CaduceusPh, "--score masked,wildtype,embedding --context 64"),
    (Family::Mamba, "--score likelihood,embedding --context 64"),
    (Family::Mamba, "--anchor contig --tail 40"),
    (Family::Mamba2, "--anchor block --tail 40 --context 1024"),
];

#[test]
fn order_and_company_change_no_row() {
    for (family, options) in QUESTIONS {
        let bench = Bench::new(family);
        let records = bench.records(60);
        let sorted = bench.scores(&records, options);
        let mixed = shuffled(&records);
        assert_ne!(mixed, records);
        let unsorted = bench.scores(&mixed, options);
        assert_eq!(unsorted.sorted_rows(), sorted.sorted_rows(), "{family:?} {options}");
        // Rows come in the order of the records.
        let places: Vec<String> = mixed.iter().map(|line| line.split('\t').nth(1).expect("POS").to_owned()).collect();
        assert_eq!(unsorted.texts("pos"), places);
        // Alone, and twice.
        for i in [0, 29, 52] {
            let alone = bench.scores(&records[i..=i], options);
            assert_eq!(alone.rows(), &sorted.rows()[i..=i], "{family:?} {options}");
        }
        let doubled: Vec<String> = records.iter().flat_map(|line| [line.clone(), line.clone()]).collect();
        let doubled = bench.scores(&doubled, options);
        let expected: Vec<_> = sorted.rows().iter().flat_map(|row| [row.clone(), row.clone()]).collect();
        assert_eq!(doubled.rows(), expected, "{family:?} {options}");
    }
}

#[test]
fn many_unsorted_records_are_scored_as_sorted_ones() {
    let bench = Bench::new(Family::CaduceusPh);
    let records: Vec<String> = bench.contigs.iter().flat_map(|contig| (1..2_801).map(|i| contig.snv(5 * i))).collect();
    let options = "--score wildtype --context 128 --strand forward";
    let sorted = bench.scores(&records, options);
    assert_eq!(sorted.rows().len(), 5_600);
    assert_eq!(bench.scores(&shuffled(&records), options).sorted_rows(), sorted.sorted_rows());
}

#[test]
fn states_that_are_kept_change_no_score() {
    for family in [Family::Mamba, Family::Mamba2] {
        let workdir = Workdir::new(BINARY, family);
        let contig = Contig::random("chr1", 150_000, 17);
        let genome = workdir.write("genome.fa", contig.fasta());
        // More than a group, so that a shuffled pass begins with what the one before has left.
        let records: Vec<String> = (1..4_501).map(|i| contig.snv(33 * i)).collect();
        let scores = |records: &[String]| {
            let variants = workdir.write("in.vcf", vcf(&[&contig], records));
            workdir.scores(variants, &genome, "--anchor contig --tail 4 --strand forward")
        };
        let sorted = scores(&records);
        assert_eq!(scores(&shuffled(&records)).sorted_rows(), sorted.sorted_rows(), "{family:?}");
        for i in [0, 2_222, 4_499] {
            assert_eq!(scores(&records[i..=i]).rows(), &sorted.rows()[i..=i], "{family:?}");
        }
    }
}

#[test]
fn an_allele_scores_as_much_alone_as_beside_others() {
    for (family, options) in QUESTIONS {
        let bench = Bench::new(family);
        let [contig, _] = &bench.contigs;
        let base = contig.at(3_000..3_001);
        let others: Vec<&str> = ["A", "C", "G", "T"].into_iter().filter(|other| *other != base).collect();
        let alleles = [others[0], others[1], others[2], &format!("{base}GATTACA"), "*"];
        let together = bench.scores(&[contig.record(3_000, 1, &alleles.join(","))], options);
        let split: Vec<String> = alleles.iter().map(|allele| contig.record(3_000, 1, allele)).collect();
        assert_eq!(bench.scores(&split, options), together, "{family:?} {options}");
    }
}

#[test]
fn shards_one_after_another_are_the_whole() {
    for (family, options) in QUESTIONS {
        let bench = Bench::new(family);
        bench.write("in.vcf", &bench.records(60));
        let run = |name: &str, shard: &str| {
            let command = bench.score("in.vcf").args(options).args("--tsv -").args(shard);
            let finished = command.arg("-o").arg(bench.workdir.path(name)).succeeds();
            (Scores::parse(&finished.stdout), bench.workdir.text(name))
        };
        let (whole, whole_vcf) = run("whole.vcf", "");
        let shards: Vec<_> = (1..=3).map(|i| run(&format!("{i}.vcf"), &format!("--shard {i}/3"))).collect();
        assert!(shards.iter().all(|(shard, _)| shard.rows().len().abs_diff(20) <= 1));
        let joined = Scores::concat(&shards.iter().map(|(shard, _)| shard.clone()).collect::<Vec<_>>());
        assert_eq!(joined, whole, "{family:?} {options}");
        let bodies: Vec<&str> = shards.iter().flat_map(|(_, text)| body(text)).collect();
        assert_eq!(bodies, body(&whole_vcf));
    }
}

#[test]
fn threads_change_no_byte() {
    for (family, options) in QUESTIONS {
        let bench = Bench::new(family);
        bench.write("in.vcf", &bench.records(60));
        for threads in [1, 2, 3] {
            let path = |extension: &str| bench.workdir.path(&format!("{threads}.{extension}"));
            let command = bench.score("in.vcf").args(options).args(&format!("--threads {threads}"));
            command
                .arg("-o")
                .arg(path("vcf"))
                .arg("--tsv")
                .arg(path("tsv"))
                .arg("--parquet")
                .arg(path("parquet"))
                .succeeds();
        }
        for threads in ["2", "3"] {
            for extension in ["tsv", "parquet"] {
                let bytes = |threads: &str| bench.bytes(&format!("{threads}.{extension}"));
                assert!(bytes("1") == bytes(threads), "{family:?} {options} {extension}");
            }
            let text = |threads: &str| without_command(&bench.workdir.text(&format!("{threads}.vcf")));
            assert_eq!(text("1"), text(threads));
        }
    }
}

#[test]
fn every_record_comes_out_with_all_it_had() {
    let bench = Bench::new(Family::CaduceusPh);
    let header = "##fileformat=VCFv4.2\n##custom=<a \"free\" line>\n##INFO=<ID=DP,Number=1,Type=Integer,Description=\"Depth\">\n\
         ##INFO=<ID=DB,Number=0,Type=Flag,Description=\"In dbSNP\">\n##FILTER=<ID=q10,Description=\"Low\">\n\
         ##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">\n##contig=<ID=chr1>\n\
         #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone\ttwo\n";
    let base = bench.contigs[0].at(77..78);
    let insertion = bench.contigs[0].at(99..100);
    let lines = format!(
        "chr1\t77\trs1;rs2\t{base}\t<INS>,{base}AC\t12.50\tq10\tDP=007;DB\tGT\t0/1\t./.\n\
         chr1\t99\t.\t{insertion}\t.\t.\tPASS\t.\tGT\t0|0\t0\n"
    );
    let variants = bench.workdir.write("in.vcf", format!("{header}{lines}"));
    bench.workdir.score(variants, bench.reference()).arg("-o").arg(bench.workdir.path("out.vcf")).succeeds();
    let text = bench.workdir.text("out.vcf");
    for line in header.lines().filter(|line| !line.starts_with("##contig")) {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for (found, line) in body(&text).into_iter().zip(lines.lines()) {
        let (found, line): (Vec<&str>, Vec<&str>) = (found.split('\t').collect(), line.split('\t').collect());
        assert_eq!((&found[..7], &found[8..]), (&line[..7], &line[8..]));
        assert!(line[7] == "." || found[7].starts_with(line[7]), "{found:?}");
    }
    assert_eq!(body(&text).len(), 2);
    assert!(body(&text)[0].contains("LS_REASON=symbolic_allele,not_a_substitution"), "{text}");
    assert!(body(&text)[1].contains("LS_REASON=no_alternate"), "{text}");
}

#[test]
fn formats_say_the_same() {
    let bench = Bench::new(Family::CaduceusPh);
    bench.write("in.vcf", &bench.records(60));
    let written = |name: &str| {
        bench
            .score("in.vcf")
            .args("--tsv - --score masked,embedding --context 64")
            .arg("-o")
            .arg(bench.workdir.path(name))
            .succeeds()
    };
    let table = written("out.vcf").stdout;
    for name in ["out.vcf.gz", "out.bcf"] {
        assert_eq!(written(name).stdout, table);
    }
    assert!(bench.workdir.path("out.vcf.gz.tbi").exists() && bench.workdir.path("out.bcf.csi").exists());
    // Each of them is an input again: its records are scored alike, and have each field once.
    for name in ["out.vcf", "out.vcf.gz", "out.bcf"] {
        let command = bench.score(name).args("--tsv - --score masked,embedding --context 64 --force");
        let again = command.arg("-o").arg(bench.workdir.path("again.vcf")).succeeds();
        assert_eq!(again.stdout, table, "{name}");
        let text = bench.workdir.text("again.vcf");
        assert_eq!(text.matches("ID=LS_MASKED,").count(), 1, "{name}");
        assert!(body(&text).iter().all(|line| line.matches("LS_MASKED=").count() <= 1), "{name}");
    }
    // Standard input and output.
    let piped = bench.score("in.vcf").args("--score masked,embedding --context 64 -o -").succeeds();
    let named = bench.workdir.text("out.vcf");
    assert_eq!(body(&piped.stdout), body(&named));
    for name in ["in.vcf", "out.vcf.gz", "out.bcf"] {
        let command = bench.workdir.score("-", bench.reference()).stdin(bench.workdir.path(name));
        assert_eq!(command.args("--score masked,embedding --context 64 --tsv -").succeeds().stdout, table, "{name}");
    }
}

#[test]
fn bcftools_reads_what_is_written_without_a_warning() {
    if !has_bcftools() {
        return;
    }
    let bench = Bench::new(Family::CaduceusPh);
    let mut records = bench.records(60);
    let [contig, _] = &bench.contigs;
    for (i, alternates) in ["*", "<*>", ".", "G]chr2:900]", "<CNV>"].iter().enumerate() {
        records.insert(0, contig.record(10 - i, 1, alternates));
    }
    records.sort_by_key(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        (fields[0].to_owned(), fields[1].parse::<usize>().expect("POS"))
    });
    bench.write("in.vcf", &records);
    let text = bench.workdir.text("in.vcf");
    let bare: Vec<&str> = text.lines().filter(|line| !line.starts_with("##contig")).collect();
    bench.workdir.write("no_contigs.vcf", bare.join("\n") + "\n");
    for input in ["in.vcf", "no_contigs.vcf"] {
        let mut views = Vec::new();
        for name in ["out.vcf", "out.vcf.gz", "out.bcf"] {
            let output = bench.workdir.path(name);
            bench.score(input).args("--score masked,embedding --context 64 --force").arg("-o").arg(&output).succeeds();
            views.push(bcftools("view --no-version -H", &output));
            let queried =
                bcftools("query -f %POS\\t%INFO/LS_MASKED\\t%INFO/LS_REASON\\t%INFO/LS_N_AMBIGUOUS\\n", &output);
            assert_eq!(queried.lines().count(), records.len(), "{input} {name}");
            if name != "out.vcf" {
                let stats = bcftools("index --stats", &output);
                let n: usize =
                    stats.lines().map(|line| line.split('\t').nth(2).expect("n").parse::<usize>().expect("n")).sum();
                assert_eq!(n, records.len(), "{stats}");
                bcftools("index -f", &output);
                assert!(!bcftools("view --no-version -H -r chr2:1-5000", &output).is_empty());
            }
        }
        assert!(views.iter().all(|view| *view == views[0]), "{input}");
    }
}

#[test]
fn bcftools_norm_splits_the_fields_by_allele() {
    if !has_bcftools() {
        return;
    }
    let bench = Bench::new(Family::CaduceusPh);
    let [contig, _] = &bench.contigs;
    let base = contig.at(3_000..3_001);
    let others: Vec<&str> = ["A", "C", "G", "T"].into_iter().filter(|other| *other != base).collect();
    let records = [contig.record(3_000, 1, &[others[0], &format!("{base}CA"), others[1]].join(","))];
    bench.write("in.vcf", &records);
    bench
        .score("in.vcf")
        .args("--score masked,embedding --context 64")
        .arg("-o")
        .arg(bench.workdir.path("out.vcf"))
        .succeeds();
    let norm = process::Command::new("bcftools").args(["norm", "-m-"]).arg(bench.workdir.path("out.vcf")).output();
    let norm = norm.expect("bcftools starts");
    let told = String::from_utf8_lossy(&norm.stderr);
    assert!(norm.status.success() && told.lines().all(|line| line.starts_with("Lines ")), "{told}");
    let split = bench.workdir.write("split.vcf", &norm.stdout);
    let found = bcftools("query -f %ALT\\t%INFO/LS_MASKED\\t%INFO/LS_EMBEDDING_L2\\t%INFO/LS_REASON\\n", &split);
    let table = bench.scores(&records, "--score masked,embedding --context 64");
    let lines: Vec<Vec<&str>> = found.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), 3, "{found}");
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(line[0], table.texts("alt")[i]);
        for (cell, column) in [(line[1], "masked"), (line[2], "embedding_l2")] {
            match table.numbers(column)[i] {
                None => assert_eq!(cell, "."),
                Some(value) => {
                    let cell: f64 = cell.parse().expect("a number");
                    assert!((cell - value).abs() <= 1e-5 * value.abs(), "{column}: {cell} {value}");
                }
            }
        }
        let reason = if i == 1 { "masked:not_a_substitution" } else { "." };
        assert_eq!(line[3], reason);
    }
}

#[test]
fn records_of_regions_under_either_name() {
    let bench = Bench::new(Family::CaduceusPh);
    bench.write("in.vcf", &bench.records(200));
    bench.score("in.vcf").args("--context 64 -o").arg(bench.workdir.path("calls.vcf.gz")).succeeds();
    bench.score("in.vcf").args("--context 64 -o").arg(bench.workdir.path("calls.bcf")).succeeds();
    let all = bench.scores(&bench.records(200), "--context 64");
    let overlaps = |row: &&Vec<String>| {
        let (start, length): (usize, usize) = (row[1].parse().expect("pos"), row[2].len());
        row[0] == "chr2" && start <= 9_000 && start + length > 5_000
    };
    let expected: Vec<_> = all.rows().iter().filter(overlaps).cloned().collect();
    assert!(expected.len() > 10);
    for name in ["calls.vcf.gz", "calls.bcf"] {
        for region in ["chr2:5,000-9,000", "2:5000-9000"] {
            let found = bench.workdir.scores(
                bench.workdir.path(name),
                bench.reference(),
                &format!("--context 64 --regions {region}"),
            );
            assert_eq!(found.rows(), expected, "{name} {region}");
        }
    }
    // The variants may name contigs in another way than the reference does.
    let renamed: Vec<String> = bench.records(200).iter().map(|line| line.replace("chr", "")).collect();
    let renamed = vcf(&[], renamed);
    let renamed = bench.workdir.write("renamed.vcf", renamed);
    let found = bench.workdir.scores(&renamed, bench.reference(), "--context 64");
    assert_eq!(found.numbers("masked"), all.numbers("masked"));
    bench.score("in.vcf").args("--regions chr2:1-5 --tsv -").fails(ERROR, &["in.vcf", "index"]);
}

#[test]
fn outputs_that_may_not_be_written() {
    let bench = Bench::new(Family::CaduceusPh);
    bench.write("in.vcf", &bench.records(10));
    let path = |name: &str| bench.workdir.path(name);
    let before = bench.workdir.names();
    let input = bench.workdir.text("in.vcf");
    for (flag, file) in [("-o", "in.vcf"), ("--tsv", "in.vcf"), ("-o", "./in.vcf"), ("--tsv", "genome.fa")] {
        bench.score("in.vcf").args("--force").arg(flag).arg(path(file)).fails(USAGE, &["is one of the inputs"]);
    }
    bench.score("in.vcf").fails(USAGE, &["expected an output"]);
    let twice = bench.score("in.vcf").arg("-o").arg(path("out.vcf")).arg("--tsv").arg(path("./out.vcf"));
    twice.fails(USAGE, &["two outputs are", "out.vcf"]);
    bench.score("in.vcf").args("-o - --tsv -").fails(USAGE, &["only one output"]);
    bench.score("in.vcf").arg("-o").arg(path("out.txt")).fails(USAGE, &["-o: expected a name that ends in", ".bcf"]);
    assert_eq!((bench.workdir.names(), bench.workdir.text("in.vcf")), (before, input));

    let (config, kept) = (path("model/config.json"), bench.bytes("model/config.json"));
    let model = bench.score("in.vcf").args("--force --tsv").arg(&config);
    model.fails(USAGE, &["config.json is a file of the model"]);
    assert!(bench.bytes("model/config.json") == kept);
    let part = bench.score("in.vcf").args("--force --parquet").arg(path("e")).arg("--tsv");
    part.arg(path("e/part-00000.parquet")).fails(USAGE, &["lies among the parts of the output", "e"]);
    assert!(!path("e").exists());
    bench.score("in.vcf").args("--force --tsv").arg(path("model")).fails(ERROR, &["model exists and is not a file"]);

    for (flag, name) in [("-o", "out.vcf"), ("--tsv", "out.tsv"), ("--parquet", "out.parquet")] {
        let kept = bench.workdir.write(name, "what was here before");
        bench.score("in.vcf").arg(flag).arg(&kept).fails(ERROR, &["exists", "--force"]);
        assert_eq!(bench.workdir.text(name), "what was here before");
        bench.score("in.vcf").arg(flag).arg(&kept).args("--force").succeeds();
        assert_ne!(bench.bytes(name), b"what was here before");
    }
    bench.score("in.vcf").arg("-o").arg(path("nowhere/out.vcf")).fails(ERROR, &["nowhere"]);
}

#[test]
fn a_reader_that_leaves() {
    let bench = Bench::new(Family::CaduceusPh);
    let records: Vec<String> = (1..3_000).map(|i| bench.contigs[0].snv(10 * i)).collect();
    bench.write("in.vcf", &records);
    for output in ["-o", "--tsv"] {
        let mut command = process::Command::new(BINARY);
        command.arg("score").arg(bench.workdir.path("in.vcf")).arg("--reference").arg(bench.reference());
        command.arg("--model").arg(bench.workdir.path("model"));
        command.args("--score wildtype --context 64 --strand forward -q".split(' ')).args([output, "-"]);
        let child = command.stdout(process::Stdio::piped()).stderr(process::Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("a child of this process");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), &*told), (Some(CLOSED_PIPE), ""), "{output}");
    }
}

#[test]
fn a_run_that_has_ended_is_not_repeated() {
    let bench = Bench::new(Family::CaduceusPh);
    bench.write("in.vcf", &bench.records(10));
    let score = |outputs: &[(&str, &str)], options: &str| {
        let command = bench.score("in.vcf").args("--context 64").args(options);
        outputs.iter().fold(command, |command, (flag, name)| command.arg(flag).arg(bench.workdir.path(name)))
    };
    let (vcf, parquet, tsv) = (("-o", "out.vcf"), ("--parquet", "out.parquet"), ("--tsv", "out.tsv"));
    for outputs in [&[vcf][..], &[parquet], &[vcf, parquet], &[vcf, tsv], &[parquet, tsv]] {
        score(outputs, "--resume").succeeds();
        let contents = || outputs.iter().map(|(_, name)| bench.bytes(name)).collect::<Vec<_>>();
        let before = contents();
        score(outputs, "--resume").succeeds();
        assert!(contents() == before, "{outputs:?}");
        assert_eq!(score(outputs, "--resume --strand forward").run().code, Some(ERROR), "{outputs:?}");
        outputs.iter().for_each(|(_, name)| fs::remove_file(bench.workdir.path(name)).expect("an output"));
    }
    // An output that is not there is written with all others; a text alone or a stream tells nothing.
    score(&[vcf], "").succeeds();
    score(&[vcf, tsv], "--resume").succeeds();
    assert_eq!(Scores::parse(&bench.workdir.text("out.tsv")).rows().len(), 10);
    fs::remove_file(bench.workdir.path("out.tsv")).expect("an output");
    score(&[vcf], "--resume --tsv -").fails(ERROR, &["out.vcf exists"]);
    score(&[tsv], "").succeeds();
    score(&[tsv], "--resume").fails(ERROR, &["out.tsv exists"]);
    // Nothing is written by a dry run.
    let before = bench.workdir.names();
    let told = score(&[("-o", "dry.vcf")], "--dry-run").succeeds().stdout;
    assert!(told.contains("dry.vcf") && told.contains("masked"), "{told}");
    assert_eq!(bench.workdir.names(), before);
}

/// A run long enough to be stopped, in several groups of records.
struct Long {
    bench: Bench,
    options: &'static str,
}

impl Long {
    fn new() -> Self {
        let bench = Bench::new(Family::CaduceusPh);
        let records: Vec<String> = (1..9_500).map(|i| bench.contigs[0].snv(3 * i)).collect();
        bench.write("in.vcf", &records);
        Self { bench, options: "--score masked --context 32 --threads 1" }
    }

    fn run(&self, folder: &str, options: &str) -> Longstrand {
        let path = |name: &str| self.bench.workdir.path(&format!("{folder}.{name}"));
        let command = self.bench.score("in.vcf").args(self.options).args(options);
        command.arg("-o").arg(path("vcf")).arg("--tsv").arg(path("tsv")).arg("--parquet").arg(path("parquet"))
    }

    fn journal(&self, folder: &str) -> PathBuf {
        self.bench.workdir.path(&format!(".{folder}.vcf.journal"))
    }

    /// What lies under temporary names for an output or its index.
    fn temporaries(&self) -> Vec<String> {
        self.bench.workdir.names().into_iter().filter(|name| name.ends_with(".tmp")).collect()
    }

    /// Waits until the journal has answers of a group more than it had.
    fn wait_for_answers(&self, running: &mut Running, folder: &str, more_than: u64) {
        wait_for_answers(running, &self.journal(folder), more_than);
    }
}

/// Waits until a journal has answers of a group more than so many bytes.
fn wait_for_answers(running: &mut Running, journal: &Path, more_than: u64) {
    loop {
        running.wait_for(journal);
        let bytes = fs::metadata(journal).map_or(0, |file| file.len());
        if bytes > more_than + 50_000 {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_stopped_run_is_resumed_to_the_same_bytes() {
    let long = Long::new();
    long.run("whole", "").succeeds();
    let mut kept = 0;
    for (i, signal) in ["KILL", "INT"].into_iter().enumerate() {
        let mut running = long.run("out", if i == 0 { "" } else { "--resume" }).start();
        long.wait_for_answers(&mut running, "out", kept);
        running.signal(signal);
        let finished = running.finish();
        kept = fs::metadata(long.journal("out")).expect("a journal").len();
        assert_eq!(finished.code, (signal == "INT").then_some(INTERRUPTED), "{finished}");
        assert_eq!(finished.stderr.contains("--resume goes on behind it"), signal == "INT", "{finished}");
        for name in ["out.vcf", "out.tsv", "out.parquet"] {
            assert!(!long.bench.workdir.path(name).exists(), "{name} after {signal}");
        }
    }
    // Nor is a file replaced that has appeared in the meantime.
    for (name, says) in [("out.vcf", "out.vcf exists"), ("out.tsv", "out.tsv exists"), ("out.parquet", "out.parquet")] {
        let stranger = long.bench.workdir.write(name, vcf(&[], ["chr1\t5\t.\tA\tC\t.\t.\t."]));
        long.run("out", "--resume").fails(ERROR, &[says]);
        assert!(long.bench.workdir.text(name).ends_with("chr1\t5\t.\tA\tC\t.\t.\t.\n"), "{name}");
        fs::remove_file(stranger).expect("a file");
    }
    // Who does not say --resume does not throw away what there is, and another question does not go on with it.
    long.run("out", "").fails(ERROR, &["--resume", "--force"]);
    for options in ["--resume --context 128", "--resume --strand forward", "--resume --ref-mismatch skip"] {
        let command = long.run("out", "").args(options);
        let command = match options.contains("--context") {
            true => long
                .bench
                .score("in.vcf")
                .args("--score masked")
                .args(options)
                .arg("-o")
                .arg(long.bench.workdir.path("out.vcf")),
            false => command,
        };
        command.fails(ERROR, &["a different run"]);
    }
    // Nor do other variants.
    let variants = long.bench.bytes("in.vcf");
    let line = format!("{}\n", long.bench.contigs[1].snv(9));
    long.bench.workdir.write("in.vcf", [&variants[..], line.as_bytes()].concat());
    long.run("out", "--resume").fails(ERROR, &["a different run"]);
    long.bench.workdir.write("in.vcf", variants);
    long.run("out", "--resume").succeeds();
    for name in ["tsv", "parquet"] {
        let bytes = |folder: &str| long.bench.bytes(&format!("{folder}.{name}"));
        assert!(bytes("out") == bytes("whole"), "{name}");
    }
    let text = |folder: &str| without_command(&long.bench.workdir.text(&format!("{folder}.vcf")));
    assert!(text("out") == text("whole"));
    assert!(!long.journal("out").exists());
    let hidden = |name: &String| name.starts_with(".out.tsv") || name.starts_with(".out.parquet");
    assert!(!long.bench.workdir.names().iter().any(hidden), "{:?}", long.bench.workdir.names());
    // What is whole is left as it is; a run of other options does not go on with it.
    let before = long.bench.bytes("out.vcf");
    long.run("out", "--resume").succeeds();
    assert!(long.bench.bytes("out.vcf") == before);
    long.run("out", "--resume --strand reverse").fails(ERROR, &["exists"]);
}

#[test]
fn what_a_killed_run_leaves_goes_with_the_next_and_a_live_run_keeps_its_own() {
    let long = Long::new();
    let path = |name: &str| long.bench.workdir.path(name);
    let run = |options: &str| {
        let command = long.bench.score("in.vcf").args(long.options).args(options).arg("-o").arg(path("x.vcf.gz"));
        command.arg("--tsv").arg(path("x.tsv"))
    };
    for options in ["--resume", "--force"] {
        let mut running = run("--force").start();
        wait_for_answers(&mut running, &path(".x.vcf.gz.journal"), 0);
        let written = long.temporaries();
        assert_eq!(written.len(), 2, "{written:?}");
        // Who may not write must not remove either.
        for refused in ["", "--resume", "--force"] {
            run(refused).fails(ERROR, &["another process is writing"]);
            assert_eq!(long.temporaries(), written);
        }
        running.signal("KILL");
        assert_eq!(running.finish().code, None);
        assert_eq!(long.temporaries(), written);
        let index = [".x.vcf.gz.tbi.1-00000000-Ab12cD.tmp", ".x.vcf.gz.csi.1-00000000-Ab12cD.tmp"];
        let others = [".x.vcf.1-00000000-Ab12cD.tmp", ".y.vcf.gz.1-00000000-Ab12cD.tmp"];
        index.iter().chain(&others).for_each(|name| _ = long.bench.workdir.write(name, ""));
        run(options).succeeds();
        assert_eq!(long.temporaries(), others, "{options}");
        assert!(path("x.vcf.gz.tbi").exists());
        others.iter().for_each(|name| fs::remove_file(path(name)).expect("a file"));
    }
}

#[test]
fn a_run_that_was_to_replace_outputs_does_so_when_it_is_resumed() {
    let long = Long::new();
    long.bench.workdir.write("out.tsv", "of another run");
    let mut running = long.run("out", "--force").start();
    long.wait_for_answers(&mut running, "out", 0);
    running.signal("KILL");
    running.finish();
    assert_eq!(long.bench.workdir.text("out.tsv"), "of another run");
    long.run("out", "--resume").succeeds();
    assert_eq!(Scores::parse(&long.bench.workdir.text("out.tsv")).rows().len(), 9_499);
}

#[test]
fn contigs_are_declared_as_the_records_name_theirs() {
    let workdir = Workdir::new(BINARY, Family::CaduceusPh);
    for (contigs, record, expected) in [
        (["20", "MT"], "chr20", ["chr20", "chrM"]),
        (["chr20", "chrM"], "20", ["20", "MT"]),
        (["chrM", "chr20"], "MT", ["MT", "20"]),
    ] {
        let contigs = contigs.map(|name| Contig::random(name, 500, 3));
        let genome = workdir.write("genome.fa", contigs[0].fasta() + &contigs[1].fasta());
        let known = contigs.iter().find(|contig| record.ends_with(&contig.name[contig.name.len() - 1..]));
        let known = known.unwrap_or(&contigs[0]);
        let line = known.snv(77);
        let line = format!("{record}{}", &line[line.find('\t').expect("columns")..]);
        let variants = workdir.write("in.vcf", vcf(&[], [line]));
        let streamed = workdir.score("-", genome).stdin(variants).args("--context 64 --force -o");
        streamed.arg(workdir.path("out.bcf")).succeeds();
        let header = VariantReader::open(&workdir.path("out.bcf"), &[]).expect("an output").header().clone();
        let names: Vec<&str> = header.contigs().iter().map(|contig| contig.name.as_str()).collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn an_allele_beside_none_keeps_its_score() {
    let bench = Bench::new(Family::CaduceusPh);
    let [contig, _] = &bench.contigs;
    let other = contig.snv(700).split('\t').nth(4).expect("ALT").to_owned();
    let records = [format!(".,{other}"), format!(",{other}")].map(|alternates| contig.record(700, 1, &alternates));
    bench.write("in.vcf", &records);
    let table = bench.score("in.vcf").args("--context 64 --tsv - -o").arg(bench.workdir.path("out.vcf")).succeeds();
    let table = Scores::parse(&table.stdout);
    let score = table.numbers("masked")[1].expect("a score") as f32;
    assert_eq!(table.texts("reason"), ["no_alternate", "", "no_alternate", ""]);
    for line in body(&bench.workdir.text("out.vcf")) {
        let found = line.split("LS_MASKED=.,").nth(1).and_then(|rest| rest.split(';').next());
        let found: f32 = found.and_then(|found| found.parse().ok()).unwrap_or_else(|| panic!("no score in {line}"));
        assert!((found - score).abs() <= 1e-6 * score.abs(), "{line}");
    }
}

#[test]
fn a_model_of_any_name_leaves_a_header_that_can_be_read() {
    let bench = Bench::new(Family::CaduceusPh);
    bench.write("in.vcf", &bench.records(10));
    let model = bench.workdir.path("of \"two\"\nlines, \\");
    fs::create_dir(&model).expect("a folder");
    for entry in fs::read_dir(bench.workdir.path("model")).expect("the model") {
        let file = entry.expect("a file").path();
        fs::copy(&file, model.join(file.file_name().expect("a name"))).expect("a copy");
    }
    for name in ["out.vcf", "out.bcf"] {
        let output = bench.workdir.path(name);
        let score = |options: &str| {
            let command =
                Longstrand::at(BINARY).arg("score").arg(bench.workdir.path("in.vcf")).args("--context 64 -q -f");
            command.arg(bench.reference()).model(&model).args(options).arg("-o").arg(&output)
        };
        score("").succeeds();
        let mut reader = VariantReader::open(&output, &[]).expect("an output");
        let mut records = 0;
        while reader.read().expect("a record").is_some() {
            records += 1;
        }
        assert_eq!(records, 10, "{name}");
        let before = bench.bytes(name);
        score("--resume").succeeds();
        assert!(bench.bytes(name) == before, "{name}");
        if has_bcftools() {
            assert_eq!(bcftools("view --no-version -H", &output).lines().count(), 10, "{name}");
        }
    }
}

#[test]
fn contigs_that_come_late_are_declared() {
    let bench = Bench::new(Family::CaduceusPh);
    let [first, second] = &bench.contigs;
    // More than the first group of records on what is declared.
    let mut records: Vec<String> = (1..4_300).map(|i| first.snv(6 * i)).collect();
    records.extend([second.snv(77), record("chrUn", 5, "A", "C"), second.snv(99)]);
    bench.workdir.write("in.vcf", vcf(&[first], &records));
    let options = "--score wildtype --strand forward --context 64 --ref-mismatch skip";
    for name in ["out.bcf", "out.vcf.gz", "out.vcf"] {
        bench.score("in.vcf").args(options).arg("-o").arg(bench.workdir.path(name)).succeeds();
        let header = VariantReader::open(&bench.workdir.path(name), &[]).expect("an output").header().clone();
        let contigs: Vec<_> = header.contigs().iter().map(|contig| (contig.name.as_str(), contig.length)).collect();
        assert_eq!(contigs, [("chr1", Some(30_000)), ("chr2", Some(15_000)), ("chrUn", None)], "{name}");
    }
    // Of a stream only the first group is known beforehand.
    let streamed = bench.workdir.score("-", bench.reference()).stdin(bench.workdir.path("in.vcf")).args(options);
    streamed.arg("-o").arg(bench.workdir.path("stream.bcf")).fails(ERROR, &["stream.bcf", "chr2:77", "declares"]);
}

#[test]
fn what_bcf_cannot_hold_is_told_before_anything_is_computed() {
    let bench = Bench::new(Family::CaduceusPh);
    let [contig, _] = &bench.contigs;
    let mut records: Vec<String> = (1..4_000).map(|i| contig.snv(6 * i)).collect();
    records.push(contig.snv(25_000).replace("\t.\t.\t.", "\t.\tq10\t."));
    bench.write("in.vcf", &records);
    // Near the start of a file it would say that this is no text.
    let zero = format!("##filler={}\n##zero=\0\n##INFO", "x".repeat(5_000));
    bench.workdir.write("zero.vcf", bench.workdir.text("in.vcf").replacen("##INFO", &zero, 1));
    let before = bench.workdir.names();
    for (name, says) in [("in.vcf", ["out.bcf", "chr1:25000", "q10"]), ("zero.vcf", ["out.bcf", "header", "zero"])] {
        // With so long a context it would take hours.
        let command = bench.score(name).args("--score masked --context 8192 -o").arg(bench.workdir.path("out.bcf"));
        let started = std::time::Instant::now();
        command.fails(ERROR, &says);
        assert!(started.elapsed().as_secs() < 30, "{name}");
        assert_eq!(bench.workdir.names(), before, "{name}");
    }
}

#[test]
fn compressed_text_is_bgzip() {
    let bench = Bench::new(Family::CaduceusPh);
    bench.write("in.vcf", &bench.records(60));
    let tsv = bench.workdir.path("out.tsv.gz");
    bench.score("in.vcf").args("--context 64 --tsv").arg(&tsv).succeeds();
    let bytes = bench.bytes("out.tsv.gz");
    assert_eq!((&bytes[..4], &bytes[12..16]), (&[0x1f, 0x8b, 8, 4][..], &b"BC\x02\0"[..]));
    if process::Command::new("tabix").arg("--version").output().is_err() {
        return;
    }
    let run = |arguments: &[&str]| {
        let output = process::Command::new("tabix").args(arguments).output().expect("tabix starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let path = tsv.to_str().expect("a path in UTF-8");
    run(&["-S", "1", "-s", "1", "-b", "2", "-e", "2", path]);
    let expected = bench.scores(&bench.records(60), "--context 64");
    let expected = expected.rows().iter().filter(|row| row[0] == "chr2").count();
    assert_eq!(run(&[path, "chr2"]).lines().count(), expected);
}
