//! What `longstrand score`, `mutagenesis` and `track` say before they compute and while they do.

#![cfg(target_os = "linux")]

use std::{fs, path::PathBuf, sync::Mutex, time::SystemTime};

use longstrand_kernels::simd::Level;
use longstrand_model::{Watch, checkpoint::Checkpoint};
use longstrand_seq::{GenomeOptions, variant::VariantReader};
use longstrand_table::Existing;
use longstrand_tests::{
    command::Longstrand,
    synthetic::Family,
    variants::{Contig, Scores, bcftools, has_bcftools, vcf},
    workdir::Workdir,
};
use longstrand_variants::{Mutagenesis, ScoreOptions};

const ERROR: i32 = 1;
const USAGE: i32 = 2;

/// Asserts that the command line itself is refused, with a message that says all of this.
fn is_refused(command: &Longstrand, says: &[&str]) {
    let finished = command.run();
    assert_eq!(finished.code, Some(USAGE), "{finished}");
    assert!(says.iter().all(|say| finished.stderr.contains(say)), "{finished}");
}

/// A workdir with a genome of two contigs and variants on both.
struct Bench {
    workdir: Workdir,
}

impl Bench {
    fn new(family: Family) -> Self {
        let contigs = [Contig::random("1", 6_000, 15), Contig::random("2", 4_000, 16)];
        let workdir = Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family);
        workdir.write("genome.fa", contigs[0].fasta() + &contigs[1].fasta());
        let records: Vec<String> = contigs.iter().flat_map(|contig| (1..8).map(|i| contig.snv(i * 500))).collect();
        workdir.write("in.vcf", vcf(&[&contigs[0], &contigs[1]], &records));
        Self { workdir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.workdir.path(name)
    }

    fn score(&self, input: &str) -> Longstrand {
        self.workdir.score(self.path(input), self.path("genome.fa")).args("--context 64")
    }

    fn of_genome(&self, command: &str) -> Longstrand {
        self.workdir.command(command, self.path("genome.fa")).args("--context 64")
    }

    /// The variants in bgzip, with an index.
    fn indexed(&self) -> PathBuf {
        self.score("in.vcf").arg("-o").arg(self.path("calls.vcf.gz")).succeeds();
        self.path("calls.vcf.gz.tbi")
    }
}

#[test]
fn a_dry_run_tells_the_plan_and_refuses_what_the_run_would() {
    let bench = Bench::new(Family::Mamba);
    let before = bench.workdir.names();
    let anchored = "--score likelihood,embedding --anchor block --tail 70 --pool-radius 5 --dry-run";
    let score = |name: &str| bench.score("in.vcf").args(anchored).arg("-o").arg(bench.path(name));
    let told = score("out.bcf").succeeds().stdout;
    for row in ["format    BCF\n", "anchor    block\n", "tail      70 bases\n", "pooled    5 bases", "out.bcf\n"] {
        assert!(told.contains(row), "{told}");
    }
    assert!(score("out.vcf").args("-O z").succeeds().stdout.contains("format    VCF in bgzip\n"));
    let mutagenesis =
        || bench.of_genome("mutagenesis").args("--region 1:11-40 --dry-run --tsv").arg(bench.path("out.tsv"));
    let told = mutagenesis().succeeds().stdout;
    for row in
        ["region    1:11-40\n", "30 of 30 bases", "columns   likelihood, likelihood_per_base\n", "anchor    window\n"]
    {
        assert!(told.contains(row), "{told}");
    }
    let track = || bench.of_genome("track").args("--region 1:11-40,2 --dry-run --entropy").arg(bench.path("out.bw"));
    let told = track().succeeds().stdout;
    for row in ["regions   1:11-40 2\n", "bases     4030\n", "entropy to "] {
        assert!(told.contains(row), "{told}");
    }
    assert_eq!(bench.workdir.names(), before);
    for name in ["out.bcf", "out.tsv", "out.bw"] {
        bench.workdir.write(name, "what was here before");
    }
    score("out.bcf").fails(ERROR, &["out.bcf exists; --force replaces it"]);
    mutagenesis().fails(ERROR, &["out.tsv exists; --force replaces it"]);
    track().fails(ERROR, &["out.bw exists; --force replaces it"]);
    for command in [score("out.bcf"), mutagenesis(), track()] {
        command.args("--force").succeeds();
    }
    assert_eq!(bench.workdir.text("out.tsv"), "what was here before");
}

#[test]
fn options_that_mean_nothing_are_refused() {
    let bench = Bench::new(Family::CaduceusPh);
    let mutagenesis = || bench.of_genome("mutagenesis").args("--region 1:11-40 --tsv -");
    for (options, says) in [("--tail 1024", "--tail 1024 is of"), ("--pool-radius 64", "--pool-radius 64 is of")] {
        bench.score("in.vcf").args("--tsv -").args(options).fails(USAGE, &[says, "not asked for"]);
        mutagenesis().args(options).fails(USAGE, &[says, "not asked for"]);
    }
    mutagenesis().args("--score embedding --pool-radius 64").succeeds();
    for name in ["out.csv", "out.csv.gz"] {
        is_refused(&bench.score("in.vcf").arg("--tsv").arg(bench.path(name)), &["separated by tabs"]);
    }
    is_refused(&bench.score("in.vcf").arg("--parquet").arg(bench.path("out.tsv")), &["ends in .parquet"]);
    let genome = bench.workdir.score(bench.path("in.vcf"), bench.path("in.vcf")).args("--tsv -");
    genome.fails(ERROR, &["in.vcf: expected a FASTA or 2bit file, found VCF"]);
}

#[test]
fn a_region_to_mutate_has_both_ends() {
    let bench = Bench::new(Family::CaduceusPh);
    for region in ["1", "1:11", "1:11-", "1:11-20,2:11-20"] {
        let command = bench.of_genome("mutagenesis").args("--tsv - --region").arg(region);
        is_refused(&command, &["--region", "as 20:1001-1200"]);
    }
}

#[test]
fn regions_are_told_with_flags_or_commas() {
    let bench = Bench::new(Family::CaduceusPh);
    bench.indexed();
    let places = |regions: &str| {
        let told = bench.score("calls.vcf.gz").args("--tsv -").args(regions).succeeds().stdout;
        let table = Scores::parse(&told);
        table.rows().iter().map(|row| format!("{}:{}", row[0], row[1])).collect::<Vec<_>>()
    };
    let expected = ["1:1000", "1:1500", "2:500"];
    for regions in ["-r 1:1,000-1,999,2:1-999", "-r 1:1000-1999 -r 2:1-999", "--region 2:1-999,1:1000-1999"] {
        assert_eq!(places(regions), expected, "{regions}");
    }
    assert_eq!(places("-r 2:3,000"), ["2:3000", "2:3500"], "to the contig's end");
    let track = |regions: &str| bench.of_genome("track").args("--surprisal -").args(regions).succeeds().stdout;
    assert_eq!(track("-r 1:11-40,2:3,990-4,000"), track("-r 1:11-40 -r 2:3990"));
}

#[test]
fn an_index_that_is_older_than_its_file_is_told() {
    let bench = Bench::new(Family::CaduceusPh);
    let index = bench.indexed();
    let score = || bench.score("calls.vcf.gz").args("--tsv - -r 2");
    assert_eq!(score().succeeds().stderr, "");
    fs::File::options()
        .append(true)
        .open(index)
        .and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH))
        .expect("a date");
    let told = score().succeeds().stderr;
    assert!(told.contains("warning: the index ") && told.contains("calls.vcf.gz.tbi is older than its file"), "{told}");
    assert_eq!(bench.score("calls.vcf.gz").args("--tsv -").succeeds().stderr, "", "no region, no index");
}

#[test]
fn u_is_bcf() {
    let bench = Bench::new(Family::CaduceusPh);
    let write = |letter: &str| {
        let path = bench.path(&format!("{letter}.out"));
        bench.score("in.vcf").args(&format!("-O{letter} -o")).arg(&path).succeeds();
        let mut reader = VariantReader::open(&path, &[]).expect("BCF");
        let mut lines = Vec::new();
        while let Some(record) = reader.read().expect("a record") {
            lines.push(record.line().to_vec());
        }
        lines
    };
    assert_eq!(write("u"), write("b"));
    assert_eq!(fs::read(bench.path("u.out")).expect("an output")[..2], [0x1f, 0x8b]);
    if has_bcftools() {
        assert_eq!(bcftools("view -H", &bench.path("u.out")).lines().count(), 14);
    }
}

#[test]
fn any_one_output_of_mutagenesis_will_do() {
    let bench = Bench::new(Family::CaduceusPh);
    let run = || bench.of_genome("mutagenesis").args("--region 1:11-40");
    run().fails(USAGE, &["expected an output: -o FILE for Parquet, --tsv FILE or --svg FILE"]);
    for (flag, name) in [("-o", "out.pq"), ("--tsv", "out.tsv"), ("--svg", "out.svg")] {
        run().arg(flag).arg(bench.path(name)).succeeds();
        assert!(!bench.path(&format!(".{name}.journal")).exists());
    }
    assert_eq!(Scores::parse(&bench.workdir.text("out.tsv")), Scores::read_parquet(&bench.path("out.pq")));
    assert!(bench.workdir.text("out.svg").contains("the reference's base</text>"));
    run().arg("--svg").arg(bench.path("out.svg")).fails(ERROR, &["out.svg exists"]);
}

#[test]
fn a_header_tells_what_defines_each_score() {
    let bench = Bench::new(Family::Mamba);
    let header = |options: &str| {
        let told = bench.score("in.vcf").args("-o -").args(options).succeeds().stdout;
        told.lines().filter(|line| line.starts_with("##INFO")).collect::<Vec<_>>().join("\n")
    };
    let block = header("--score likelihood,embedding --anchor block --tail 70 --pool-radius 5");
    assert!(block.contains(", context 64, anchor block, tail 70, strand both\""), "{block}");
    assert!(block.contains(", context 64, pool radius 5, strand both\""), "{block}");
    let contig = header("--anchor contig");
    assert!(contig.contains(", anchor contig, tail 1024, strand both\"") && !contig.contains("context"), "{contig}");
    assert!(header("").contains(", context 64, anchor window, strand both\""));
    let picture = bench.of_genome("mutagenesis").args("--region 1:11-40 --anchor contig --tail 9 --svg");
    picture.arg(bench.path("out.svg")).succeeds();
    let svg = bench.workdir.text("out.svg");
    assert!(svg.contains(", anchor contig, tail 9, strand both</text>"), "{svg}");
}

#[test]
fn a_slice_does_not_tell_its_contigs_length() {
    let bench = Bench::new(Family::CaduceusPh);
    let contig = Contig::random("3", 2_000, 17);
    let whole = contig.fasta();
    let sliced = whole.replacen(">3", ">3:1-2000", 1);
    let bare = vcf(&[], [contig.snv(500)]);
    bench.workdir.write("bare.vcf", bare);
    let header = |genome: &str| {
        let fasta = bench.workdir.write("3.fa", genome);
        let _ = fs::remove_file(bench.path("3.fa.fai"));
        let command = bench.workdir.score(bench.path("bare.vcf"), fasta).args("--context 64 --sliced-reference -o -");
        command.succeeds().stdout
    };
    assert!(header(&whole).contains("##contig=<ID=3,length=2000>\n"));
    assert!(header(&sliced).contains("##contig=<ID=3>\n"));
}

/// What a run has counted.
#[derive(Default)]
struct Counted(Mutex<Vec<(u64, Option<u64>)>>);

impl Watch for Counted {
    fn counted(&self, done: u64, all: Option<u64>) {
        self.0.lock().expect("no test panics here").push((done, all));
    }
}

#[test]
fn a_run_is_counted_from_its_beginning_and_within_a_group() {
    let bench = Bench::new(Family::CaduceusPh);
    let checkpoint = Checkpoint::load(bench.path("model")).expect("the model");
    let job = Mutagenesis {
        reference: bench.path("genome.fa"),
        genome: GenomeOptions::default(),
        region: "1:101-300".into(),
        options: ScoreOptions { context: 64.try_into().expect("not 0"), ..ScoreOptions::default() },
        parquet: None,
        tsv: Some(bench.path("out.tsv")),
        svg: None,
        existing: Existing::Refuse,
        threads: 2.try_into().expect("not 0"),
        available_memory: None,
    };
    let counted = Counted::default();
    let plan = job.plan(&checkpoint, Level::detect().expect("a processor that is known")).expect("a plan");
    plan.run(&counted).expect("a run");
    let counts = counted.0.into_inner().expect("no test panics here");
    assert_eq!((counts[0], counts.last()), ((0, Some(200)), Some(&(200, Some(200)))));
    assert!(counts.is_sorted());
    // One group, all of whose bases are sites: each pass of either strand is half a base.
    assert!(counts.iter().filter(|(done, _)| (1..200).contains(done)).count() > 190);
}
