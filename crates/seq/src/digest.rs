//! What tells whether a file is the same file.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;

use sha2::{Digest, Sha256};

/// The SHA-256 of a file in hexadecimal. `advanced` is told each number of bytes as it has been read, and may break off:
/// then there is none.
///
/// # Errors
///
/// - the file cannot be read
pub fn sha256(path: &Path, advanced: &mut dyn FnMut(u64) -> ControlFlow<()>) -> io::Result<Option<String>> {
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
}
