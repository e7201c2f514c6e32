//! Lines of text on their way to a file, plain or bgzip, or to a stream.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use longstrand_seq::bgzip::BgzipWriter;

use crate::error::TableError;
use crate::options::Existing;
use crate::whole_file::{self, NewFile};

const BUFFER_BYTES: usize = 64 << 10;

/// A text file that takes its name when it is whole, or a stream.
///
/// ```
/// use std::io::Write;
///
/// use longstrand_table::{Existing, TextFile};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("drawn.fa");
/// let mut file = TextFile::create(&path, Existing::Refuse)?;
/// file.write_all(b">a\nACGT\n")?;
/// assert!(!path.exists());
/// assert_eq!(file.finish()?, 8);
/// # Ok(())
/// # }
/// ```
pub struct TextFile {
    /// The path, or what a stream is called in messages.
    name: PathBuf,
    sink: Sink,
    file: Option<NewFile>,
    bytes: u64,
}

type Buffered = BufWriter<Box<dyn Write + Send>>;

enum Sink {
    Plain(Buffered),
    Bgzip(BgzipWriter<Buffered>),
}

impl TextFile {
    /// Begins a file, bgzip if its name ends in `.gz`.
    ///
    /// # Errors
    ///
    /// - the file exists and is not to be replaced, or its folder is missing or cannot be written to
    pub fn create(path: &Path, existing: Existing) -> Result<Self, TableError> {
        let file = whole_file::create(path, existing)?;
        let plain = buffered(file.handle()?);
        let sink = match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(OsStr::new("gz"))) {
            true => Sink::Bgzip(BgzipWriter::new(plain)),
            false => Sink::Plain(plain),
        };
        Ok(Self { name: path.to_path_buf(), sink, file: Some(file), bytes: 0 })
    }

    /// Writes to a stream, which messages call `name`.
    pub(crate) fn stream(stream: impl Write + Send + 'static, name: &str) -> Self {
        Self { name: name.into(), sink: Sink::Plain(buffered(stream)), file: None, bytes: 0 }
    }

    /// Writes to standard output.
    pub fn stdout() -> Self {
        Self::stream(io::stdout(), "standard output")
    }

    /// Appends text.
    ///
    /// # Errors
    ///
    /// - it cannot be written
    pub(crate) fn append(&mut self, text: &[u8]) -> Result<(), TableError> {
        self.write_all(text).map_err(TableError::io("write", &self.name))
    }

    /// Writes out what waits and gives a file its name. Returns the bytes of the file, or those sent to the stream.
    ///
    /// # Errors
    ///
    /// - it cannot be written, or the file cannot take its name: another has it by now, and is not to be replaced
    pub fn finish(self) -> Result<u64, TableError> {
        self.sink.close().map_err(TableError::io("write", &self.name))?;
        self.file.map_or(Ok(self.bytes), NewFile::seal)
    }
}

impl Write for TextFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.sink {
            Sink::Plain(sink) => sink.write(bytes),
            Sink::Bgzip(sink) => sink.write(bytes),
        }?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Plain(sink) => sink.flush(),
            Sink::Bgzip(sink) => sink.flush(),
        }
    }
}

impl Sink {
    fn close(self) -> io::Result<()> {
        match self {
            Self::Plain(mut sink) => sink.flush(),
            Self::Bgzip(sink) => sink.finish(),
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
    file.append(text.as_bytes())?;
    file.finish().map(|_| ())
}
