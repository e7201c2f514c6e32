//! Scores of several models in one file of variants.

#![cfg(target_os = "linux")]

use std::fs;

use longstrand_tests::{
    command::Longstrand,
    synthetic::Family,
    variants::{Contig, bcftools, body, has_bcftools, vcf},
    workdir::Workdir,
};

const ERROR: i32 = 1;
const USAGE: i32 = 2;

/// A workdir with a genome and variants.
struct Bench {
    workdir: Workdir,
}

impl Bench {
    fn new() -> Self {
        let contig = Contig::random("chr1", 5_000, 15);
        let workdir = Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), Family::CaduceusPh);
        workdir.write("genome.fa", contig.fasta());
        let records = [contig.snv(70), contig.record(90, 3, "A"), contig.record(95, 1, "*"), contig.snv(2_000)];
        workdir.write("in.vcf", vcf(&[&contig], &records));
        Self { workdir }
    }

    fn score(&self, input: &str, output: &str, options: &str) -> Longstrand {
        let command = self.workdir.score(self.workdir.path(input), self.workdir.path("genome.fa"));
        command.args("--context 64").args(options).arg("-o").arg(self.workdir.path(output))
    }

    /// The lines of a header that begin so.
    fn lines(&self, name: &str, start: &str) -> Vec<String> {
        self.workdir.text(name).lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    }
}

/// The value of an INFO key in a line.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let info = line.split('\t').nth(7).expect("INFO");
    info.split(';').find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
}

#[test]
fn two_prefixes_stand_beside_each_other() {
    let bench = Bench::new();
    bench.score("in.vcf", "one.vcf", "--score masked").succeeds();
    bench.score("one.vcf", "both.vcf", "--score masked --strand forward --prefix m.2_").succeeds();
    let (one, both) = (bench.workdir.text("one.vcf"), bench.workdir.text("both.vcf"));
    for (before, after) in body(&one).into_iter().zip(body(&both)) {
        for key in ["LS_MASKED", "LS_REASON", "LS_N_AMBIGUOUS"] {
            assert_eq!(value(before, key), value(after, key), "{after}");
        }
        assert_eq!(value(after, "LS_REASON"), value(after, "m.2_REASON"));
        assert_eq!(value(after, "LS_MASKED").is_some(), value(after, "m.2_MASKED").is_some());
    }
    assert_eq!(bench.lines("both.vcf", "##longstrand_score=").len(), 2);
    assert_eq!(bench.lines("both.vcf", "##longstrand_score_command=").len(), 2);
    assert_eq!(bench.lines("both.vcf", "##INFO=<ID=m.2_MASKED,").len(), 1);
    assert!(bench.lines("both.vcf", "##longstrand_score=<ID=LS,") == bench.lines("one.vcf", "##longstrand_score="));
    if has_bcftools() {
        for name in ["both.vcf.gz", "both.bcf"] {
            bench.score("one.vcf", name, "--score masked --strand forward --prefix PS").succeeds();
            let path = bench.workdir.path(name);
            let header = bcftools("view --no-version -h", &path);
            assert_eq!(header.matches("##longstrand_score=<ID=").count(), 2, "{header}");
            let told = bcftools("query -f %INFO/LS_MASKED\\t%INFO/PS_MASKED\\n", &path);
            assert_eq!(told.lines().count(), 4);
        }
    }
}

#[test]
fn a_prefix_that_is_used_again_is_replaced() {
    let bench = Bench::new();
    bench.score("in.vcf", "other.vcf", "--score embedding --prefix P").succeeds();
    bench.score("other.vcf", "first.vcf", "--score masked,embedding").succeeds();
    bench.score("first.vcf", "again.vcf", "--score wildtype").succeeds();
    bench.score("other.vcf", "direct.vcf", "--score wildtype").succeeds();
    let (again, direct) = (bench.workdir.text("again.vcf"), bench.workdir.text("direct.vcf"));
    assert_eq!(body(&again), body(&direct));
    assert_eq!(bench.lines("again.vcf", "##INFO="), bench.lines("direct.vcf", "##INFO="));
    assert!(!again.contains("LS_MASKED") && !again.contains("LS_EMBEDDING"), "{again}");
    for start in ["##longstrand_score=<ID=LS,", "##longstrand_score=<ID=P,", "##longstrand_score_command=<ID=LS,"] {
        assert_eq!(bench.lines("again.vcf", start).len(), 1, "{start}");
    }
    // A record that had nothing but this prefix's fields and has none now.
    bench.score("again.vcf", "bare.bcf", "--score wildtype --prefix P").succeeds();
}

#[test]
fn a_finished_output_is_known_by_its_own_run() {
    let bench = Bench::new();
    for name in ["out.vcf", "out.vcf.gz", "out.bcf"] {
        bench.score("in.vcf", name, "--prefix A").succeeds();
        let path = bench.workdir.path(name);
        let before = fs::read(&path).expect("an output");
        bench.score("in.vcf", name, "--prefix A --resume").succeeds();
        for other in ["--prefix B", "--prefix A --strand forward", ""] {
            bench.score("in.vcf", name, other).args("--resume").fails(ERROR, &[name, "exists"]);
        }
        assert!(fs::read(&path).expect("an output") == before);
    }
    // A file that a later run has added to is no longer what the first one wrote.
    bench.score("out.vcf", "both.vcf", "--prefix B").succeeds();
    fs::rename(bench.workdir.path("both.vcf"), bench.workdir.path("out.vcf")).expect("a file");
    bench.score("in.vcf", "out.vcf", "--prefix A --resume").fails(ERROR, &["out.vcf exists"]);
}

#[test]
fn a_prefix_is_the_beginning_of_a_key() {
    let bench = Bench::new();
    for prefix in ["2B", "a-b", "a;b", "ä"] {
        let finished = bench.score("in.vcf", "out.vcf", "").arg("--prefix").arg(prefix).run();
        assert!(finished.code == Some(USAGE) && finished.stderr.contains("letters, digits, _ and ."), "{finished}");
    }
}
