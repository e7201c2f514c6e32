//! `longstrand plan`: what it foresees is what a run takes.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use longstrand_kernels::simd::Level;
use longstrand_model::{Unwatched, Watch, checkpoint::Checkpoint};
use longstrand_seq::{GenomeOptions, window::Shard};
use longstrand_table::Existing;
use longstrand_tests::{
    BRCA1, BRCA1_VARIANTS, CHR20, CHR20_VARIANTS, READS, YEAST, command::Longstrand, data, synthetic::Family,
    workdir::Workdir,
};
use longstrand_variants::{Anchor, Job, Outputs, Plan, Prefix, ScoreOptions};
use serde_json::Value;

fn longstrand() -> Longstrand {
    Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"))
}

fn workdir(family: Family) -> Workdir {
    Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family)
}

/// The plan of a command line, which holds no spaces beside an input and an output.
fn plan(options: &str, command: &str, input: &Path, line: &str) -> Value {
    let planned = longstrand().args("plan --json").args(options).arg(command).arg(input).args(line).succeeds();
    assert_eq!(planned.stderr, "", "{planned}");
    serde_json::from_str(&planned.stdout).unwrap_or_else(|error| panic!("{error}: {planned}"))
}

fn number(plan: &Value, pointer: &str) -> f64 {
    plan.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {pointer} in {plan:#}"))
}

/// Runs a line and holds its peak and its output, in bytes, to what its plan foresees.
#[track_caller]
fn holds(command: &str, input: &Path, line: &str, output: &Path) {
    let line = format!("{line} -@ 2 --device cpu -o {}", output.display());
    let foreseen = plan("", command, input, &line);
    assert!(!output.exists(), "a plan writes nothing");
    let (finished, peak) = longstrand().arg(command).arg(input).args(&line).arg("-q").start().finish_with_peak();
    assert_eq!(finished.code, Some(0), "{finished}");
    let of_memory = peak as f64 / number(&foreseen, "/memory/bytes");
    assert!((0.8..1.2).contains(&of_memory), "{command} {line}: {of_memory} of the memory in {foreseen:#}");
    let written: u64 = output.metadata().map_or(0, |file| file.len());
    assert!(written as f64 <= number(&foreseen, "/disk/bytes"), "{written} bytes: {foreseen:#}");
}

#[test]
#[cfg(target_os = "linux")]
fn what_embed_takes_is_foreseen() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    holds("embed", &data(YEAST), "--region I:1-65536 --window 1024", &out("short.parquet"));
    let region = "--sliced-reference --region 20:9,450,001-9,482,768";
    holds("embed", &data(CHR20), region, &out("long.parquet"));
}

#[test]
#[cfg(target_os = "linux")]
fn what_score_takes_is_foreseen() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("--reference {} --sliced-reference --score wildtype", data(BRCA1).display());
    holds("score", &data(BRCA1_VARIANTS), &line, &folder.path().join("scores.vcf.gz"));
}

#[test]
#[cfg(target_os = "linux")]
fn what_pretrain_takes_is_foreseen() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let line = format!(
        "--genome {} --preset tiny --steps 2 --batch-tokens 8192 --length 1024 --validate-every 0 -@ 2 --device cpu -o {}",
        data(YEAST).display(),
        run.display()
    );
    let planned = longstrand().args("plan --json pretrain").args(&line).succeeds();
    let foreseen: Value = serde_json::from_str(&planned.stdout).unwrap();
    assert!(!run.exists(), "a plan writes nothing");
    let (finished, peak) = longstrand().arg("pretrain").args(&line).arg("-q").start().finish_with_peak();
    assert_eq!(finished.code, Some(0), "{finished}");
    let of_memory = peak as f64 / number(&foreseen, "/memory/bytes");
    assert!((0.8..1.2).contains(&of_memory), "{of_memory} of the memory in {foreseen:#}");
    assert_eq!((number(&foreseen, "/work/steps"), number(&foreseen, "/work/tokens")), (2.0, 16_384.0));
    assert!(foreseen["shards"].is_null());
}

#[test]
fn the_work_is_counted_without_computing_it() {
    let line = "--region I,II:1-2048 --window 1024 --device cpu -o out.parquet";
    let all = plan("--rate 1000", "embed", &data(YEAST), line);
    // 225 windows of chromosome I, of which the last is shorter, and two of II.
    let (bases, windows) = (230_218.0 + 2_048.0, 227.0);
    assert_eq!((number(&all, "/work/bases"), number(&all, "/work/windows")), (bases, windows));
    assert_eq!(number(&all, "/work/rows"), windows);
    assert!(all["measured"].is_null() && all["memory"].get("device_bytes").is_none());
    assert_eq!((all["command"].as_str(), all["shard"].as_str()), (Some("embed"), Some("1/1")));
    let seconds = number(&all, "/time/divided_seconds");
    assert!((seconds / (bases / 1000.0) - 1.0).abs() < 0.01, "{seconds}");
    // Both strands are twice the tokens; a shard is a part of the windows; a stream is counted as it is read.
    let both = plan("--rate 1000", "embed", &data(YEAST), &format!("{line} --strand average"));
    assert_eq!(number(&both, "/work/tokens"), 2.0 * number(&all, "/work/tokens"));
    let shard = plan("--rate 1000", "embed", &data(YEAST), &format!("{line} --shard 2/4"));
    assert!((56.0..58.0).contains(&number(&shard, "/work/windows")), "{shard:#}");
    let genome = plan("--rate 1e9", "embed", &data(YEAST), "--device cpu -o out.parquet");
    assert_eq!(number(&genome, "/work/bases"), 12_071_326.0);
    let reads = plan("--rate 1e9", "embed", &data(READS), "--device cpu -o out.parquet");
    assert_eq!(number(&reads, "/work/windows"), number(&reads, "/work/rows"));
}

#[test]
fn passes_over_variants_are_counted() {
    let reference = format!("--reference {} --sliced-reference --device cpu --tsv out.tsv", data(BRCA1).display());
    let tokens = |options: &str| {
        let plan = plan("--rate 1e6", "score", &data(BRCA1_VARIANTS), &format!("{reference} {options}"));
        assert_eq!((number(&plan, "/work/records"), number(&plan, "/work/alleles")), (3_893.0, 3_893.0));
        number(&plan, "/work/tokens")
    };
    // 3,893 alleles of fewer sites: three of a site share a window that has it masked.
    let forward = tokens("--score masked --strand forward");
    assert!(forward / 1024.0 < 3_893.0 && forward / 1024.0 > 3_893.0 / 3.0, "{forward}");
    assert_eq!(tokens("--score masked"), 2.0 * forward);
    assert_eq!(tokens("--score masked --strand forward --context 2048"), 2.0 * forward);
    assert!(tokens("--score wildtype --strand forward") < forward / 4.0);
    assert!(tokens("--score embedding --strand forward") > 3_893.0 * 1024.0);
}

/// Positions that go through a model, as a run tells them.
#[derive(Default)]
struct Tokens(AtomicU64);

impl Watch for Tokens {
    fn advanced(&self, bases: u64) {
        self.0.fetch_add(bases, Ordering::Relaxed);
    }
}

#[test]
fn tokens_that_are_foreseen_are_those_that_a_run_computes() {
    let cases = [
        (Family::CaduceusPh, "masked", Anchor::Window),
        (Family::CaduceusPh, "wildtype", Anchor::Window),
        (Family::CaduceusPh, "embedding", Anchor::Window),
        (Family::Mamba, "likelihood", Anchor::Window),
        (Family::Mamba, "likelihood", Anchor::Block),
        (Family::Mamba, "likelihood", Anchor::Contig),
    ];
    for (family, score, anchor) in cases {
        let workdir = workdir(family);
        let options = ScoreOptions {
            scores: vec![score.parse().unwrap()],
            context: 512.try_into().unwrap(),
            anchor,
            tail: 200,
            ..ScoreOptions::default()
        };
        let job = Job {
            variants: data(CHR20_VARIANTS),
            regions: Vec::new(),
            reference: data(CHR20),
            genome: GenomeOptions { sliced_reference: true },
            options,
            shard: Shard::WHOLE,
            outputs: Outputs { tsv: Some(workdir.path("scores.tsv")), ..Outputs::default() },
            existing: Existing::Refuse,
            threads: 2.try_into().unwrap(),
            available_memory: None,
            prefix: Prefix::default(),
            command: String::new(),
        };
        let checkpoint = Checkpoint::load(workdir.path("model")).unwrap();
        let plan = || Plan::new(job.clone(), &checkpoint, Level::widest()).unwrap();
        let foreseen = plan().estimate(Some(1.0), &Unwatched).unwrap();
        let (_, foreseen) = foreseen.work.into_iter().find(|(name, _)| *name == "tokens").unwrap();
        let tokens = Tokens::default();
        plan().run(&tokens).unwrap();
        assert_eq!(foreseen, tokens.0.into_inner(), "{score} {anchor}");
    }
}

#[test]
fn shards_and_requests_follow_the_time() {
    let line = "--region I --window 1024 --device cpu -o out.parquet";
    let of = |options: &str| plan(&format!("--rate 10 {options}"), "embed", &data(YEAST), line);
    let (two, eight) = (of("--hours-per-shard 4"), of("--shards 8"));
    // 230,218 tokens at 10 a second are 6.4 hours.
    assert_eq!((number(&two, "/shards/count"), number(&eight, "/shards/count")), (2.0, 8.0));
    assert!(number(&two, "/shards/seconds") <= 4.0 * 3_600.0);
    // 29 of 225 windows are the most of a shard.
    let most = number(&eight, "/time/fixed_seconds") + number(&eight, "/time/divided_seconds") * 29.0 / 225.0;
    assert!((number(&eight, "/shards/seconds") - most).abs() < 1e-6);
    let asked = of("--shards 8 --memory-margin 0 --time-margin 0");
    let minutes = (number(&asked, "/shards/seconds") / 60.0).ceil();
    assert_eq!(number(&asked, "/request/minutes"), minutes);
    assert_eq!(number(&asked, "/request/memory_mb"), (number(&asked, "/memory/bytes") / 1e6).ceil());
    assert!(number(&eight, "/request/minutes") > minutes && number(&eight, "/request/memory_mb") > 0.0);
}

#[test]
fn shards_of_a_plain_gzip_hold_the_genome() {
    let folder = tempfile::tempdir().unwrap();
    let genome = folder.path().join("genome.fa.gz");
    let zipped = format!("gzip -dc {} | gzip -1n > {}", data(YEAST).display(), genome.display());
    assert!(std::process::Command::new("sh").args(["-c", &zipped]).status().unwrap().success());
    let of = |options: &str| plan(&format!("--rate 1e6 {options}"), "embed", &genome, "--device cpu -o out.parquet");
    let (whole, shards) = (of("--shards 1"), of("--shards 4"));
    // 12,071,326 bases, four in a byte.
    assert!(whole["memory"]["parts"].get("genome").is_none(), "{whole:#}");
    let held = number(&shards, "/memory/parts/genome");
    assert!((3_017_832.0..3_400_000.0).contains(&held), "{held}");
    assert!(number(&shards, "/time/fixed_seconds") > number(&whole, "/time/reading_seconds"), "{whole:#} {shards:#}");
}

#[test]
fn a_shard_without_windows_has_nothing_to_do() {
    let line = "--region I:1-1024 --window 1024 --shard 1/4 --device cpu -o out.parquet";
    let shards: Vec<Value> =
        (1..=4).map(|shard| plan("", "embed", &data(YEAST), &line.replace("1/4", &format!("{shard}/4")))).collect();
    let empty: Vec<_> = shards.iter().filter(|shard| number(shard, "/work/windows") == 0.0).collect();
    assert_eq!(empty.len(), 3);
    assert!(empty.iter().all(|shard| shard["measured"].is_null() && number(shard, "/time/divided_seconds") == 0.0));
}

#[test]
fn a_table_has_the_same_figures() {
    let line = "--region I:1-4096 --window 1024 --device cpu -o out.parquet";
    let shown = longstrand().args("plan embed").arg(data(YEAST)).args(line).succeeds().stdout;
    for row in
        ["command     longstrand embed\n", "work        4 windows, 4,096 bases, 4,096 tokens, 4 rows\n", "tokens/s: "]
    {
        assert!(shown.contains(row), "{row}: {shown}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_ends_a_plan() {
    for signal in ["INT", "TERM", "HUP"] {
        let line = "--window 131072 --device cpu -o out.parquet";
        let running = longstrand().args("plan embed").arg(data(YEAST)).args(line).start();
        running.wait_until_it_listens();
        running.signal(signal);
        let ended = running.finish();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(130), "longstrand: interrupted\n"), "{ended}");
    }
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let plan = |line: &str| longstrand().arg("plan").args(line);
    plan("embed - -o out.parquet").stdin(data(YEAST)).fails(2, &["-: what a pipe holds is not known beforehand"]);
    plan("embed no.fa -o out.parquet").fails(1, &["no.fa"]);
    for (options, says) in [
        ("--rate 0", "expected a number above 0"),
        ("--shards 0", "expected a whole number above 0"),
        ("--shards 2 --hours-per-shard 2", "--hours-per-shard"),
    ] {
        let refused = plan(&format!("{options} embed no.fa -o out.parquet")).run();
        assert!(refused.code == Some(2) && refused.stderr.contains(says), "{refused}");
    }
    plan("pretrain -o run").fails(1, &["expected at least one genome"]);
}
