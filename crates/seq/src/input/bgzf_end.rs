//! The block that ends every whole bgzip and BAM file.

use std::io::{self, Read, Seek, SeekFrom};

/// An empty BGZF block (SAM specification, section 4.1.2).
pub(crate) const BGZF_END: [u8; 28] = [
    0x1f, 0x8b, 0x08, 0x04, 0, 0, 0, 0, 0, 0xff, 0x06, 0, 0x42, 0x43, 0x02, 0, 0x1b, 0, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Whether a file's last bytes are [`BGZF_END`]. The reader stays where it stands.
pub(crate) fn has_bgzf_end(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    let position = file.stream_position()?;
    let end = file.seek(SeekFrom::End(0))?;
    let Some(start) = end.checked_sub(BGZF_END.len() as u64) else { return Ok(false) };
    file.seek(SeekFrom::Start(start))?;
    let mut last = [0; BGZF_END.len()];
    file.read_exact(&mut last)?;
    file.seek(SeekFrom::Start(position))?;
    Ok(last == BGZF_END)
}

/// What is wrong with a bgzip file that lacks its last block.
pub(crate) fn without_end() -> io::Error {
    let message = "expected the block that ends a bgzip file, found the end of the file";
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

/// A reader that remembers the last bytes it gave.
pub(crate) struct Tail<R> {
    inner: R,
    last: [u8; BGZF_END.len()],
}

impl<R: Read> Tail<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, last: [0; BGZF_END.len()] }
    }

    /// Whether the last bytes that were read are [`BGZF_END`].
    pub(crate) fn is_end(&self) -> bool {
        self.last == BGZF_END
    }
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        let kept = n.min(self.last.len());
        self.last.rotate_left(kept);
        let at = self.last.len() - kept;
        self.last[at..].copy_from_slice(&buf[n - kept..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(buf.len()).min(self.0.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn the_tail_is_kept_whatever_the_size_of_reads() {
        let bytes: Vec<u8> = (0..200).collect();
        for step in [1, 5, 27, 28, 29, 150, 200] {
            let mut tail = Tail::new(Drip(&bytes, step));
            io::copy(&mut tail, &mut io::sink()).unwrap();
            assert_eq!(tail.last, bytes[172..], "{step}");
        }
    }

    #[test]
    fn the_end_is_looked_for_from_anywhere() {
        let whole = [b"header".as_slice(), &BGZF_END].concat();
        for (bytes, expected) in [(&whole[..], true), (&whole[..whole.len() - 1], false), (&BGZF_END[1..], false)] {
            let mut file = io::Cursor::new(bytes);
            file.set_position(3);
            assert_eq!(has_bgzf_end(&mut file).unwrap(), expected);
        }
    }
}
