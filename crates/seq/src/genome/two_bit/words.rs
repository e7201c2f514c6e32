//! The numbers of a 2bit file, in its byte order.

use std::{
    io::{self, BufReader},
    path::PathBuf,
};

use super::*;

const SIGNATURE: u32 = 0x1a41_2743;

pub(super) struct Words {
    path: PathBuf,
    file: BufReader<File>,
    length: u64,
    is_big_endian: bool,
    record: Option<String>,
}

impl Words {
    /// Opens a file and reads its signature.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let io_error = |source| Error::Io { path: path.into(), source };
        let file = File::open(path).map_err(io_error)?;
        let length = file.metadata().map_err(io_error)?.len();
        let file = BufReader::new(file);
        let mut words = Self { path: path.into(), file, length, is_big_endian: false, record: None };
        words.is_big_endian = words.read()? == SIGNATURE.swap_bytes();
        Ok(words)
    }

    /// Goes to a record, which errors name from then on.
    pub(super) fn enter(&mut self, record: &str, offset: u64) -> Result<(), Error> {
        self.record = Some(record.into());
        self.file.seek(SeekFrom::Start(offset)).map(drop).map_err(|source| self.io_error(source))
    }

    pub(super) fn position(&mut self) -> Result<u64, Error> {
        self.file.stream_position().map_err(|source| self.io_error(source))
    }

    pub(super) fn read(&mut self) -> Result<u32, Error> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(self.word(bytes))
    }

    pub(super) fn read_many(&mut self, count: u32) -> Result<Vec<u32>, Error> {
        let mut bytes = self.sized(u64::from(count) * 4)?;
        self.fill(&mut bytes)?;
        let words = bytes.as_chunks::<4>().0;
        Ok(words.iter().map(|&bytes| self.word(bytes)).collect())
    }

    pub(super) fn read_name(&mut self) -> Result<String, Error> {
        let mut length = [0];
        self.fill(&mut length)?;
        let mut name = vec![0; length[0].into()];
        self.fill(&mut name)?;
        String::from_utf8(name).map_err(|_| self.error(TwoBitErrorKind::NameNotUtf8))
    }

    pub(super) fn read_bytes(&mut self, offset: u64, count: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = self.sized(count)?;
        self.seek_near(offset).map_err(|source| self.io_error(source))?;
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn error(&self, kind: TwoBitErrorKind) -> Error {
        TwoBitError { path: self.path.clone(), record: self.record.clone(), kind }.into()
    }

    /// Keeps what is buffered when the offset lies in it.
    fn seek_near(&mut self, offset: u64) -> io::Result<()> {
        let position = self.file.stream_position()?;
        self.file.seek_relative(offset as i64 - position as i64)
    }

    /// Room for bytes of the file; a count that the file cannot have is refused before memory is taken.
    fn sized(&self, count: u64) -> Result<Vec<u8>, Error> {
        match usize::try_from(count) {
            Ok(room) if count <= self.length => Ok(vec![0; room]),
            _ => Err(self.error(TwoBitErrorKind::Truncated)),
        }
    }

    fn word(&self, bytes: [u8; 4]) -> u32 {
        if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact(bytes).map_err(|source| self.io_error(source))
    }

    fn io_error(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => self.error(TwoBitErrorKind::Truncated),
            _ => Error::Io { path: self.path.clone(), source },
        }
    }
}
