//! A process that is asked to stop, once and twice.
//!
//! The process is this test itself, started again with a variable that makes it wait for signals.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "the processes of this test speak through it")]

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::Duration;

use longstrand_cli::interrupt::Interrupt;

const TEMPORARY: &str = "LONGSTRAND_TEST_TEMPORARY";
const QUIET: &str = "quiet";

/// What the started process does: it stops after the first signal only if it was not told to dawdle, and says so unless it
/// was told to be quiet.
#[test]
fn waiting_process() {
    let Some(temporary) = std::env::var_os(TEMPORARY).map(PathBuf::from) else {
        return;
    };
    let told = fs::read_to_string(&temporary).unwrap();
    let interrupt = Interrupt::listen(told == QUIET).unwrap();
    let dawdles = told == "dawdle";
    interrupt.before_exit(move || fs::remove_file(&temporary).unwrap());
    eprintln!("ready");
    for _ in 0..6000 {
        if !dawdles && interrupt.check().is_err() {
            process::exit(3);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn start(temporary: &Path) -> (Child, Lines<BufReader<ChildStderr>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "waiting_process", "--nocapture"])
        .env(TEMPORARY, temporary)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"));
    (child, lines)
}

fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
}

/// Whether this process ignores hangup, interrupt or termination, and with it the processes it starts.
fn ignores_signals() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    u64::from_str_radix(ignored, 16).unwrap() & (1 | 1 << 1 | 1 << 14) != 0
}

#[test]
fn the_first_signal_asks_and_the_second_ends_after_cleaning_up() {
    if ignores_signals() {
        eprintln!("skipped: this process was started with signals ignored");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("temporary");

    fs::write(&temporary, "").unwrap();
    let (mut child, mut lines) = start(&temporary);
    signal(&child, "-TERM");
    assert!(lines.next().unwrap().unwrap().starts_with("longstrand: stopping"));
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(temporary.exists());

    fs::write(&temporary, QUIET).unwrap();
    let (mut child, mut lines) = start(&temporary);
    signal(&child, "-INT");
    assert!(lines.all(|line| !line.unwrap().contains("stopping")));
    assert_eq!(child.wait().unwrap().code(), Some(3));

    fs::write(&temporary, "dawdle").unwrap();
    let (mut child, mut lines) = start(&temporary);
    signal(&child, "-INT");
    assert!(lines.next().unwrap().unwrap().starts_with("longstrand: stopping"));
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!temporary.exists());
}
