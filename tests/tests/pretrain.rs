//! `longstrand pretrain`: runs that are stopped in every way and end with the same bytes.

#![allow(clippy::print_stdout, reason = "a failure is to be made again with the same moments")]
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use flate2::read::MultiGzDecoder;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_pretrain::train::{MetricsLine, read_metrics};
use longstrand_tests::{YEAST, command::Longstrand, data};
use tempfile::TempDir;

/// What an interrupted run ends with.
const INTERRUPTED: i32 = 130;

/// A run of a few seconds.
const SMALL: &str = "
    [data]
    length = 128
    split = { valid = 0.2 }
    [schedule]
    peak = 4e-3
    [run]
    steps = 60
    tokens = 1024
    save_every = 4
    keep = 2
    [validation]
    every = 12
    windows = 6
";

const MAMBA: &str = "--set model.family=mamba --set objective.kind=causal --set model.d_model=16 --set model.n_layer=2";

/// With windows that grow, and lower case that counts half.
const CADUCEUS_PS: &str = "--set model.family=caduceus-ps --set model.d_model=16 --set model.n_layer=2 \
    --set data.stages=[{from_step=0,length=64},{from_step=30,length=128}] --set objective.soft_mask_weight=0.5";

/// A temporary folder with a small genome.
struct Place(TempDir);

impl Place {
    /// With the first 40,000 bases of yeast, in two contigs and lower case in the middle of the first.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary folder"));
        let mut text = vec![0; 60_000];
        let file = fs::File::open(data(YEAST)).expect("a genome");
        MultiGzDecoder::new(file).read_exact(&mut text).expect("a longer genome");
        let lines = text.split(|&byte| byte == b'\n').skip(1);
        let mut bases: Vec<u8> = lines.flatten().copied().take(40_000).collect();
        bases[8_000..12_000].make_ascii_lowercase();
        let mut fasta = b">one\n".to_vec();
        fasta.extend(&bases[..30_000]);
        fasta.extend(b"\n>two\n");
        fasta.extend(&bases[30_000..]);
        fasta.push(b'\n');
        fs::write(place.path("genome.fa"), fasta).expect("a file in a temporary folder");
        fs::write(place.path("small.toml"), SMALL).expect("a file in a temporary folder");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn pretrain(&self, output: &str, settings: &str) -> Longstrand {
        let longstrand = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"));
        let longstrand = longstrand.arg("pretrain").arg("--genome").arg(self.path("genome.fa"));
        longstrand
            .arg("-o")
            .arg(self.path(output))
            .arg("--config")
            .arg(self.path("small.toml"))
            .args("-q")
            .args(settings)
    }

    fn bytes(&self, run: &str, file: &str) -> Vec<u8> {
        fs::read(self.path(run).join(file)).unwrap_or_else(|error| panic!("{run}/{file}: {error}"))
    }

    fn checkpoints(&self, run: &str) -> Vec<String> {
        let folder = self.path(run).join("checkpoints");
        let mut names: Vec<String> = fs::read_dir(folder).map_or(Vec::new(), |entries| {
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
        });
        names.sort();
        names
    }

    /// The last checkpoint's step.
    fn newest(&self, run: &str) -> u64 {
        let names = self.checkpoints(run);
        names.iter().filter_map(|name| name.strip_prefix("step-")?.parse().ok()).max().unwrap_or(0)
    }

    /// What a run has measured, but for the time.
    fn metrics(&self, run: &str) -> Vec<MetricsLine> {
        let untimed = |line| match line {
            MetricsLine::Step(mut metrics) => {
                metrics.seconds = 0.0;
                MetricsLine::Step(metrics)
            }
            MetricsLine::Validation(mut metrics) => {
                metrics.seconds = 0.0;
                MetricsLine::Validation(metrics)
            }
        };
        let lines = read_metrics(&self.path(run).join("metrics.jsonl")).expect("metrics");
        lines.into_iter().map(untimed).collect()
    }

    /// Asserts that two runs have ended with the same weights, moments and measures.
    fn assert_same(&self, run: &str, other: &str) {
        for file in ["model/model.safetensors", "model/config.json", "checkpoints/step-0000060/optimizer.safetensors"] {
            assert!(self.bytes(run, file) == self.bytes(other, file), "{file} of {run} and {other}");
        }
        assert_eq!(self.metrics(run), self.metrics(other), "{run} and {other}");
    }
}

/// Numbers for moments, from the clock: what is tested is to hold at any.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
        println!("moments from {}", now.as_nanos() as u64);
        Self(now.as_nanos() as u64 | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn a_run_leaves_a_model_and_its_measures_whatever_the_threads() {
    let place = Place::new();
    for settings in [MAMBA, CADUCEUS_PS] {
        place.pretrain("one", settings).args("--force --threads 1").succeeds();
        for threads in ["2", "3"] {
            place.pretrain("other", settings).args("--force --threads").arg(threads).succeeds();
            place.assert_same("one", "other");
        }
        let report = String::from_utf8(place.bytes("one", "report.html")).expect("a text");
        assert!(report.contains("<svg"), "a report with charts");
        let model = Checkpoint::load(place.path("one/model")).expect("a model");
        assert_eq!(model.config.d_model, 16);
        let best_and_last = place.checkpoints("one");
        assert!((2..=3).contains(&best_and_last.len()), "{best_and_last:?}");
        let metrics = place.metrics("one");
        let losses: Vec<f64> = metrics
            .iter()
            .filter_map(|line| match line {
                MetricsLine::Step(metrics) => metrics.loss,
                MetricsLine::Validation(_) => None,
            })
            .collect();
        assert_eq!((losses.len(), metrics.len()), (60, 65));
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        assert!(mean(&losses[50..]) < mean(&losses[..10]) - 0.3, "{losses:?}");
    }
}

/// The precision is a matter of rounding: the same run learns as much, keeps its own bits, and goes on in its own alone.
#[test]
fn a_run_in_bf16_learns_as_one_in_f32_and_goes_on_with_the_same_bits() {
    let place = Place::new();
    for settings in [MAMBA, CADUCEUS_PS] {
        let half = format!("{settings} --set run.precision=bf16");
        place.pretrain("full", settings).args("--force").succeeds();
        place.pretrain("half", &half).args("--force --threads 1").succeeds();
        let [full, found] = ["full", "half"].map(|run| {
            let facts = String::from_utf8(place.bytes(run, "run.json")).expect("a text");
            let precision = if run == "half" { "\"precision\": \"bf16\"" } else { "\"precision\": \"f32\"" };
            assert!(facts.contains(precision), "{facts}");
            place.metrics(run)
        });
        let losses = |metrics: &[MetricsLine]| -> Vec<f64> {
            let loss = |line: &MetricsLine| match line {
                MetricsLine::Step(metrics) => metrics.loss,
                MetricsLine::Validation(metrics) => metrics.validation.loss,
            };
            metrics.iter().filter_map(loss).collect()
        };
        let (full, found) = (losses(&full), losses(&found));
        assert_ne!(full, found);
        for (full, found) in full.iter().zip(&found) {
            assert!((full - found).abs() < 0.01, "{full} in f32 and {found} in bf16");
        }

        let _ = fs::remove_dir_all(place.path("stopped"));
        stopped(&place, "stopped", &half);
        place.pretrain("stopped", settings).args("--resume").fails(1, &["run.precision = \"bf16\"", "\"f32\""]);
        place.pretrain("stopped", &half).args("--resume --threads 2").succeeds();
        place.assert_same("half", "stopped");
    }
}

/// Real kills at moments that nobody chose.
#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_bits() {
    let place = Place::new();
    let settings = &format!("{CADUCEUS_PS} --validate-every 5 --save-every 2");
    let mut moments = Moments::new();
    place.pretrain("whole", settings).succeeds();
    let run = place.pretrain("killed", settings).args("--resume");
    let mut kills = 0;
    while place.newest("killed") < 60 && kills < 40 {
        let (target, started) = ((place.newest("killed") + 2 * moments.below(4)).min(58), Instant::now());
        let running = run.start();
        while place.newest("killed") < target && started.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(Duration::from_micros(moments.below(80_000)));
        running.signal("KILL");
        let finished = running.finish();
        assert!(finished.code.is_none() || finished.code == Some(0), "{finished}");
        kills += u32::from(finished.code.is_none());
    }
    println!("{kills} kills");
    assert!(kills >= 10, "{kills} kills");
    run.succeeds();
    place.assert_same("whole", "killed");
    assert!(place.checkpoints("killed").iter().all(|name| name.starts_with("step-")), "nothing half done is left");
}

#[test]
fn an_interrupted_run_writes_a_checkpoint_and_goes_on() {
    let place = Place::new();
    let longer = format!("{MAMBA} --save-every 50");
    place.pretrain("whole", MAMBA).succeeds();
    for (signal, run) in [("INT", "int"), ("TERM", "term")] {
        let mut running = place.pretrain(run, &longer).start();
        running.wait_for(&place.path(run).join("metrics.jsonl"));
        while fs::metadata(place.path(run).join("metrics.jsonl")).map_or(0, |file| file.len()) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        running.signal(signal);
        let finished = running.finish();
        assert_eq!(finished.code, Some(INTERRUPTED), "{finished}");
        assert!(finished.stderr.contains("--resume"), "{finished}");
        assert!((1..60).contains(&place.newest(run)), "{:?}", place.checkpoints(run));
        place.pretrain(run, MAMBA).fails(1, &["holds a run", "--resume", "--force"]);
        place.pretrain(run, MAMBA).args("--resume --threads 2").succeeds();
        place.assert_same("whole", run);
        // A run that is complete stays as it is.
        let longstrand = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"));
        let again = longstrand.args("pretrain --resume -o").arg(place.path(run)).succeeds();
        assert!(again.stderr.contains("complete already: 60 steps"), "{again}");
        place.assert_same("whole", run);
    }
}

#[test]
fn a_run_goes_on_with_the_same_settings_and_inputs_alone() {
    let place = Place::new();
    let stopped = stopped(&place, "run", MAMBA);
    let resumed = |more: &str| place.pretrain("run", MAMBA).args("--resume").args(more);
    resumed("--seed 7").fails(1, &["config.toml", "run.seed = 2222", "7", "--force"]);
    resumed("--set model.d_model=24").fails(1, &["model.d_model = 16", "24"]);
    resumed("--from step-0000001").fails(1, &["--from step-0000001", "step-0000004"]);
    let genome = place.bytes(".", "genome.fa");
    let mut other = genome.clone();
    other[100] = if other[100] == b'A' { b'C' } else { b'A' };
    fs::write(place.path("genome.fa"), other).expect("a genome");
    resumed("").fails(1, &["genome.fa", "is another file", "SHA-256"]);
    fs::write(place.path("genome.fa"), genome).expect("a genome");
    assert_eq!(place.checkpoints("run"), stopped);
    // What changes neither weights nor metrics may be another.
    resumed("--keep 5 --save-every 10").succeeds();
    place.pretrain("whole", MAMBA).succeeds();
    place.assert_same("whole", "run");
}

/// A run that was stopped behind several checkpoints, whose names are returned.
fn stopped(place: &Place, run: &str, settings: &str) -> Vec<String> {
    let mut running = place.pretrain(run, settings).args("--keep 9").start();
    running.wait_for(&place.path(run).join("checkpoints/step-0000012"));
    running.signal("KILL");
    running.finish();
    place.checkpoints(run).into_iter().filter(|name| name.starts_with("step-")).collect()
}

#[test]
fn a_broken_checkpoint_is_told_and_the_one_before_is_used_when_asked() {
    let place = Place::new();
    place.pretrain("whole", MAMBA).succeeds();
    for file in ["model.safetensors", "optimizer.safetensors", "state.json", "config.json", "SHA256SUMS"] {
        let names = stopped(&place, "run", MAMBA);
        let [.., before, newest] = names.as_slice() else { panic!("{names:?}") };
        let path = place.path("run/checkpoints").join(newest).join(file);
        flip(&path);
        let resumed = place.pretrain("run", MAMBA).args("--resume --keep 9");
        let from = format!("--from {before}");
        resumed.fails(1, &[newest, &from]);
        assert_eq!(place.checkpoints("run"), names, "nothing is removed unasked");
        resumed.args(&from).succeeds();
        place.assert_same("whole", "run");
        fs::remove_dir_all(place.path("run")).expect("a run");
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("a file of a checkpoint");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("a file of a checkpoint");
}

#[test]
fn a_full_disk_loses_nothing() {
    let place = Place::new();
    let wider = &format!("{MAMBA} --set model.d_model=32");
    place.pretrain("whole", wider).succeeds();
    let names = stopped(&place, "run", wider);
    let resumed = place.pretrain("run", wider).args("--resume --keep 9");
    let weights = place.bytes("whole", "model/model.safetensors").len();
    let metrics = place.bytes("whole", "metrics.jsonl").len();
    assert!(weights > 40 << 10 && metrics < 20 << 10, "{weights} bytes of weights and {metrics} of metrics");
    resumed.run_with_file_limit(40).failed(1, &["cannot write", "step-", "model.safetensors"]);
    assert_eq!(place.checkpoints("run"), names);
    resumed.succeeds();
    place.assert_same("whole", "run");
}

#[test]
fn a_folder_has_one_run_at_a_time() {
    let place = Place::new();
    let mut running = place.pretrain("run", MAMBA).start();
    running.wait_for(&place.path("run/metrics.jsonl"));
    place.pretrain("run", MAMBA).args("--resume").fails(1, &["another process works in"]);
    place.pretrain("run", MAMBA).args("--force").fails(1, &["another process works in"]);
    running.signal("KILL");
    running.finish();
    // What cannot begin does not replace what there is.
    let before = fs::metadata(place.path("run/run.json")).and_then(|file| file.modified()).expect("a run");
    place.pretrain("run", MAMBA).args("--force --set data.split.valid=0.0").fails(1, &["split valid"]);
    let after = fs::metadata(place.path("run/run.json")).and_then(|file| file.modified()).expect("a run");
    assert_eq!(before, after);
    place.pretrain("run", MAMBA).args("--force --steps 4").succeeds();
}

#[test]
fn a_run_that_goes_astray_ends_and_says_where() {
    let place = Place::new();
    let wild = "--lr 1e30 --set schedule.warmup=0.0 --set optimizer.clip=1e30 --set run.spike=0.0 --save-every 1";
    let finished = place.pretrain("wild", &format!("{MAMBA} {wild}")).run();
    let finished = finished.failed(1, &["step ", "the run ends before its update"]);
    assert!(finished.stderr.contains("the last good checkpoint is") || finished.stderr.contains("no checkpoint yet"));
    let spike = "--set run.spike=0.5";
    let finished = place.pretrain("spike", &format!("{MAMBA} {spike}")).run();
    finished.failed(1, &["step 21: the loss is", "run.spike = 0.5", "step-0000020"]);
    assert_eq!(place.metrics("spike").iter().filter(|line| matches!(line, MetricsLine::Step(_))).count(), 20);
}

#[test]
fn a_dry_run_says_what_a_step_takes_and_writes_nothing() {
    let place = Place::new();
    let finished = place.pretrain("run", MAMBA).args("--dry-run").succeeds();
    for words in ["steps = 60", "d_model = 16", "8 windows of 128 bases", "parameters  ", "memory ", "contigs     2"] {
        assert!(finished.stdout.contains(words), "expected to read {words:?}: {finished}");
    }
    assert!(!place.path("run").exists());
    place.pretrain("run", MAMBA).args("--length 100").fails(1, &["run.tokens", "multiple of the window length, 100"]);
    place.pretrain("run", MAMBA).args("--set model.n_layer=0").fails(1, &["model.n_layer"]);
    place.pretrain("run", MAMBA).args("--length 7k --batch-tokens 7k").fails(1, &["split valid", "--validate-every 0"]);
    assert!(!place.path("run").exists());
}
