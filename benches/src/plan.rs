//! What `longstrand plan` foresees against what the runs take: memory and time, at 1,024, 131,072 and 1,048,576 bases.
//!
//! The program is the one beside this benchmark, or the one that `LONGSTRAND_BENCH_BINARY` names. It is started twice for each
//! case, once to plan and once to do it; the peak is the most memory that the process was seen to have held.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use longstrand_tests::{CHR20, YEAST, command::peak, data};
use serde_json::Value;

use crate::report::Report;
use crate::variants::sequence::{Sequence, write_vcf};

/// The program that is measured, where it is not beside this one.
const BINARY_VARIABLE: &str = "LONGSTRAND_BENCH_BINARY";

/// By which part of it memory may differ from what is foreseen, and by which factor time may.
const MEMORY: f64 = 0.2;
const TIME: f64 = 1.5;

/// A command at a length, its input and output left out.
struct Case {
    command: &'static str,
    length: u64,
    /// Variants that are scored.
    variants: usize,
    line: &'static str,
}

const fn case(command: &'static str, length: u64, variants: usize, line: &'static str) -> Case {
    Case { command, length, variants, line }
}

/// A slice of human chromosome 20 is embedded; variants on it are scored; models learn from yeast.
const CASES: [Case; 9] = [
    case("embed", 1 << 10, 0, "--region 20:9450001-9974288 --window 1024"),
    case("embed", 1 << 17, 0, "--region 20:9450001-9974288 --window 131072"),
    case("embed", 1 << 20, 0, "--region 20:9450001-10498576"),
    case("score", 1 << 10, 200, "--score masked --context 1024"),
    case("score", 1 << 17, 2, "--score masked --context 131072"),
    case("score", 1 << 20, 1, "--score masked --context 1048576 --strand forward"),
    case("pretrain", 1 << 10, 0, "--preset tiny --length 1024 --batch-tokens 65536 --steps 16 --validate-every 8"),
    case("pretrain", 1 << 17, 0, "--preset tiny --length 131072 --batch-tokens 131072 --steps 8 --validate-every 0"),
    case(
        "pretrain",
        1 << 20,
        0,
        "--preset tiny --length 1048576 --batch-tokens 1048576 --steps 1 --valid-contigs I --validate-every 0",
    ),
];

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let binary = match std::env::var_os(BINARY_VARIABLE) {
        Some(binary) => PathBuf::from(binary),
        None => std::env::current_exe()?.with_file_name("longstrand"),
    };
    ensure!(
        binary.is_file(),
        "{}: expected the program: cargo build --release, or {BINARY_VARIABLE}",
        binary.display()
    );
    CASES.iter().try_for_each(|case| measure(report, &binary, case))
}

/// Plans a case and does it.
fn measure(report: &mut Report, binary: &Path, case: &Case) -> anyhow::Result<()> {
    const MIB: f64 = 1048576.0;
    let folder = tempfile::tempdir()?;
    let arguments = case.arguments(folder.path())?;
    let began = Instant::now();
    let planned = Command::new(binary).args(["plan", "--json"]).args(&arguments).output()?;
    let planning = began.elapsed().as_secs_f64();
    ensure!(planned.status.success(), "{}", String::from_utf8_lossy(&planned.stderr));
    let plan: Value = serde_json::from_slice(&planned.stdout)?;
    let figure = |pointer: &str| plan.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("no {pointer}"));
    let began = Instant::now();
    let mut child = Command::new(binary).args(&arguments).arg("--quiet").stderr(Stdio::null()).spawn()?;
    let peak = peak(&mut child)? as f64;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(child.wait()?.success(), "{} at {} failed", case.command, case.length);
    let (memory, time) = (figure("/memory/bytes")?, figure("/time/seconds")?);
    let what = format!("{} at {}", case.command, case.length);
    report.row(
        &what,
        &[
            ("MiB foreseen", memory / MIB),
            ("MiB peak", peak / MIB),
            ("found to foreseen", peak / memory),
            ("s foreseen", time),
            ("s taken", seconds),
            ("of the time", seconds / time),
            ("s to plan", planning),
        ],
    );
    report.at_least(&format!("{what}: the peak to what was foreseen"), peak / memory, 1.0 - MEMORY);
    report.at_most(&format!("{what}: the peak to what was foreseen"), peak / memory, 1.0 + MEMORY);
    report.at_least(&format!("{what}: the time to what was foreseen"), seconds / time, 1.0 / TIME);
    report.at_most(&format!("{what}: the time to what was foreseen"), seconds / time, TIME);
    Ok(())
}

impl Case {
    /// The command line; what it needs is written into the folder.
    fn arguments(&self, folder: &Path) -> anyhow::Result<Vec<String>> {
        let text = |path: PathBuf| path.display().to_string();
        let mut arguments = vec![self.command.to_owned()];
        match self.command {
            "embed" => arguments.extend([
                text(data(CHR20)),
                "--sliced-reference".into(),
                "-o".into(),
                text(folder.join("out.parquet")),
            ]),
            "score" => {
                let (sequence, vcf) = (Sequence::open()?, folder.join("in.vcf"));
                write_vcf(&vcf, &sequence.snvs(sequence.span.clone(), self.variants)?)?;
                let reference = text(sequence.path.clone());
                let output = text(folder.join("out.vcf.gz"));
                arguments.extend([
                    text(vcf),
                    "--reference".into(),
                    reference,
                    "--sliced-reference".into(),
                    "-o".into(),
                    output,
                ]);
            }
            _ => arguments.extend(["--genome".into(), text(data(YEAST)), "-o".into(), text(folder.join("run"))]),
        }
        arguments.extend(self.line.split_whitespace().map(str::to_owned));
        arguments.extend(["--device".into(), "cpu".into()]);
        Ok(arguments)
    }
}
