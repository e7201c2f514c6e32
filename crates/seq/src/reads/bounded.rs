use std::io::{self, Read, Seek};

use noodles_bgzf as bgzf;

/// Bytes of the largest BAM record that is read: some times more than the longest reads take.
const LARGEST_RECORD: u32 = 256 << 20;
const SIZE_BYTES: usize = 4;

/// A BAM file's inflated bytes, which refuses a record of an absurd size before memory is set aside for it.
///
/// Reads must not reach from a record's size field into the record, nor from a record into the next.
pub(super) struct BoundedRecords<R> {
    inner: bgzf::io::Reader<R>,
    at: At,
}

/// Where in a BAM file a reader is.
enum At {
    Header,
    /// In the size of a record, of which some bytes are read.
    Size([u8; SIZE_BYTES], usize),
    /// In a record of which some bytes are left.
    Record(u32),
}

const RECORD_START: At = At::Size([0; SIZE_BYTES], 0);

impl<R: Read> BoundedRecords<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner: bgzf::io::Reader::new(inner), at: At::Header }
    }

    /// Says that the header is read.
    pub(super) fn start_records(&mut self) {
        self.at = RECORD_START;
    }

    pub(super) fn virtual_position(&self) -> bgzf::VirtualPosition {
        self.inner.virtual_position()
    }

    pub(super) fn get_mut(&mut self) -> &mut R {
        self.inner.get_mut()
    }
}

impl<R: Read + Seek> BoundedRecords<R> {
    /// Goes to the start of a record.
    pub(super) fn seek(&mut self, to: bgzf::VirtualPosition) -> io::Result<()> {
        self.at = RECORD_START;
        self.inner.seek(to).map(drop)
    }
}

impl<R: Read> Read for BoundedRecords<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.at.pass(&buf[..n])?;
        Ok(n)
    }
}

impl At {
    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Header => {}
            Self::Size(size, n) => {
                let end = *n + bytes.len();
                let within = size.get_mut(*n..end).ok_or_else(|| io::Error::other("read past the size of a record"))?;
                within.copy_from_slice(bytes);
                *n = end;
                if end == SIZE_BYTES {
                    *self = Self::after(u32::from_le_bytes(*size))?;
                }
            }
            Self::Record(left) => {
                *left = left.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                if *left == 0 {
                    *self = RECORD_START;
                }
            }
        }
        Ok(())
    }

    fn after(size: u32) -> io::Result<Self> {
        match size {
            0 => Ok(RECORD_START),
            1..=LARGEST_RECORD => Ok(Self::Record(size)),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("expected a record of at most {LARGEST_RECORD} bytes, found {size}"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_however_they_are_read() {
        let mut at = RECORD_START;
        for bytes in [&[3, 0][..], &[0, 0], b"ab", b"c", &[2, 0, 0, 0], b"de", &[1, 0, 0]] {
            at.pass(bytes).unwrap();
        }
        let message = at.pass(&[0x10]).unwrap_err().to_string();
        assert_eq!(message, "expected a record of at most 268435456 bytes, found 268435457");
    }
}
