//! `longstrand pretrain`: runs that are stopped in every way and end with the same bytes.

#![allow(clippy::print_stdout, reason = "a failure is to be made again with the same moments")]
#![cfg(target_os = "linux")]

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use longstrand_model::checkpoint::Checkpoint;
use longstrand_pretrain::train::MetricsLine;
use longstrand_tests::{
    command::Longstrand,
    training::{CADUCEUS_PS, MAMBA, Moments, Place},
};

/// What an interrupted run ends with.
const INTERRUPTED: i32 = 130;

fn place() -> Place {
    Place::new(env!("CARGO_BIN_EXE_longstrand-under-test"))
}

#[test]
fn a_run_leaves_a_model_and_its_measures_whatever_the_threads() {
    let place = place();
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
    let place = place();
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
    let place = place();
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
    assert!(kills >= 5, "{kills} kills");
    run.succeeds();
    place.assert_same("whole", "killed");
    assert!(place.checkpoints("killed").iter().all(|name| name.starts_with("step-")), "nothing half done is left");
}

#[test]
fn an_interrupted_run_writes_a_checkpoint_and_goes_on() {
    let place = place();
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
    let place = place();
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

#[test]
fn a_run_goes_on_with_flags_on_top_of_its_own_settings_and_with_a_genome_that_was_moved() {
    let place = place();
    place.pretrain("whole", MAMBA).succeeds();
    stopped(&place, "run", MAMBA);
    let longstrand = || Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test")).args("pretrain -q --resume -o");
    longstrand().arg(place.path("nothing")).fails(2, &["nothing: expected a run to go on with, found none"]);
    longstrand().arg(place.path("run")).args("--steps 99").fails(1, &["run.steps = 60", "99"]);
    let moved = place.path("moved.fa");
    fs::rename(place.path("genome.fa"), &moved).expect("a genome");
    longstrand().arg(place.path("run")).fails(1, &["genome.fa"]);
    longstrand().arg(place.path("run")).args("--keep 5 --genome").arg(&moved).succeeds();
    for file in ["metrics.jsonl", "model/model.safetensors"] {
        let without_seconds = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).split(",\"seconds\"").count();
        let (whole, run) = (place.bytes("whole", file), place.bytes("run", file));
        assert!(file != "model/model.safetensors" || whole == run, "{file}");
        assert_eq!(without_seconds(whole), without_seconds(run), "{file}");
    }
}

#[test]
fn what_a_run_was_begun_with_and_what_it_has_done_must_be_there() {
    let place = place();
    let resumed = || place.pretrain("run", MAMBA).args("--resume");
    stopped(&place, "run", MAMBA);
    let facts = place.bytes("run", "run.json");
    fs::write(place.path("run/run.json"), &facts[..facts.len() / 2]).expect("run.json");
    resumed().fails(1, &["cannot read", "run.json"]);
    fs::remove_file(place.path("run/run.json")).expect("run.json");
    resumed().fails(1, &["cannot read", "run.json"]);
    fs::write(place.path("run/run.json"), facts).expect("run.json");
    fs::remove_file(place.path("run/metrics.jsonl")).expect("measures");
    let longstrand = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"));
    let finished = longstrand.args("pretrain --resume -o").arg(place.path("run")).succeeds();
    let is_told = finished.stderr.contains("metrics.jsonl: expected ") && finished.stderr.contains("steps, found 0");
    assert!(is_told, "{finished}");
    // Going back takes the finished model away until the run has ended again.
    let names = place.checkpoints("run");
    let first = names.iter().find(|name| name.starts_with("step-")).expect("a checkpoint");
    let mut running = resumed().args(&format!("--from {first}")).start();
    running.wait_for(&place.path("run/checkpoints").join(first));
    running.signal("KILL");
    running.finish();
    resumed().succeeds();
}

#[test]
fn what_cannot_be_trained_is_refused_before_anything_is_computed() {
    let place = place();
    let refused = |more: &str, named: &[&str]| {
        place.pretrain("none", MAMBA).args(more).fails(1, named);
        assert!(!place.path("none").exists());
    };
    refused("--set model.d_model=65536 --set model.n_layer=64", &["the model is too large", "model.d_model"]);
    refused("--length 1 --batch-tokens 64", &["data.length", "at least 2 bases"]);
    refused("--set optimizer.epsilon=1e-46", &["optimizer.epsilon", "above 0"]);
    fs::write(place.path("genome.fa"), format!(">n\n{}\n", "N".repeat(50_000))).expect("a genome");
    refused("", &["windows"]);
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
    let place = place();
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
    let place = place();
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
    let place = place();
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
    let place = place();
    let wild = "--lr 1e30 --set schedule.warmup=0.0 --set optimizer.clip=1e30 --set run.spike=0.0 --save-every 1";
    let finished = place.pretrain("wild", &format!("{MAMBA} {wild}")).run();
    let finished = finished.failed(1, &["step ", "the run ends before its update"]);
    assert!(finished.stderr.contains("the newest checkpoint is") || finished.stderr.contains("no checkpoint yet"));
    let spike = "--set run.spike=0.5";
    let finished = place.pretrain("spike", &format!("{MAMBA} {spike}")).run();
    finished.failed(1, &["step 21: the loss is", "run.spike = 0.5", "step-0000020"]);
    assert_eq!(place.metrics("spike").iter().filter(|line| matches!(line, MetricsLine::Step(_))).count(), 20);
}

#[test]
fn a_dry_run_says_what_a_step_takes_and_writes_nothing() {
    let place = place();
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
