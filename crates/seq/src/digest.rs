//! What tells whether a file is the same file.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::input::is_stream;

/// What tells of a file that a run has read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileDigest {
    /// The name without its folders; `-` for standard input and pipes.
    pub name: String,
    /// The SHA-256 in hexadecimal; none of standard input and pipes, which have been read, or are not to be read yet.
    pub sha256: Option<String>,
}

impl FileDigest {
    /// What is known, by name, as it stands in outputs.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("name", self.name.as_str())].into_iter().chain(self.sha256.as_deref().map(|sha256| ("sha256", sha256)))
    }
}

/// A file whose digest cannot be taken.
#[derive(Debug)]
pub struct DigestError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The digests of files, in order. `advanced` is told how many bytes have been read and how many there are in all, and may
/// break off: then there are none.
///
/// # Errors
///
/// - a file cannot be read
pub fn digests(
    files: &[&Path],
    advanced: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Option<Vec<FileDigest>>, DigestError> {
    let sizes = files.iter().filter(|path| !is_stream(path)).filter_map(|path| path.metadata().ok());
    let total = sizes.map(|file| file.len()).sum();
    let mut done = 0;
    let mut read = |bytes| {
        done += bytes;
        advanced(done, total)
    };
    let mut digest = |path: &Path| -> Result<Option<FileDigest>, DigestError> {
        if is_stream(path) {
            return Ok(Some(FileDigest { name: "-".into(), sha256: None }));
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let found = sha256(path, &mut read).map_err(|source| DigestError { path: path.into(), source })?;
        Ok(found.map(|sha256| FileDigest { name, sha256: Some(sha256) }))
    };
    files.iter().map(|path| digest(path)).collect()
}

/// About how many seconds the digests of files take, by that of as much of them as is read in a moment.
///
/// # Errors
///
/// - a file cannot be read
pub fn seconds(files: &[&Path]) -> Result<f64, DigestError> {
    const MOMENT: Duration = Duration::from_millis(200);
    let (began, mut read, mut all) = (Instant::now(), 0, 0);
    digests(files, &mut |done, total| {
        (read, all) = (done, total);
        if began.elapsed() < MOMENT { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(began.elapsed().as_secs_f64() * all as f64 / read.max(1) as f64)
}

/// The SHA-256 of a file in hexadecimal. `advanced` is told each number of bytes as it has been read, and may break off:
/// then there is none.
///
/// # Errors
///
/// - the file cannot be read
fn sha256(path: &Path, advanced: &mut dyn FnMut(u64) -> ControlFlow<()>) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let bytes = match file.read(&mut buffer)? {
            0 => return Ok(Some(base16ct::lower::encode_string(&digest.finalize()))),
            n => &buffer[..n],
        };
        digest.update(bytes);
        if advanced(bytes.len() as u64).is_break() {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_published_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let mut read = 0;
        let mut count = |bytes| {
            read += bytes;
            ControlFlow::Continue(())
        };
        let digest = sha256(file.path(), &mut count).unwrap().unwrap();
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(read, 3);
        assert_eq!(sha256(file.path(), &mut |_| ControlFlow::Break(())).unwrap(), None);
    }

    #[test]
    fn seconds_are_told_of_all_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(seconds(&[file.path()]).unwrap(), 0.0);
        std::fs::write(file.path(), vec![b'A'; 1 << 20]).unwrap();
        let once = seconds(&[file.path()]).unwrap();
        assert!(once > 0.0 && once < 60.0, "{once}");
    }

    #[test]
    fn files_are_followed_to_the_last_byte_and_streams_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&a, "abc").unwrap();
        std::fs::write(&b, "de").unwrap();
        let mut told = Vec::new();
        let mut follow = |done, total| {
            told.push((done, total));
            ControlFlow::Continue(())
        };
        let found = digests(&[&a, Path::new("-"), &b], &mut follow).unwrap().unwrap();
        assert_eq!(told, [(3, 5), (5, 5)]);
        assert_eq!(found.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["a", "-", "b"]);
        assert_eq!(found.iter().map(|file| file.sha256.is_some()).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(digests(&[&a], &mut |_, _| ControlFlow::Break(())).unwrap(), None);
    }
}
