//! Imports run downwards only: cli → {embed, variants, pretrain} → {model, table} → {kernels, seq}, and each outside library of weight is
//! named in one crate alone.

use std::{fs, path::PathBuf};

/// `(crate's folder, crates of this workspace that it may name)`
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("kernels", &[]),
    ("crates/seq", &[]),
    ("crates/table", &["longstrand-seq"]),
    ("crates/model", &["longstrand-kernels", "longstrand-seq"]),
    ("crates/embed", &["longstrand-kernels", "longstrand-seq", "longstrand-model", "longstrand-table"]),
    ("crates/variants", &["longstrand-kernels", "longstrand-seq", "longstrand-model", "longstrand-table"]),
    ("crates/pretrain", &["longstrand-kernels", "longstrand-seq", "longstrand-model", "longstrand-table"]),
    (
        "crates/cli",
        &[
            "longstrand-kernels",
            "longstrand-seq",
            "longstrand-model",
            "longstrand-table",
            "longstrand-embed",
            "longstrand-variants",
            "longstrand-pretrain",
        ],
    ),
];

/// Folders of the kernels that may have unsafe code, besides files of these names.
const MACHINE_CODE: &[&str] = &["simd", "cpu", "cuda"];

/// Members that are not published and may import everything.
const FREE: &[&str] = &["tests", "benches"];

/// `(start of a library's name, the crate that may name it)`
const OWNED: &[(&str, &str)] = &[
    ("noodles", "crates/seq"),
    ("cudarc", "kernels"),
    ("libloading", "kernels"),
    ("parquet", "crates/table"),
    ("arrow", "crates/table"),
    ("safetensors", "crates/model"),
    ("clap", "crates/cli"),
    ("indicatif", "crates/cli"),
    ("anyhow", "crates/cli"),
];

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The libraries that a crate's manifest names for use, tests aside.
fn dependencies(folder: &str) -> Vec<String> {
    let manifest = fs::read_to_string(workspace().join(folder).join("Cargo.toml")).expect("a manifest");
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]") && !line.contains("dev-");
        } else if inside && let Some(end) = line.find(['.', ' ', '=']) {
            names.push(line[..end].to_string());
        }
    }
    names
}

#[test]
fn every_member_of_the_workspace_has_its_place() {
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).expect("the workspace's manifest");
    let members = manifest.split_once("members = [").and_then(|(_, rest)| rest.split_once(']')).expect("members").0;
    let members: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    assert!(members.len() > MAY_IMPORT.len(), "the test reads the manifest wrongly: {members:?}");
    for member in members {
        let is_known = FREE.contains(&member) || MAY_IMPORT.iter().any(|(folder, _)| *folder == member);
        assert!(is_known, "{member} is not in the table of this test");
    }
}

#[test]
fn crates_import_downwards_only() {
    for (folder, allowed) in MAY_IMPORT {
        let names = dependencies(folder);
        assert!(!names.is_empty(), "{folder} names no libraries: the test reads its manifest wrongly");
        for name in names.iter().filter(|name| name.starts_with("longstrand-")) {
            assert!(allowed.contains(&name.as_str()), "{folder} imports {name}, which is not below it");
        }
    }
}

#[test]
fn libraries_are_named_in_one_crate() {
    for (folder, _) in MAY_IMPORT {
        for name in dependencies(folder) {
            for (library, owner) in OWNED {
                assert!(!name.starts_with(library) || folder == owner, "{folder} names {name}, which is {owner}'s");
            }
        }
    }
}

#[test]
fn model_takes_the_vocabulary_alone_from_seq() {
    for entry in sources(&workspace().join("crates/model/src")) {
        let text = fs::read_to_string(&entry).expect("a source file");
        for line in text.lines().filter(|line| line.contains("longstrand_seq")) {
            assert!(line.contains("longstrand_seq::vocab"), "{}: {line}", entry.display());
        }
    }
}

#[test]
fn unsafe_code_lives_in_the_kernels_alone() {
    for (folder, _) in MAY_IMPORT.iter().filter(|(folder, _)| *folder != "kernels") {
        let root = workspace().join(folder).join("src/lib.rs");
        let text = fs::read_to_string(&root).expect("a crate root");
        assert!(text.contains("#![forbid(unsafe_code)]"), "{folder} does not forbid unsafe code");
    }
    let mut checked = 0;
    let kernels = workspace().join("kernels/src");
    for path in sources(&kernels) {
        let text = fs::read_to_string(&path).expect("a source file");
        let path = path.strip_prefix(&kernels).expect("a path below");
        let is_machine_code = path.components().any(|part| MACHINE_CODE.iter().any(|name| part.as_os_str() == *name))
            || path.file_name().is_some_and(|name| name == "cpu.rs" || name == "cuda.rs");
        checked += 1;
        assert!(is_machine_code || !has_unsafe_code(&text), "unsafe code in {}", path.display());
    }
    assert!(checked > 20);
}

#[test]
fn cudarc_is_named_beside_the_machine_code_alone() {
    let kernels = workspace().join("kernels/src");
    for path in sources(&kernels) {
        let text = fs::read_to_string(&path).expect("a source file");
        let path = path.strip_prefix(&kernels).expect("a path below");
        let is_cuda = path.components().any(|part| part.as_os_str() == "cuda" || part.as_os_str() == "cuda.rs");
        assert!(is_cuda || !text.contains("cudarc"), "{} names cudarc", path.display());
    }
}

/// Whether a line that is no comment has the keyword.
fn has_unsafe_code(text: &str) -> bool {
    let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_')).any(|word| word == "unsafe")
}

fn sources(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(sources(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
    found
}
