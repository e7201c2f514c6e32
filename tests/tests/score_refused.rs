//! What `longstrand score` and its kin refuse to write, so that nothing is lost and nothing hangs.

#![cfg(target_os = "linux")]

use std::{fs, process::Command};

use longstrand_tests::{
    command::Longstrand,
    synthetic::Family,
    variants::{Contig, bcftools, has_bcftools, vcf},
    workdir::Workdir,
};

const ERROR: i32 = 1;
const USAGE: i32 = 2;

const BINARY: &str = env!("CARGO_BIN_EXE_longstrand-under-test");

/// A workdir with a genome of one contig, and a variant of it.
fn bench() -> (Workdir, Contig) {
    let contig = Contig::random("chr1", 2_000, 21);
    let workdir = Workdir::new(BINARY, Family::CaduceusPh);
    workdir.write("genome.fa", contig.fasta());
    workdir.write("in.vcf", vcf(&[&contig], [contig.snv(700)]));
    (workdir, contig)
}

/// Arguments that name files of the workdir, as `--tsv @out.tsv`.
fn arguments(workdir: &Workdir, line: &str) -> Vec<String> {
    let argument = |word: &str| match word.strip_prefix('@') {
        Some(name) => workdir.path(name).to_string_lossy().into_owned(),
        None => word.to_owned(),
    };
    line.split_whitespace().map(argument).collect()
}

fn score(workdir: &Workdir, line: &str) -> Longstrand {
    let score = workdir.score(workdir.path("in.vcf"), workdir.path("genome.fa")).args("--context 64");
    arguments(workdir, line).iter().fold(score, |score, argument| score.arg(argument))
}

#[test]
fn what_is_no_file_is_not_opened() {
    let (workdir, _) = bench();
    for name in ["fifo.vcf", "fifo.tsv", "fifo.parquet", ".held.vcf.journal"] {
        assert!(Command::new("mkfifo").arg(workdir.path(name)).status().expect("mkfifo").success());
    }
    fs::create_dir(workdir.path("folder.tsv")).expect("a folder");
    let says = ["exists and is not a file"];
    for existing in ["", "--force", "--resume"] {
        for output in ["-o @fifo.vcf", "--tsv @fifo.tsv", "--parquet @fifo.parquet", "--tsv @folder.tsv"] {
            score(&workdir, &format!("{output} {existing}")).fails(ERROR, &says);
        }
    }
    for existing in ["--force", "--resume"] {
        score(&workdir, &format!("-o @held.vcf {existing}")).fails(ERROR, &[".held.vcf.journal", says[0]]);
    }
    let stream = ["exists and is not a file; - is the standard output"];
    score(&workdir, "-o /dev/null -Ov").fails(ERROR, &stream);
    score(&workdir, "-o @out.vcf --tsv /dev/null").fails(ERROR, &stream);
}

#[test]
fn outputs_where_another_has_its_own_files() {
    let (workdir, _) = bench();
    for (outputs, says) in [
        ("-o @o.vcf --tsv @.o.vcf.journal", "is the journal of the output"),
        ("--parquet @o.parquet --tsv @.o.parquet.parts/part-00000.parquet", "lies among the parts of the output"),
        ("--parquet @d --tsv @d/part-00000.parquet", "lies among the parts of the output"),
    ] {
        for existing in ["", "--force"] {
            score(&workdir, &format!("{outputs} {existing}")).fails(USAGE, &[says]);
        }
    }
    assert_eq!(workdir.names(), ["genome.fa", "in.vcf", "model"]);
}

#[test]
fn a_standard_output_that_is_closed_or_that_an_output_cannot_go_to() {
    let (workdir, contig) = bench();
    for output in ["-o -", "--tsv -", "-o - --tsv @out.tsv"] {
        score(&workdir, output).run_without_stdout().failed(ERROR, &["standard output", "closed"]);
    }
    let mutagenesis = |line: &str| {
        let command =
            workdir.command("mutagenesis", workdir.path("genome.fa")).args("--region chr1:701-702 --context 64");
        arguments(&workdir, line).iter().fold(command, |command, argument| command.arg(argument))
    };
    mutagenesis("--tsv -").run_without_stdout().failed(ERROR, &["standard output", "closed"]);
    let track = workdir.command("track", workdir.path("genome.fa")).args("--context 64 --surprisal -");
    track.run_without_stdout().failed(ERROR, &["standard output", "closed"]);
    for line in ["--svg -", "-o @out.parquet --svg -"] {
        mutagenesis(line).fails(USAGE, &["standard output"]);
    }
    assert!(workdir.names().iter().all(|name| !name.contains("out") && name != "-"), "{:?}", workdir.names());
    // Files need no standard output.
    let finished = score(&workdir, "-o @out.vcf").run_without_stdout();
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(workdir.text("out.vcf").contains(&contig.snv(700).replace("\t.\t.\t.", "")));
}

#[test]
fn contigs_that_no_header_can_declare() {
    let (workdir, contig) = bench();
    let odd = Contig::random("a,b<c>", 300, 22);
    workdir.write("genome.fa", contig.fasta() + &odd.fasta());
    let bare = |records: &[String]| {
        let declared = format!("##contig=<ID={},length={}>\n", contig.name, contig.bases.len());
        vcf(&[&contig], records).replace(&declared, "")
    };
    workdir.write("in.vcf", bare(&[contig.snv(700)]));
    score(&workdir, "-o @out.vcf").succeeds();
    let written = workdir.text("out.vcf");
    assert!(written.contains("##contig=<ID=chr1,length=2000>\n") && !written.contains("a,b"), "{written}");
    if has_bcftools() {
        bcftools("view", &workdir.path("out.vcf"));
    }
    workdir.write("in.vcf", bare(&[contig.snv(700), odd.snv(7)]));
    for output in ["-o @odd.vcf", "-o @odd.bcf", "-o -"] {
        score(&workdir, output).fails(ERROR, &["in.vcf: expected a contig's name that VCF allows", "\"a,b<c>\""]);
    }
    assert!(!workdir.path("odd.vcf").exists());
    score(&workdir, "--tsv @odd.tsv").succeeds();
    assert_eq!(workdir.text("odd.tsv").lines().count(), 3);
}

#[test]
fn information_of_others_is_not_dropped() {
    let (workdir, contig) = bench();
    let declared = "##INFO=<ID=LS_REASON,Number=1,Type=String,Description=\"Why, oh why\">\n#CHROM";
    let records = [contig.snv(700).replace("\t.\t.\t.", "\t.\t.\tLS_REASON=x")];
    workdir.write("in.vcf", vcf(&[&contig], records).replace("#CHROM", declared));
    score(&workdir, "-o @out.vcf").fails(ERROR, &["INFO field LS_REASON", "--prefix"]);
    score(&workdir, "-o @out.vcf --prefix M").succeeds();
    assert!(workdir.text("out.vcf").contains("LS_REASON=x;M_"));
    score(&workdir, "--tsv @out.tsv").succeeds();
    // What we have written ourselves gives way, even where another program has rewritten the declarations.
    workdir.write("in.vcf", vcf(&[&contig], [contig.snv(700)]));
    score(&workdir, "-o @ours.vcf").succeeds();
    let ours = workdir.text("ours.vcf");
    for ours in [ours.clone(), ours.replace(",Source=\"longstrand\"", "")] {
        workdir.write("in.vcf", ours);
        score(&workdir, "-o @again.vcf --force").succeeds();
    }
    workdir.write("in.vcf", ours.replace(",Source=\"longstrand\"", "").replace("##longstrand_score=", "##gone="));
    score(&workdir, "-o @again.vcf --force").fails(ERROR, &["--prefix"]);
}

#[test]
fn journals_that_hold_nothing() {
    let (workdir, _) = bench();
    score(&workdir, "-o @out.vcf").run_with_file_limit(0).failed(ERROR, &["the journal"]);
    assert!(!workdir.names().contains(&".out.vcf.journal".to_owned()), "{:?}", workdir.names());
    workdir.write(".out.vcf.journal", "");
    score(&workdir, "-o @out.vcf").succeeds();
    workdir.write(".out.vcf.journal", "{\"longstrand.ver");
    score(&workdir, "-o @out.vcf").fails(ERROR, &["out.vcf exists"]);
    score(&workdir, "-o @out.vcf --resume").succeeds();
    workdir.write(".out.vcf.journal", "{}\n");
    score(&workdir, "-o @out.vcf").fails(ERROR, &["a run that was stopped has left"]);
}

#[test]
fn more_alleles_than_others_read() {
    let (workdir, contig) = bench();
    let many = contig.record(700, 1, &vec!["*"; 65_535].join(","));
    workdir.write("in.vcf", vcf(&[&contig], [contig.record(699, 1, "*"), many.clone(), many]));
    let written = score(&workdir, "-o @out.vcf").run();
    assert_eq!(written.code, Some(0), "{written}");
    assert_eq!(written.stderr.matches("more than 65535 alleles").count(), 1, "{written}");
    assert!(written.stderr.contains("chr1:700 has"), "{written}");
    score(&workdir, "-o @out.bcf").fails(ERROR, &["chr1:700: expected at most 65535 alleles", "found 65536"]);
    assert!(score(&workdir, "--tsv @out.tsv").succeeds().stderr.is_empty());
}

#[test]
fn ends_that_are_told_twice() {
    let (workdir, contig) = bench();
    let record = |info: &str| contig.record(700, 1, "<DEL>").replace("\t.\t.\t.", &format!("\t.\t.\t{info}"));
    let infos = ["END=720", "END=720;END=720", "SVLEN=-20;DB;SVLEN=-30"];
    workdir.write("in.vcf", vcf(&[&contig], infos.map(record)));
    score(&workdir, "--tsv @out.tsv --score embedding").succeeds();
    let text = workdir.text("out.tsv");
    let reasons: Vec<&str> = text.lines().skip(1).map(|line| line.rsplit('\t').next().expect("a column")).collect();
    assert_eq!(reasons, ["", "no_end", "no_end"]);
}
