//! How a text is compressed, told from its first bytes, and the text inside.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::{
    Compression,
    bgzf_end::{Tail, without_end},
};

const CAPACITY: usize = 1 << 16;

/// How a stream that starts like this is compressed.
pub(super) fn compression(head: &[u8]) -> Compression {
    const MAGIC: [u8; 2] = [0x1f, 0x8b];
    match head.starts_with(&MAGIC) {
        true if is_bgzip(head) => Compression::Bgzip,
        true => Compression::Gzip,
        false => Compression::None,
    }
}

/// Whether gzip bytes start with a bgzip block: an extra field `BC` of two bytes comes first.
fn is_bgzip(head: &[u8]) -> bool {
    const EXTRA_FIELD: u8 = 4;
    head.len() >= 18 && head[3] & EXTRA_FIELD != 0 && head[12..16] == [b'B', b'C', 2, 0]
}

/// Undoes whatever compression a stream turns out to have.
pub(crate) fn decompress_any(reader: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    let mut reader = BufReader::with_capacity(CAPACITY, reader);
    let compression = compression(reader.fill_buf()?);
    Ok(match compression {
        Compression::None => Box::new(reader),
        _ => Box::new(BufReader::with_capacity(CAPACITY, decompress(reader, compression))),
    })
}

/// Undoes the compression of a stream of any number of members. A stream that ends early is an error of the kind
/// `UnexpectedEof`, also when a bgzip stream is cut between two blocks.
pub(crate) fn decompress(reader: impl Read + Send + 'static, compression: Compression) -> Box<dyn Read + Send> {
    match compression {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(CAPACITY, reader))),
        Compression::Bgzip => {
            let reader = EndMarked(Tail::new(reader));
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(CAPACITY, reader)))
        }
    }
}

/// A bgzip stream that must end with its last block.
struct EndMarked<R>(Tail<R>);

impl<R: Read> Read for EndMarked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buf)?;
        if n == 0 && !buf.is_empty() && !self.0.is_end() { Err(without_end()) } else { Ok(n) }
    }
}
