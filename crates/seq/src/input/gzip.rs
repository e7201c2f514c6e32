//! Decompression of gzip and bgzip streams.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::Compression;

/// The empty block that ends every bgzip file.
pub(crate) const BGZIP_END: [u8; 28] = [
    0x1f, 0x8b, 0x08, 0x04, 0, 0, 0, 0, 0, 0xff, 0x06, 0, 0x42, 0x43, 0x02, 0, 0x1b, 0, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Whether gzip bytes start with a bgzip block: an extra field `BC` of two bytes comes first.
pub(super) fn is_bgzip(head: &[u8]) -> bool {
    const EXTRA_FIELD: u8 = 4;
    head.len() >= 18 && head[3] & EXTRA_FIELD != 0 && head[12..16] == [b'B', b'C', 2, 0]
}

/// Undoes the compression of a stream of any number of members. A stream that ends early is an error of the kind
/// `UnexpectedEof`, also when a bgzip stream is cut between two blocks.
pub(crate) fn decompress(reader: impl Read + Send + 'static, compression: Compression) -> Box<dyn Read + Send> {
    const CAPACITY: usize = 1 << 16;
    match compression {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(CAPACITY, reader))),
        Compression::Bgzip => {
            let reader = EndMarked { inner: reader, tail: Vec::new() };
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(CAPACITY, reader)))
        }
    }
}

/// A bgzip stream that must end with [`BGZIP_END`].
struct EndMarked<R> {
    inner: R,
    tail: Vec<u8>,
}

impl<R: Read> Read for EndMarked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        if n == 0 && !buf.is_empty() && self.tail != BGZIP_END {
            let message = "the block that ends a bgzip file is missing";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        self.tail.extend_from_slice(&buf[n.saturating_sub(BGZIP_END.len())..n]);
        let surplus = self.tail.len().saturating_sub(BGZIP_END.len());
        self.tail.drain(..surplus);
        Ok(n)
    }
}
