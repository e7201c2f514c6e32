//! `longstrand pretrain` as several processes on one machine.

#![cfg(target_os = "linux")]

use std::fs;

use longstrand_pretrain::train::MetricsLine;
use longstrand_tests::{
    command::{Finished, Longstrand, Running},
    ranks,
    training::{CADUCEUS_PS, MAMBA, Place},
};

/// Seven windows a step in a dozen steps.
const SHORT: &str = "--batch-tokens 896 --steps 12 --validate-every 5 --save-every 2";

/// Two steps of a second or so, each of a long window a rank.
const LONG: &str = "--set model.family=caduceus-ps --set model.d_model=16 --set model.n_layer=4 --length 16384 --steps 2 \
    --validate-every 0";

fn place() -> Place {
    Place::new(env!("CARGO_BIN_EXE_longstrand-under-test"))
}

#[test]
fn ranks_train_to_the_weights_of_one_process() {
    let place = place();
    for settings in [MAMBA, CADUCEUS_PS] {
        let settings = &format!("{settings} {SHORT} --force");
        place.pretrain("one", settings).succeeds();
        for size in [2, 4] {
            place.train("several", settings, size);
            place.assert_close("several", "one");
            place.train("again", settings, size);
            place.assert_same("several", "again");
        }
    }
}

/// Real kills at moments that nobody chose, of whichever rank.
#[test]
fn a_killed_rank_ends_all_others_and_the_run_goes_on_to_the_same_bits() {
    let place = place();
    let settings = &format!("{CADUCEUS_PS} --batch-tokens 896 --validate-every 5 --save-every 2");
    place.assert_kills_are_survived(settings, 3);
}

#[test]
fn a_signal_to_any_rank_stops_all_and_the_run_goes_on_to_the_same_bits() {
    let place = place();
    place.train("whole", MAMBA, 2);
    for (signal, rank) in [("INT", 1), ("TERM", 0)] {
        let mut running = ranks::start(&place.commands(signal, &format!("{MAMBA} --save-every 60"), 2));
        place.wait_for_a_step(signal, &mut running[0]);
        running[rank].signal(signal);
        let ended: Vec<Finished> = running.into_iter().map(Running::finish).collect();
        ranks::assert_interrupted(&ended);
        assert!((1..60).contains(&place.newest(signal)), "{:?}", place.checkpoints(signal));
        for finished in ranks::run(&place.resumed(signal, 2)) {
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
        let mut running = ranks::start(&place.commands(run, long, size));
        place.wait_for_a_step(run, &mut running[0]);
        let MetricsLine::Step(first) = place.metrics(run)[0] else { panic!("a step comes first") };
        assert_eq!(first.step, 1);
        running.iter().for_each(|rank| rank.signal("INT"));
        let ended: Vec<Finished> = running.into_iter().map(Running::finish).collect();
        ranks::assert_interrupted(&ended);
        assert_eq!((place.newest(run), place.metrics(run).len()), (1, 1), "the second step was broken off");
        for finished in ranks::run(&place.resumed(run, size)) {
            assert_eq!(finished.code, Some(0), "{finished}");
        }
        place.train(whole, long, size);
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
