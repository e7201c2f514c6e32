//! Lines of text on their way to a file, plain or gzip, or to a stream.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::TableError;
use crate::options::Existing;
use crate::whole_file::WholeFile;

const BUFFER_BYTES: usize = 64 << 10;

/// A text file that takes its name when it is whole, or a stream.
pub(crate) struct TextFile {
    /// The path, or what a stream is called in messages.
    name: PathBuf,
    sink: Sink,
    file: Option<WholeFile>,
    bytes: u64,
}

type Buffered = BufWriter<Box<dyn Write + Send>>;

enum Sink {
    Plain(Buffered),
    Gzip(Box<GzEncoder<Buffered>>),
}

impl TextFile {
    /// Begins a file, compressed if its name ends in `.gz`.
    pub(crate) fn create(path: &Path, existing: Existing) -> Result<Self, TableError> {
        let file = WholeFile::create(path, existing)?;
        let plain = buffered(file.handle()?);
        let sink = match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(OsStr::new("gz"))) {
            true => Sink::Gzip(Box::new(GzEncoder::new(plain, Compression::default()))),
            false => Sink::Plain(plain),
        };
        Ok(Self { name: path.to_path_buf(), sink, file: Some(file), bytes: 0 })
    }

    /// Writes to a stream, which messages call `name`.
    pub(crate) fn stream(stream: impl Write + Send + 'static, name: &str) -> Self {
        Self { name: name.into(), sink: Sink::Plain(buffered(stream)), file: None, bytes: 0 }
    }

    pub(crate) fn write(&mut self, text: &[u8]) -> Result<(), TableError> {
        self.bytes += text.len() as u64;
        let written = match &mut self.sink {
            Sink::Plain(sink) => sink.write_all(text),
            Sink::Gzip(sink) => sink.write_all(text),
        };
        written.map_err(TableError::io("write", &self.name))
    }

    /// Writes out what waits and gives a file its name. Returns the bytes of the file, or those sent to the stream.
    pub(crate) fn finish(self) -> Result<u64, TableError> {
        self.sink.close().map_err(TableError::io("write", &self.name))?;
        self.file.map_or(Ok(self.bytes), WholeFile::seal)
    }
}

impl Sink {
    fn close(self) -> io::Result<()> {
        match self {
            Self::Plain(mut sink) => sink.flush(),
            Self::Gzip(sink) => sink.finish()?.flush(),
        }
    }
}

impl fmt::Debug for TextFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextFile").field("name", &self.name).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

fn buffered(sink: impl Write + Send + 'static) -> Buffered {
    BufWriter::with_capacity(BUFFER_BYTES, Box::new(sink))
}

/// Writes a text as a whole: to a file that takes its name when it is whole.
///
/// # Errors
///
/// - the file exists and is not to be replaced
/// - it cannot be written
pub fn write_text(path: &Path, text: &str, existing: Existing) -> Result<(), TableError> {
    let mut file = TextFile::create(path, existing)?;
    file.write(text.as_bytes())?;
    file.finish().map(|_| ())
}
