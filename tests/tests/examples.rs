//! Command blocks of the pages do what the pages say: each is run on the shipped data, or has a word that says why it is not.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use longstrand_tests::pages::{Block, pages, parse, read, root};
use rayon::prelude::*;
use tempfile::TempDir;

/// Words behind `sh` for which a block is not run.
const REASONS: &[(&str, &str)] = &[
    ("build", "builds the program or what goes with it, or needs what a build leaves"),
    ("files", "names files that are not shipped"),
    ("gpu", "needs a GPU, or the compiler of its kernels"),
    ("minutes", "takes minutes"),
    ("tools", "needs other programs than those of a shell"),
];

/// What stands for anything: in a line for a part of it, alone for any number of lines.
const ELLIPSIS: &str = "…";

fn is_output(block: &Block<'_>) -> bool {
    block.words == ["output"]
}

/// A folder with the shipped data, where `longstrand` is the program under test. Files can be written beside the data without
/// a trace in the repository.
fn workplace() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, bin) = (folder.path().join("data"), folder.path().join("bin"));
    fs::create_dir(&data).and_then(|()| fs::create_dir(&bin)).expect("folders");
    for entry in fs::read_dir(root().join("data")).expect("the data") {
        let entry = entry.expect("an entry");
        symlink(entry.path(), data.join(entry.file_name())).expect("a link");
    }
    symlink(env!("CARGO_BIN_EXE_longstrand-under-test"), bin.join("longstrand")).expect("a link");
    folder
}

/// Runs a block; what it prints, or what went wrong.
fn run(block: &Block<'_>, folder: &Path) -> Result<String, String> {
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").expect("a PATH"));
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("exec 2>&1\n{}", block.text())])
        .current_dir(folder)
        .env("PATH", path)
        .env("HOME", folder)
        .env("CUDA_VISIBLE_DEVICES", "")
        .env_remove("LONGSTRAND_SIMD")
        .stdin(Stdio::null())
        .output()
        .expect("bash starts");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(printed) } else { Err(format!("{}\n{printed}", output.status)) }
}

/// Runs the blocks of a page one after the other in one folder, and compares what they print with what the page shows.
fn follow(page: &Path) -> Result<usize, String> {
    let text = read(page);
    let blocks = parse(&text).1;
    let place = |block: &Block<'_>| format!("{}:{}", page.display(), block.line);
    let folder = workplace();
    let mut checked = 0;
    for (index, block) in blocks.iter().enumerate().filter(|(_, block)| block.is_run()) {
        let printed = run(block, folder.path()).map_err(|error| format!("{}: {error}", place(block)))?;
        if let Some(shown) = blocks.get(index + 1).filter(|next| is_output(next)) {
            let is_shown = agree(&shown.lines, &printed.lines().map(str::trim_end).collect::<Vec<_>>());
            is_shown.then_some(()).ok_or_else(|| format!("{}: what is printed is\n{printed}", place(shown)))?;
        }
        checked += 1;
    }
    Ok(checked)
}

/// Whether lines that are shown are those that are printed.
fn agree(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line.trim() == ELLIPSIS => {
            (0..=printed.len()).any(|skipped| agree(rest, &printed[skipped..]))
        }
        Some((line, rest)) => {
            printed.split_first().is_some_and(|(first, others)| line_agrees(line, first) && agree(rest, others))
        }
    }
}

fn line_agrees(shown: &str, printed: &str) -> bool {
    let Some((start, rest)) = shown.split_once(ELLIPSIS) else { return shown.trim_end() == printed };
    let Some(printed) = printed.strip_prefix(start) else { return false };
    (0..=printed.len()).filter(|&at| printed.is_char_boundary(at)).any(|at| line_agrees(rest, &printed[at..]))
}

#[test]
fn blocks_of_the_pages_run() {
    let followed: Vec<_> = pages().par_iter().map(|page| follow(page)).collect();
    let problems: Vec<_> = followed.iter().filter_map(|page| page.as_ref().err()).map(String::as_str).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let checked: usize = followed.into_iter().flatten().sum();
    assert!(checked > 15, "the test reads pages wrongly: {checked} blocks");
}

#[test]
fn blocks_that_are_not_run_say_why() {
    for page in pages() {
        let text = read(&page);
        let mut may_have_output = false;
        for block in parse(&text).1 {
            let place = format!("{}:{}", page.display(), block.line);
            assert!(!is_output(&block) || may_have_output, "{place}: an output stands behind a block that is run");
            may_have_output = block.is_run();
            if let Some((_, reason)) = block.words.split_first().filter(|_| block.is_shell()) {
                let is_known = |word| REASONS.iter().any(|(known, _)| *known == word);
                assert!(
                    reason.len() <= 1 && reason.iter().copied().all(is_known),
                    "{place}: expected one of {REASONS:?}"
                );
            } else {
                let is_command = block.lines.iter().any(|line| line.starts_with("longstrand "));
                assert!(!is_command || is_output(&block), "{place}: commands stand in a block for a shell, ```sh");
            }
        }
    }
}

#[test]
fn an_ellipsis_stands_for_anything() {
    assert!(agree(&["a", "…", "d … f", "g"], &["a", "b", "c", "d e f", "g"]));
    assert!(agree(&["…"], &[]) && agree(&["a…"], &["a"]));
    for (shown, printed) in [
        (vec!["a"], vec!["a", "b"]),
        (vec!["a", "b"], vec!["a"]),
        (vec!["a…c"], vec!["a b"]),
        (vec!["…", "b"], vec!["a"]),
    ] {
        assert!(!agree(&shown, &printed), "{shown:?} {printed:?}");
    }
}

#[test]
fn a_block_that_fails_is_found() {
    let folder = workplace();
    let failure = |lines| run(&Block { line: 1, words: vec!["sh"], lines }, folder.path());
    assert!(failure(vec!["longstrand nothing | cat", "true"]).is_err());
    assert!(failure(vec!["echo $NOTHING_IS_SET"]).is_err());
    assert_eq!(
        failure(vec!["longstrand --version | cut -d ' ' -f 1; test -s data/README.md"]),
        Ok("longstrand\n".into())
    );
}
