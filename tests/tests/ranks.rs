//! `longstrand pretrain` as several processes on one machine.

#![cfg(target_os = "linux")]

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use longstrand_model::checkpoint::Checkpoint;
use longstrand_pretrain::train::MetricsLine;
use longstrand_tests::{
    command::{Finished, Longstrand, Running},
    ranks,
    training::{CADUCEUS_PS, MAMBA, Moments, Place},
};

/// What an interrupted run ends with.
const INTERRUPTED: i32 = 130;

/// Seven windows a step in a dozen steps.
const SHORT: &str = "--batch-tokens 896 --steps 12 --validate-every 5 --save-every 2";

/// Two steps of a second or so, each of a long window a rank.
const LONG: &str = "--set model.family=caduceus-ps --set model.d_model=16 --set model.n_layer=4 --length 16384 --steps 2 \
    --validate-every 0";

fn place() -> Place {
    Place::new(env!("CARGO_BIN_EXE_longstrand-under-test"))
}

/// A command for each rank. The others are told of a folder that is not there, as if they ran on another machine.
fn commands(place: &Place, run: &str, settings: &str, size: usize) -> Vec<Longstrand> {
    let folder = |rank| if rank == 0 { run.to_owned() } else { format!("elsewhere/{rank}") };
    (0..size).map(|rank| place.pretrain(&folder(rank), settings).args("--threads 1")).collect()
}

/// Trains to the end.
fn train(place: &Place, run: &str, settings: &str, size: usize) {
    for finished in ranks::run(&commands(place, run, settings, size)) {
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished}");
    }
    assert!(!place.path("elsewhere").exists(), "only rank 0 writes");
}

/// Asserts that the weights and measures of two runs are the same but for rounding.
fn assert_close(place: &Place, run: &str, other: &str) {
    let load = |run: &str| Checkpoint::load(place.path(run).join("model")).expect("a model");
    let (ours, theirs) = (load(run), load(other));
    let tensors = ours.weights.named(&ours.config).into_iter().zip(theirs.weights.named(&theirs.config));
    for (ours, theirs) in tensors {
        let largest = theirs.values.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let difference = ours.values.iter().zip(theirs.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference <= 1e-6 * largest, "{}: {difference} of {largest}", ours.spec.name);
    }
    let (ours, theirs) = (place.metrics(run), place.metrics(other));
    assert_eq!(ours.len(), theirs.len());
    for lines in ours.into_iter().zip(theirs) {
        let is_same = |ours: Option<f64>, theirs: Option<f64>| match (ours, theirs) {
            (Some(ours), Some(theirs)) => (ours - theirs).abs() < 1e-6,
            (ours, theirs) => ours == theirs,
        };
        let (ours, theirs) = match lines {
            (MetricsLine::Step(ours), MetricsLine::Step(theirs)) => (ours.loss, theirs.loss),
            (MetricsLine::Validation(ours), MetricsLine::Validation(theirs)) => {
                assert_eq!(ours.validation.targets, theirs.validation.targets);
                assert!(is_same(ours.validation.masked_loss, theirs.validation.masked_loss), "{ours:?} {theirs:?}");
                (ours.validation.loss, theirs.validation.loss)
            }
            lines => panic!("{lines:?}"),
        };
        assert!(is_same(ours, theirs), "{ours:?} {theirs:?}");
    }
}

#[test]
fn ranks_train_to_the_weights_of_one_process() {
    let place = place();
    for settings in [MAMBA, CADUCEUS_PS] {
        let settings = &format!("{settings} {SHORT} --force");
        place.pretrain("one", settings).succeeds();
        for size in [2, 4] {
            train(&place, "several", settings, size);
            assert_close(&place, "several", "one");
            train(&place, "again", settings, size);
            place.assert_same("several", "again");
        }
    }
}

/// Real kills at moments that nobody chose, of whichever rank.
#[test]
fn a_killed_rank_ends_all_others_and_the_run_goes_on_to_the_same_bits() {
    let place = place();
    let settings = &format!("{CADUCEUS_PS} --batch-tokens 896 --validate-every 5 --save-every 2");
    train(&place, "whole", settings, 3);
    let commands = commands(&place, "killed", &format!("{settings} --resume"), 3);
    let (mut moments, mut kills) = (Moments::new(), 0);
    while place.newest("killed") < 40 {
        let (target, victim) = (place.newest("killed") + 2 + 2 * moments.below(5), moments.below(3) as usize);
        let (running, started) = (ranks::start(&commands), Instant::now());
        while place.newest("killed") < target {
            assert!(started.elapsed() < Duration::from_secs(60), "no step {target} in time");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(moments.below(50_000)));
        running[victim].signal("KILL");
        let mut ended: Vec<Finished> = running.into_iter().map(Running::finish).collect();
        assert_eq!(ended.remove(victim).code, None);
        for other in ended {
            other.failed(1, &[&format!("rank {victim} is gone: its connection ended during operation ")]);
        }
        kills += 1;
    }
    assert!(kills >= 3, "{kills} kills");
    for finished in ranks::run(&commands) {
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished}");
    }
    place.assert_same("whole", "killed");
}

/// A command that goes on with a run, which rank 0 alone sees, and says nothing of its settings.
fn resumed(place: &Place, run: &str, size: usize) -> Vec<Longstrand> {
    let longstrand = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test")).args("pretrain -q --resume -o");
    let folder = |rank| if rank == 0 { run.to_owned() } else { format!("elsewhere/{rank}") };
    (0..size).map(|rank| longstrand.clone().arg(place.path(&folder(rank)))).collect()
}

/// Waits until a run has done a step.
fn wait_for_a_step(place: &Place, run: &str, running: &mut Running) {
    let metrics = place.path(run).join("metrics.jsonl");
    running.wait_for(&metrics);
    while fs::metadata(&metrics).map_or(0, |file| file.len()) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Asserts that all ranks have ended in order and that rank 0 alone says so.
fn assert_interrupted(ended: &[Finished]) {
    for (rank, finished) in ended.iter().enumerate() {
        assert_eq!(finished.code, Some(INTERRUPTED), "{finished}");
        assert_eq!(finished.stderr.contains("the same command with --resume"), rank == 0, "{finished}");
        assert_eq!(finished.stderr.lines().count(), usize::from(rank == 0), "{finished}");
    }
}

#[test]
fn a_signal_to_any_rank_stops_all_and_the_run_goes_on_to_the_same_bits() {
    let place = place();
    train(&place, "whole", MAMBA, 2);
    for (signal, rank) in [("INT", 1), ("TERM", 0)] {
        let mut running = ranks::start(&commands(&place, signal, &format!("{MAMBA} --save-every 60"), 2));
        wait_for_a_step(&place, signal, &mut running[0]);
        running[rank].signal(signal);
        let ended: Vec<Finished> = running.into_iter().map(Running::finish).collect();
        assert_interrupted(&ended);
        assert!((1..60).contains(&place.newest(signal)), "{:?}", place.checkpoints(signal));
        for finished in ranks::run(&resumed(&place, signal, 2)) {
            assert_eq!(finished.code, Some(0), "{finished}");
        }
        place.assert_same("whole", signal);
    }
}

/// A window that takes seconds is left between two chunks, and the step before it is kept.
#[test]
fn a_long_step_is_left_at_once_and_done_again() {
    let place = place();
    for size in [1, 2] {
        let long = &format!("{LONG} --batch-tokens {}", size * 16_384);
        let (run, whole) = (&format!("run-{size}"), &format!("whole-{size}"));
        let mut running = ranks::start(&commands(&place, run, long, size));
        wait_for_a_step(&place, run, &mut running[0]);
        let MetricsLine::Step(first) = place.metrics(run)[0] else { panic!("a step comes first") };
        assert_eq!(first.step, 1);
        running.iter().for_each(|rank| rank.signal("INT"));
        let ended: Vec<Finished> = running.into_iter().map(Running::finish).collect();
        assert_interrupted(&ended);
        assert_eq!((place.newest(run), place.metrics(run).len()), (1, 1), "the second step was broken off");
        for finished in ranks::run(&resumed(&place, run, size)) {
            assert_eq!(finished.code, Some(0), "{finished}");
        }
        train(&place, whole, long, size);
        place.assert_same(whole, run);
    }
}

/// Runs as two ranks, and asserts that both end with this exit code and these words.
fn refused(commands: [Longstrand; 2], code: i32, words: &str) {
    for finished in ranks::run(&commands) {
        finished.failed(code, &[words]);
    }
}

#[test]
fn ranks_that_were_started_otherwise_are_refused() {
    let place = place();
    let pretrain = |settings: &str| place.pretrain("run", &format!("{MAMBA} {settings}"));
    let words = "rank 1: expected the settings to be the same as on rank 0";
    refused([pretrain(""), pretrain("--seed 7")], 1, words);
    let words = "rank 1: expected what is computed on (--device, LONGSTRAND_SIMD) to be the same as on rank 0";
    refused([pretrain(""), pretrain("").variable("LONGSTRAND_SIMD", "portable")], 1, words);
    let words = "(--batch-tokens): expected a window for each of 2 ranks, 256 bases, found 1 windows of 128 bases";
    refused(["", ""].map(|_| pretrain("--batch-tokens 128")), 2, words);
    assert!(!place.path("run").exists());

    // Two machines that have other genomes under one name.
    let there = place.path("there");
    fs::create_dir(&there).expect("a folder");
    let genome = String::from_utf8(place.bytes(".", "genome.fa")).expect("a text").to_lowercase();
    fs::write(there.join("genome.fa"), genome).expect("a genome");
    let longstrand = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"));
    let pretrain = longstrand.args("pretrain --preset tiny -q -o run --genome genome.fa --length 256").args(MAMBA);
    let words = "rank 1: expected the genomes and BED files to be the same as on rank 0";
    refused([pretrain.clone().folder(place.path(".")), pretrain.folder(there)], 1, words);

    let lost = place.pretrain("run", MAMBA).variable("RANK", "2").variable("WORLD_SIZE", "2");
    lost.fails(1, &["RANK: expected a whole number from 0 to 1, found \"2\""]);
    let planned = ranks::run(&["", ""].map(|_| place.pretrain("other", MAMBA).args("--dry-run")));
    assert!(planned[0].stdout.contains("8 windows of 128 bases") && planned[0].stdout.contains("on each of 2 ranks"));
    assert_eq!((planned[0].code, planned[1].code, planned[1].stdout.as_str()), (Some(0), Some(0), ""));
}
