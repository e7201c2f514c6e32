//! The binary as a shell sees it: what it prints, and its exit code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Read;
use std::process::{Command, Output, Stdio};

fn longstrand() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longstrand"));
    command.env_remove("LONGSTRAND_SIMD").env("CUDA_VISIBLE_DEVICES", "");
    command
}

fn run(arguments: &[&str]) -> Output {
    longstrand().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_version_is_the_crates() {
    let output = run(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), concat!("longstrand ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_wrong_command_line_is_code_2() {
    for arguments in [&[][..], &["nonsense"], &["doctor", "--nonsense"], &["doctor", "--threads", "0"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[cfg(unix)]
#[test]
fn an_error_of_usage_names_the_program_whatever_its_file_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let renamed = folder.path().join("renamed");
    // A copy that was written just now may be busy, as another test's process may have its file open for a moment.
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_longstrand"), &renamed).unwrap();
    let output = Command::new(renamed).args(["doctor", "--non\rsense"]).output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(message.starts_with("longstrand: error: unexpected argument '--non\\rsense' found\n"), "{message}");
    assert!(message.contains("\nUsage: longstrand doctor"), "{message}");
}

#[test]
fn a_negative_number_is_refused_as_a_value() {
    for option in [
        "--threads",
        "--window",
        "--stride",
        "--max-n",
        "--shard",
        "--min-mapq",
        "--require-flags",
        "--exclude-flags",
        "--layer",
        "--pool",
        "--row-group",
        "--batch-tokens",
        "--chunk",
    ] {
        let output = run(&["embed", "g.fa", "-o", "out.parquet", option, "-1"]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{option}");
        assert!(message.starts_with(&format!("longstrand: error: invalid value '-1' for '{option} <")), "{message}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn help_that_cannot_be_written_is_code_1() {
    for arguments in [&["--help"][..], &["--version"], &["help", "embed"], &["man"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = longstrand().args(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let message = text(&output.stderr);
        assert!(message.starts_with("longstrand: error: cannot write to the standard output: "), "{message}");
    }
}

#[test]
fn doctor_prints_json() {
    let output = run(&["doctor", "--json", "--threads", "3"]);
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["threads"]["used"], 3);
    assert_eq!(report["simd"]["available"][0], "portable");
}

#[test]
fn the_version_says_what_the_program_is() {
    let output = run(&["version", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&version["name"], &version["version"]), (&"longstrand".into(), &env!("CARGO_PKG_VERSION").into()));
    assert!(version["target"].as_str().unwrap().starts_with(std::env::consts::ARCH), "{version}");
    let features = version["features"].as_array().unwrap();
    assert_eq!(features.contains(&"cuda".into()), cfg!(feature = "cuda"), "{version}");
    assert_eq!(version["simd"]["available"][0], "portable");
    let model: serde_json::Value = serde_json::from_slice(&run(&["inspect", "--json"]).stdout).unwrap();
    assert_eq!(version["model"], serde_json::json!({ "name": model["name"], "digest": model["digest"] }));

    let pinned = longstrand().args(["version", "--json"]).env("LONGSTRAND_SIMD", "portable").output().unwrap();
    let version: serde_json::Value = serde_json::from_slice(&pinned.stdout).unwrap();
    assert_eq!(version["simd"]["used"], "portable");
}

#[test]
fn an_error_is_one_line_and_code_1() {
    let output = longstrand().arg("doctor").env("LONGSTRAND_SIMD", "abacus").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.starts_with("longstrand: error: ") && message.contains("abacus"), "{message}");
    assert_eq!(message.lines().count(), 1);
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("doctor"), "{shell}");
    }
}

#[test]
fn manual_pages_are_printed_or_written() {
    assert!(text(&run(&["man"]).stdout).contains(".TH longstrand 1"));
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert_eq!(run(&["man", "--out", pages.to_str().unwrap()]).status.code(), Some(0));
    for page in ["longstrand.1", "longstrand-doctor.1", "longstrand-man.1"] {
        assert!(pages.join(page).is_file(), "{page}");
    }

    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = run(&["man", "--out", file.join("man1").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("longstrand: error: cannot write manual pages into "));
}

#[test]
fn a_closed_stdout_is_code_141_without_a_word() {
    for arguments in [&["completions", "bash"][..], &["doctor"], &["--help"]] {
        // A pipe whose reading end is closed before the program starts.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = longstrand().args(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let mut message = String::new();
        child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(141), "{arguments:?}");
        assert_eq!(message, "", "{arguments:?}");
    }
}

#[test]
#[cfg(feature = "cuda")]
fn an_architecture_that_is_none_is_refused() {
    let output = run(&["kernels", "check", "--arch", "hopper"]);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("expected an architecture such as sm_90, found \"hopper\""), "{message}");
}

#[test]
#[cfg(feature = "cuda")]
fn the_table_of_kernels_is_written_in_a_checkout_alone() {
    let folder = tempfile::tempdir().unwrap();
    let output = longstrand().args(["kernels", "check", "--update"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.starts_with("longstrand: error: there is no kernels/resources.tsv here"), "{message}");
}
