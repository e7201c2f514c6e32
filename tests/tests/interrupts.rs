//! Runs that are stopped: nothing under the output's name, and a resumed run ends with the same bytes.

#![cfg(target_os = "linux")]

use std::{fs, path::PathBuf, thread, time::Duration};

use longstrand_tests::{YEAST, command::Longstrand, data, synthetic::Family, table::rows, workdir::Workdir};

/// What an interrupted run ends with.
const INTERRUPTED: i32 = 130;

/// Many windows in many row groups, each of them a part that is kept.
const MANY: &str = "--region II --window 256 --row-group 64 --batch-tokens 4096 --threads 1";

fn workdir(family: Family) -> Workdir {
    Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family)
}

/// The path of a part that waits for the file `out.parquet` to be finished.
fn part(workdir: &Workdir, index: usize) -> PathBuf {
    workdir.path(".out.parquet.parts").join(format!("part-{index:05}.parquet"))
}

/// Starts the run, sends a signal once some parts are there, and returns how it ended. Who is stopped in an orderly way is
/// told of `--resume`.
fn stopped(workdir: &Workdir, embed: &Longstrand, signal: &str, after_part: usize) -> Option<i32> {
    let mut running = embed.start();
    running.wait_for(&part(workdir, after_part));
    running.signal(signal);
    let finished = running.finish();
    assert!(!workdir.path("out.parquet").exists(), "{finished}");
    assert_eq!(finished.stderr.contains("--resume goes on behind it"), finished.code.is_some(), "{finished}");
    finished.code
}

#[test]
fn a_stopped_run_is_resumed_to_the_same_bytes() {
    let workdir = workdir(Family::CaduceusPh);
    workdir.embed(data(YEAST), "whole.parquet").args(MANY).succeeds();
    let embed = workdir.embed(data(YEAST), "out.parquet").args(MANY);
    let resumed = embed.clone().args("--resume");
    assert_eq!(stopped(&workdir, &embed, "INT", 2), Some(INTERRUPTED));
    assert!(part(&workdir, 2).exists());
    // A run that does not say --resume does not throw away what there is.
    embed.fails(1, &["--resume", "--force"]);
    assert_eq!(stopped(&workdir, &resumed, "TERM", 10), Some(INTERRUPTED));
    assert_eq!(stopped(&workdir, &resumed, "KILL", 20), None);
    assert!(part(&workdir, 20).exists());
    // Resumed under other threads and batches: they are no part of the question.
    workdir
        .embed(data(YEAST), "out.parquet")
        .args(&MANY.replace("4096 --threads 1", "9000 --threads 2 --resume"))
        .succeeds();
    let bytes = |name: &str| fs::read(workdir.path(name)).expect("an output");
    assert!(bytes("out.parquet") == bytes("whole.parquet"));
    assert!(!workdir.path(".out.parquet.parts").exists());
}

#[test]
fn a_killed_run_leaves_whole_parts_in_a_folder() {
    let workdir = workdir(Family::Mamba);
    workdir.embed(data(YEAST), "whole").args(MANY).succeeds();
    let embed = workdir.embed(data(YEAST), "out").args(MANY);
    let mut running = embed.start();
    running.wait_for(&workdir.path("out").join("part-00001.parquet"));
    running.signal("KILL");
    running.finish();
    embed.clone().args("--resume").succeeds();
    let names = |folder: &str| {
        let entries = fs::read_dir(workdir.path(folder)).expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("out"), names("whole"));
    for name in names("whole") {
        let bytes = |folder: &str| fs::read(workdir.path(folder).join(&name)).expect("a part");
        assert!(bytes("out") == bytes("whole"), "{}", name.display());
    }
    assert!(rows(&workdir.path("out")) == rows(&workdir.path("whole")));
}

#[test]
fn a_single_long_window_is_left_at_once() {
    for family in [Family::Mamba, Family::CaduceusPs] {
        let workdir = workdir(family);
        let before = workdir.names();
        let embed = workdir.embed(data(YEAST), "out.parquet").args("--region IV --window contig --threads 1");
        let mut running = embed.start();
        running.wait_for(&workdir.path(".out.parquet.parts"));
        thread::sleep(Duration::from_millis(300));
        running.signal("INT");
        let finished = running.finish();
        assert_eq!(finished.code, Some(INTERRUPTED), "{finished}");
        assert!(finished.stderr.ends_with("longstrand: interrupted\n"), "{finished}");
        assert_eq!(workdir.names(), before, "{family:?}");
    }
}

#[test]
fn a_signal_that_is_ignored_does_not_keep_the_others_from_being_heard() {
    let workdir = workdir(Family::Mamba);
    let embed = workdir.embed(data(YEAST), "out.parquet").args(MANY);
    let mut running = embed.start_ignoring("INT,HUP");
    running.wait_for(&part(&workdir, 0));
    running.signal("INT");
    running.signal("HUP");
    running.wait_for(&part(&workdir, 2));
    running.signal("TERM");
    let finished = running.finish();
    assert_eq!(finished.code, Some(INTERRUPTED), "{finished}");
    assert!(!workdir.path("out.parquet").exists());
}
