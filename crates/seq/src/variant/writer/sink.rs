//! Bytes on their way to a file, compressed or not.

use std::io::{self, BufWriter, Write};

use crate::bgzip::BgzipWriter;

type Raw = Box<dyn Write + Send>;

pub(super) enum Sink {
    Plain(BufWriter<Raw>),
    Bgzip(BgzipWriter<Raw>),
}

impl Sink {
    pub(super) fn plain(raw: Raw) -> Self {
        Self::Plain(BufWriter::with_capacity(1 << 17, raw))
    }

    pub(super) fn bgzip(raw: Raw) -> Self {
        Self::Bgzip(BgzipWriter::new(raw))
    }

    /// Where in a bgzip file the next byte goes; 0 in any other.
    pub(super) fn virtual_offset(&self) -> u64 {
        match self {
            Self::Plain(_) => 0,
            Self::Bgzip(writer) => writer.virtual_offset(),
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut writer) => writer.flush(),
            Self::Bgzip(writer) => writer.finish(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(writer) => writer.write(bytes),
            Self::Bgzip(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(writer) => writer.flush(),
            Self::Bgzip(writer) => writer.flush(),
        }
    }
}
