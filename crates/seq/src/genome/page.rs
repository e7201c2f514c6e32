//! Positioned reads of small parts through one page in memory.

use std::io::{self, Read, Seek, SeekFrom};

const PAGE: usize = 1 << 16;

/// Keeps the page that was read last, so that neighbouring windows, also overlapping ones, are decompressed once.
pub(super) struct Pages<R> {
    reader: R,
    /// Where the reader stands.
    position: u64,
    page: Vec<u8>,
    page_start: u64,
}

impl<R: Read + Seek> Pages<R> {
    /// Takes a reader that stands at its start.
    pub(super) fn new(reader: R) -> Self {
        Self { reader, position: 0, page: Vec::new(), page_start: 0 }
    }

    /// Fills `buf` from an offset as far as there are bytes, and returns how many.
    pub(super) fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut n = 0;
        while n < buf.len() {
            let page = self.page_from(offset + n as u64)?;
            if page.is_empty() {
                break;
            }
            let k = page.len().min(buf.len() - n);
            buf[n..n + k].copy_from_slice(&page[..k]);
            n += k;
        }
        Ok(n)
    }

    /// The rest of the page that holds an offset; empty behind the end.
    fn page_from(&mut self, offset: u64) -> io::Result<&[u8]> {
        let start = offset - offset % PAGE as u64;
        if self.page.is_empty() || start != self.page_start {
            self.load(start)?;
        }
        let inside = (offset - start) as usize;
        Ok(self.page.get(inside..).unwrap_or_default())
    }

    fn load(&mut self, start: u64) -> io::Result<()> {
        let mut page = std::mem::take(&mut self.page);
        page.clear();
        if self.position != start {
            self.reader.seek(SeekFrom::Start(start))?;
        }
        // After an error nobody knows where the reader stands.
        self.position = u64::MAX;
        (&mut self.reader).take(PAGE as u64).read_to_end(&mut page)?;
        self.position = start + page.len() as u64;
        self.page_start = start;
        self.page = page;
        Ok(())
    }
}
