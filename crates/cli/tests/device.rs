//! `--device` and `--precision` as a shell sees them, where there is no GPU.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

const FASTA: &str = ">chr1\nACGTTGCAAGCTTGACCGATATCGGATTACAGGCATGAGCCACCGCGCC\n";
const VCF: &str = "##fileformat=VCFv4.3\n##contig=<ID=chr1,length=49>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n\
                   chr1\t5\t.\tT\tC\t.\t.\t.\n";

const ERROR: i32 = 1;
const USAGE: i32 = 2;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("g.fa"), FASTA).unwrap();
    fs::write(folder.path().join("v.vcf"), VCF).unwrap();
    folder
}

/// Runs the program in the folder; it sees no GPU.
fn run(folder: &TempDir, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longstrand"));
    command.current_dir(folder.path()).args(line.split_whitespace()).env("CUDA_VISIBLE_DEVICES", "");
    command.env_remove("LONGSTRAND_SIMD").output().unwrap()
}

/// The one line that a run says that fails.
fn refused(folder: &TempDir, line: &str, code: i32) -> String {
    let output = run(folder, line);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{line}: {message}");
    let message = message.strip_prefix("longstrand: error: ").unwrap().strip_suffix('\n').unwrap();
    assert!(!message.contains('\n') && output.stdout.is_empty(), "{line}: {message}");
    message.into()
}

/// Every command that computes on a GPU.
const COMMANDS: [&str; 9] = [
    "embed g.fa -o out.parquet",
    "score v.vcf --reference g.fa --tsv out.tsv",
    "mutagenesis g.fa --region chr1:5-9 --tsv out.tsv",
    "track g.fa --entropy out.bedgraph",
    "evaluate g.fa --length 40 --json out.json",
    "generate --length 5 -o out.fa",
    "finetune --train t.tsv -o out",
    "finetune --train t.tsv --head-only -o out",
    "finetune --train t.tsv -o out --dry-run",
];

#[test]
fn a_gpu_that_is_not_there_is_one_line_and_code_1() {
    let folder = folder();
    for command in COMMANDS {
        for (device, shown) in [("cuda", "cuda:0"), ("cuda:3", "cuda:3"), ("cuda:0,1", "cuda:0,1"), ("all", "all")] {
            let message = refused(&folder, &format!("{command} --device {device}"), ERROR);
            let reason = message.strip_prefix(&format!("--device {shown}: ")).unwrap_or_else(|| panic!("{message}"));
            let reasons =
                ["no NVIDIA driver was found", "there is no CUDA device", "this program was built without CUDA"];
            assert!(reasons.iter().any(|expected| reason.starts_with(expected)), "{command}: {message}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing was written");
}

#[test]
fn where_there_is_no_gpu_auto_is_the_cpu_and_says_nothing_of_it() {
    let folder = folder();
    let written = |device: &str| {
        let output = run(&folder, &format!("embed g.fa -o out.parquet --force {device}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(0), 1), "{said}");
        fs::read(folder.path().join("out.parquet")).unwrap()
    };
    assert_eq!(written(""), written("--device cpu"));
    let plan = run(&folder, "embed g.fa -o out.parquet --dry-run");
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(plan.lines().any(|line| line.starts_with("device    CPU (")), "{plan}");
}

#[test]
fn names_that_are_no_device_are_refused() {
    let folder = folder();
    for device in ["gpu", "cuda:x", "cuda:0,0"] {
        let output = run(&folder, &format!("embed g.fa -o out.parquet --device {device}"));
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(USAGE), "{message}");
        let expected = "expected auto, cpu, cuda, cuda:N, several as cuda:0,1, or all";
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_cpu_computes_in_f32_alone() {
    let folder = folder();
    for command in COMMANDS {
        let message = refused(&folder, &format!("{command} --device cpu --precision bf16"), USAGE);
        assert_eq!(message, "--precision bf16 is of GPUs: expected f32 on the CPU");
        let message = refused(&folder, &format!("{command} --precision tf32"), USAGE);
        assert!(message.starts_with("--precision tf32 is of GPUs: expected f32 on the CPU ("), "{message}");
    }
}
