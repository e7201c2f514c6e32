//! `longstrand pretrain` as several processes that own each window together.

#![cfg(target_os = "linux")]

use longstrand_tests::{
    command::{Finished, Running},
    ranks,
    training::Place,
};

const CAUSAL: &str = "--set model.family=mamba --set objective.kind=causal --length 129";

/// Runs both ways.
const PH: &str = "--set model.family=caduceus-ph";

/// Equivariant, with windows that grow.
const PS: &str = "--set model.family=caduceus-ps --set data.stages=[{from_step=0,length=43},{from_step=6,length=129}]";

/// Small models, saved every other step.
const SMALL: &str = "--set model.d_model=16 --set model.n_layer=2 --validate-every 5 --save-every 2";

/// Three windows a step: groups of ranks have not as many as each other.
const THREE: &str = "--batch-tokens 387";

/// Two steps of a second or so, each of one long window.
const LONG: &str = "--set model.family=caduceus-ps --set model.d_model=16 --set model.n_layer=8 --length 16385 --steps 2 \
    --batch-tokens 16385 --validate-every 0 --context-ranks 2";

fn place() -> Place {
    Place::new(env!("CARGO_BIN_EXE_longstrand-under-test"))
}

#[test]
fn ranks_that_own_windows_together_train_to_the_weights_of_one_process() {
    let place = place();
    for model in [CAUSAL, &format!("{PH} --length 129"), PS] {
        let settings = &format!("{model} {SMALL} {THREE} --steps 12 --force");
        place.pretrain("one", settings).succeeds();
        for (size, context) in [(2, 2), (4, 2), (4, 4)] {
            let settings = &format!("{settings} --context-ranks {context}");
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
    let settings = &format!("{PS} {SMALL} {THREE} --context-ranks 2");
    place.assert_kills_are_survived(settings, 4);
}

/// A window that takes seconds is left by all ranks where they meet next, whichever is told, and the step before it is kept.
#[test]
fn a_signal_to_any_rank_leaves_a_long_window_on_all() {
    let place = place();
    place.train("whole", LONG, 2);
    for (signal, rank) in [("INT", 1), ("TERM", 0)] {
        let mut running = ranks::start(&place.commands(signal, LONG, 2));
        place.wait_for_a_step(signal, &mut running[0]);
        running[rank].signal(signal);
        let ended: Vec<Finished> = running.into_iter().map(Running::finish).collect();
        ranks::assert_interrupted(&ended);
        assert_eq!((place.newest(signal), place.metrics(signal).len()), (1, 1), "the second step was broken off");
        for finished in ranks::run(&place.resumed(signal, 2)) {
            assert_eq!(finished.code, Some(0), "{finished}");
        }
        place.assert_same("whole", signal);
    }
}

#[test]
fn ranks_that_do_not_go_into_windows_are_refused() {
    let place = place();
    let refused = |settings: &str, size: usize, words: &str| {
        for finished in ranks::run(&place.commands("run", &format!("{PH} {SMALL} {settings}"), size)) {
            finished.failed(2, &[words]);
        }
    };
    refused(
        "--length 129 --batch-tokens 387 --context-ranks 3",
        2,
        "--context-ranks): expected a divisor of the 2 ranks, found 3",
    );
    refused(
        "--length 129 --batch-tokens 387 --context-ranks 2",
        1,
        "--context-ranks): expected a divisor of the 1 ranks, found 2",
    );
    refused(
        "--length 129 --batch-tokens 129 --context-ranks 2",
        4,
        "expected a window for each of 2 groups of 2 ranks, 258 bases, found 1 windows of 129 bases",
    );
    refused(
        "--length 3 --batch-tokens 12 --context-ranks 4",
        4,
        "--context-ranks): expected at most the 3 bases of a window, found 4",
    );
    assert!(!place.path("run").exists());
    let planned = ranks::run(&place.commands(
        "run",
        &format!("{PH} {SMALL} {THREE} --length 129 --context-ranks 2 --dry-run"),
        4,
    ));
    let words = "3 windows of 129 bases, 1 at a time on each 2 of 4 ranks, a stretch of 65 bases on each";
    assert!(planned[0].stdout.contains(words), "{}", planned[0].stdout);
}

/// A run may go on with other ranks, which changes its last bits and is said.
#[test]
fn a_run_goes_on_with_other_ranks() {
    let place = place();
    let settings = &format!("{PH} {SMALL} {THREE} --length 129 --steps 12");
    place.train("run", &format!("{settings} --context-ranks 2"), 2);
    place.pretrain("one", settings).succeeds();
    let back = format!("{settings} --resume --from step-0000010");
    let finished = place.pretrain("run", &back).run();
    let words = "the run was begun with 2 ranks, 2 to a window and goes on with 1 ranks";
    assert!(finished.code == Some(0) && finished.stderr.contains(words), "{finished}");
    place.assert_close("run", "one");
}
