use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

/// The empty BGZF block that ends every whole BAM file (SAM specification, section 4.1.2).
const BGZF_END: [u8; 28] = [
    0x1f, 0x8b, 0x08, 0x04, 0, 0, 0, 0, 0, 0xff, 0x06, 0, 0x42, 0x43, 0x02, 0, 0x1b, 0, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// A file, or a stream that cannot go back.
pub(super) enum Source {
    File(BufReader<File>),
    Stream(Tail<Box<dyn Read + Send>>),
}

impl Source {
    pub(super) fn file(file: File) -> Self {
        Self::File(BufReader::with_capacity(1 << 17, file))
    }

    pub(super) fn stream(stream: Box<dyn Read + Send>) -> Self {
        Self::Stream(Tail::new(stream))
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// The size of a file in bytes; a stream's is not known.
    pub(super) fn n_bytes(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.get_ref().metadata()?.len()),
            Self::Stream(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "the size of a stream is not known")),
        }
    }

    /// Whether the last bytes, of a stream those that were read last, are those that end a whole BAM file.
    pub(super) fn has_bgzf_end(&mut self) -> io::Result<bool> {
        match self {
            Self::Stream(tail) => Ok(tail.last == BGZF_END),
            Self::File(file) => {
                let position = file.stream_position()?;
                let end = file.seek(SeekFrom::End(0))?;
                if end < BGZF_END.len() as u64 {
                    return Ok(false);
                }
                file.seek(SeekFrom::Start(end - BGZF_END.len() as u64))?;
                let mut last = [0; BGZF_END.len()];
                file.read_exact(&mut last)?;
                file.seek(SeekFrom::Start(position))?;
                Ok(last == BGZF_END)
            }
        }
    }
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buf),
            Self::Stream(stream) => stream.read(buf),
        }
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Stream(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "a stream cannot be searched")),
        }
    }
}

/// A reader that remembers the last bytes it gave.
pub(super) struct Tail<R> {
    inner: R,
    last: [u8; BGZF_END.len()],
}

impl<R: Read> Tail<R> {
    fn new(inner: R) -> Self {
        Self { inner, last: [0; BGZF_END.len()] }
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
    fn tail_is_kept_whatever_the_size_of_reads() {
        let bytes: Vec<u8> = (0..200).collect();
        for step in [1, 5, 27, 28, 29, 150, 200] {
            let mut tail = Tail::new(Drip(&bytes, step));
            io::copy(&mut tail, &mut io::sink()).unwrap();
            assert_eq!(tail.last, bytes[172..], "{step}");
        }
    }
}
