//! Text in blocks of gzip, as bgzip writes it: any gzip reader reads it, and tabix can index it.

use std::{
    fmt,
    io::{self, Write},
};

use noodles_bgzf as bgzf;

/// Compresses what is written to it.
///
/// The block that ends a file is only written by [`finish`](Self::finish): what is left behind after an error must not
/// look whole.
pub struct BgzipWriter<W: Write>(Option<bgzf::io::Writer<W>>);

impl<W: Write> BgzipWriter<W> {
    /// Begins a file.
    pub fn new(inner: W) -> Self {
        Self(Some(bgzf::io::Writer::new(inner)))
    }

    /// Where the next byte goes, as indexes tell it: the start of its block, and its place in there.
    pub(crate) fn virtual_offset(&self) -> u64 {
        self.0.as_ref().map_or(0, |writer| writer.virtual_position().into())
    }

    /// Writes what waits and the block that ends the file, and flushes it.
    ///
    /// # Errors
    ///
    /// - the bytes cannot be written
    pub fn finish(mut self) -> io::Result<()> {
        let Some(mut writer) = self.0.take() else { return Ok(()) };
        let ended = writer.try_finish();
        let mut inner = writer.into_inner();
        ended.and_then(|()| inner.flush())
    }

    fn writer(&mut self) -> &mut bgzf::io::Writer<W> {
        self.0.as_mut().expect("it is taken by `finish` alone")
    }
}

impl<W: Write> Write for BgzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

impl<W: Write> Drop for BgzipWriter<W> {
    fn drop(&mut self) {
        // The writer itself would write the last block when it is dropped.
        drop(self.0.take().map(bgzf::io::Writer::into_inner));
    }
}

impl<W: Write> fmt::Debug for BgzipWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BgzipWriter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_finished_file_looks_whole() {
        let written = |is_finished| {
            let mut bytes = Vec::new();
            let mut writer = BgzipWriter::new(&mut bytes);
            writer.write_all(&[b'A'; 100_000]).unwrap();
            if is_finished {
                writer.finish().unwrap()
            } else {
                drop(writer)
            }
            bytes
        };
        assert!(written(true).ends_with(&crate::input::BGZF_END));
        assert!(!written(false).is_empty());
        assert!(!written(false).ends_with(&crate::input::BGZF_END));
    }
}
