use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use crate::input::{Tail, has_bgzf_end};

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
            Self::Stream(tail) => Ok(tail.is_end()),
            Self::File(file) => has_bgzf_end(file),
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
