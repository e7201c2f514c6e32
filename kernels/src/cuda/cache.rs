//! Compiled programs, kept between runs.
//!
//! A file of `cubins` in the [folder] is the SHA-256 of the machine code and then the code. Its name says the program
//! and the target, and a digest of all that the code depends on: source and headers, options, the versions of NVRTC and
//! of this crate. So nothing in it is ever out of date; old files are only in the way, and may be removed at any time. A
//! file that is damaged is made anew, and where the folder cannot be written, programs are compiled by every run.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::{Architecture, Nvrtc, Program, Version, compile};

/// The environment variable that names the folder.
pub const FOLDER_VARIABLE: &str = "LONGSTRAND_CACHE";

/// Bytes of a digest.
const DIGEST: usize = 32;

/// `LONGSTRAND_CACHE`, or `longstrand` in the user's cache folder; `None` if there is no home either.
pub fn folder() -> Option<PathBuf> {
    choose(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn choose(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let home =
        || variable("HOME").map(|home| home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }));
    // The XDG specification asks for relative paths to be ignored.
    let xdg = || variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    variable(FOLDER_VARIABLE).or_else(|| xdg().or_else(home).map(|folder| folder.join("longstrand")))
}

/// The file of a program for a target in a cache folder.
pub(super) fn path(folder: &Path, nvrtc: &Nvrtc, program: &Program, target: Architecture) -> PathBuf {
    let key = key(nvrtc.version(), program, target);
    folder.join("cubins").join(format!("{}-{target}-{}.cubin", program.name, &key[..16]))
}

/// A digest of all that the machine code depends on, in hexadecimal.
fn key(nvrtc: Version, program: &Program, target: Architecture) -> String {
    let mut digest = Sha256::new();
    let mut add = |part: &str| {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    };
    add(env!("CARGO_PKG_VERSION"));
    add(&nvrtc.to_string());
    add(program.source);
    for (name, text) in compile::headers(program) {
        add(name);
        add(text);
    }
    for option in compile::options(program, target) {
        add(&option);
    }
    for kernel in program.kernels {
        add(kernel);
    }
    base16ct::lower::encode_string(&digest.finalize())
}

/// The machine code of a file, if it is there and whole.
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    let (digest, code) = bytes.split_at_checked(DIGEST)?;
    (Sha256::digest(code).as_slice() == digest).then(|| code.to_vec())
}

/// Writes a file, whole or not at all, and for good once this returns.
pub(super) fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or(OsStr::new("cubin"));
    let mut prefix = OsStr::new(".").to_os_string();
    prefix.push(name);
    let mut file = tempfile::Builder::new().prefix(&prefix).suffix(".tmp").tempfile_in(folder)?;
    write_entry(&mut file, code)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn write_entry(file: &mut NamedTempFile, code: &[u8]) -> io::Result<()> {
    file.write_all(Sha256::digest(code).as_slice())?;
    file.write_all(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)]) -> Option<PathBuf> {
        choose(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_closest_variable_wins() {
        let home = ("HOME", "/home/rosalind");
        assert_eq!(chosen(&[("LONGSTRAND_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), home]), Some("/a".into()));
        assert_eq!(chosen(&[("XDG_CACHE_HOME", "/b"), home]), Some("/b/longstrand".into()));
        let in_home = chosen(&[("XDG_CACHE_HOME", "relative"), home]).unwrap();
        assert!(in_home.starts_with("/home/rosalind") && in_home.ends_with("longstrand"));
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cubins/a-sm_90-0.cubin");
        assert_eq!(read(&path), None);
        for code in [&b"code"[..], b"other code", b""] {
            write(&path, code).unwrap();
            assert_eq!(read(&path).as_deref(), Some(code));
        }
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "nothing temporary is left");
    }

    #[test]
    fn a_damaged_entry_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.cubin");
        write(&path, b"machine code").unwrap();
        let whole = fs::read(&path).unwrap();
        for length in [0, 1, DIGEST - 1, DIGEST, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read(&path), None, "cut at {length}");
        }
        for at in [0, DIGEST, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path), None, "changed at {at}");
        }
    }

    #[test]
    fn whatever_changes_the_code_changes_the_key() {
        let (version, target) = (Version { major: 13, minor: 0 }, Architecture::sm(90));
        let program = Program::new("p", "source", &["k"]);
        let keys = [
            key(version, &program, target),
            key(Version { major: 13, minor: 1 }, &program, target),
            key(version, &program, Architecture::sm_specific(90)),
            key(version, &Program { source: "other", ..program }, target),
            key(version, &Program { headers: &[("h.cuh", "")], ..program }, target),
            key(version, &Program { headers: &[("h.cuh", "x")], ..program }, target),
            key(version, &Program { defines: &[("A", "1")], ..program }, target),
            key(version, &Program { options: &["--use_fast_math"], ..program }, target),
            key(version, &Program { kernels: &["l"], ..program }, target),
        ];
        for (i, one) in keys.iter().enumerate() {
            assert_eq!(one.len(), 2 * DIGEST);
            assert!(keys[i + 1..].iter().all(|other| other != one), "{i}");
        }
        assert_eq!(keys[0], key(version, &program, target));
    }
}
