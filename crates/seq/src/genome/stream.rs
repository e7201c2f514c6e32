//! FASTA from end to end, in constant memory.

mod error;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use memchr::memchr;

pub use error::{FastaError, FastaErrorKind};

use super::{
    base::{first_foreign, is_sequence},
    lines::{Lines, Piece},
};
use crate::{
    contig::ContigError,
    error::Error,
    input::{Input, InputError, InputKind, decompress},
    vocab::Vocabulary,
};

/// Bytes of the longest header or comment that is read.
const LONGEST_LINE: usize = 1 << 20;

/// A FASTA file, plain, gzip or bgzip, or standard input, read once from its start.
///
/// Of what was read it keeps the records' names, to notice one that occurs twice.
pub struct FastaStream {
    path: PathBuf,
    lines: Lines,
    record: Option<String>,
    names: HashSet<String>,
}

impl FastaStream {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    ///
    /// - the file cannot be opened or read
    /// - it is no FASTA
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::from_input(Input::open(path)?)
    }

    /// Takes an input that was opened to see what it is.
    ///
    /// # Errors
    ///
    /// - the input is no FASTA
    pub fn from_input(input: Input) -> Result<Self, Error> {
        let path = input.path().to_path_buf();
        let InputKind::Fasta(compression) = input.kind() else {
            let found = input.kind().to_string();
            return Err(InputError { path, expected: "FASTA", found }.into());
        };
        let lines = Lines::new(decompress(input.into_reader(), compression));
        Ok(Self { path, lines, record: None, names: HashSet::new() })
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Goes to the next record, past what is left of this one, and gives its name: what stands between `>` and the first
    /// space or tab. `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// - the file cannot be read, or is truncated
    /// - it has no record, or something stands before the first
    /// - the sequence that is passed over, or the header, is malformed
    /// - an earlier record has the same name
    pub fn next_contig(&mut self) -> Result<Option<String>, Error> {
        if self.record.is_none() {
            self.skip_to_first_record()?;
        }
        while self.next_bases(usize::MAX)?.is_some() {}
        if self.line_start()?.is_none() {
            return Ok(None);
        }
        let line = self.lines.line();
        let text = self.read_line()?;
        let name = parse_name(&text).map_err(|kind| self.error(line, kind))?;
        if !self.names.insert(name.into()) {
            let source = ContigError::Duplicate { name: name.into() };
            return Err(Error::Contigs { path: self.path.clone(), source });
        }
        self.record = Some(name.into());
        Ok(self.record.clone())
    }

    /// Appends at most `max` bases of the record, in the file's case, and returns how many; 0 at the record's end.
    ///
    /// # Errors
    ///
    /// - the file cannot be read, or is truncated
    /// - a byte is no base
    pub fn read_bases(&mut self, max: usize, out: &mut Vec<u8>) -> Result<usize, Error> {
        let from = out.len();
        while out.len() - from < max && self.record.is_some() {
            let Some(piece) = self.next_bases(max - (out.len() - from))? else { break };
            out.extend_from_slice(self.lines.bytes(&piece));
        }
        Ok(out.len() - from)
    }

    /// Appends the ids of at most `max` bases of the record, and returns how many; 0 at the record's end.
    ///
    /// # Errors
    ///
    /// As [`Self::read_bases`].
    pub fn read_ids(&mut self, vocabulary: &Vocabulary, max: usize, out: &mut Vec<u8>) -> Result<usize, Error> {
        let from = out.len();
        let n = self.read_bases(max, out)?;
        vocabulary.encode_in_place(&mut out[from..]);
        Ok(n)
    }

    /// The next bases of the record, at most `max`, never none; `None` at the record's end.
    pub(super) fn next_bases(&mut self, max: usize) -> Result<Option<Piece>, Error> {
        loop {
            match self.line_start()? {
                Some(b'>') => return Ok(None),
                Some(b';') => drop(self.read_line()?),
                _ => {
                    let piece = self.lines.next_piece(max).map_err(|e| Error::reading(&self.path, e))?;
                    match piece {
                        None => return Ok(None),
                        Some(piece) if piece.range.is_empty() => {}
                        Some(piece) => return self.checked(piece).map(Some),
                    }
                }
            }
        }
    }

    /// Where the next byte lies in the uncompressed file.
    pub(super) fn offset(&self) -> u64 {
        self.lines.offset()
    }

    /// The bases of a piece that [`Self::next_bases`] just gave.
    pub(super) fn bases(&self, piece: &Piece) -> &[u8] {
        self.lines.bytes(piece)
    }

    fn checked(&self, piece: Piece) -> Result<Piece, Error> {
        let bases = self.lines.bytes(&piece);
        if is_sequence(bases) {
            return Ok(piece);
        }
        let byte = first_foreign(bases).map_or(0, |place| bases[place]);
        Err(self.error(piece.line, FastaErrorKind::InvalidBase { byte }))
    }

    fn skip_to_first_record(&mut self) -> Result<(), Error> {
        loop {
            let line = self.lines.line();
            let mut text = Vec::new();
            match self.line_start()? {
                Some(b'>') => return Ok(()),
                None => return Err(self.error(line, FastaErrorKind::NoRecord)),
                Some(b';') => drop(self.read_line()?),
                Some(_) => {
                    // One piece tells what the line is, however long it may be.
                    if let Some(piece) = self.lines.next_piece(64).map_err(|e| Error::reading(&self.path, e))? {
                        text.extend_from_slice(self.lines.bytes(&piece));
                    }
                }
            }
            if !text.trim_ascii().is_empty() {
                return Err(self.error(line, before_first_record(&text)));
            }
        }
    }

    /// A header or a comment.
    fn read_line(&mut self) -> Result<Vec<u8>, Error> {
        let line = self.lines.line();
        let mut text = Vec::new();
        match self.lines.read_line(LONGEST_LINE, &mut text) {
            Ok(true) => Ok(text),
            Ok(false) => Err(self.error(line, FastaErrorKind::TooLong { longest: LONGEST_LINE })),
            Err(error) => Err(Error::reading(&self.path, error)),
        }
    }

    fn line_start(&mut self) -> Result<Option<u8>, Error> {
        self.lines.line_start().map_err(|e| Error::reading(&self.path, e))
    }

    fn error(&self, line: u64, kind: FastaErrorKind) -> Error {
        FastaError { path: self.path.clone(), record: self.record.clone(), line, kind }.into()
    }
}

fn before_first_record(text: &[u8]) -> FastaErrorKind {
    if is_sequence(text) {
        FastaErrorKind::SequenceBeforeHeader
    } else {
        FastaErrorKind::NotFasta { found: String::from_utf8_lossy(text).into_owned() }
    }
}

/// The name in a header; what follows it may be in any encoding.
fn parse_name(line: &[u8]) -> Result<&str, FastaErrorKind> {
    if memchr(b'\r', line).is_some() {
        return Err(FastaErrorKind::CarriageReturn);
    }
    let name = line[1..].split(|byte| b" \t".contains(byte)).next().unwrap_or_default();
    match std::str::from_utf8(name) {
        Ok("") => Err(FastaErrorKind::NoName),
        Ok(name) => Ok(name),
        Err(_) => Err(FastaErrorKind::NameNotUtf8 { found: String::from_utf8_lossy(name).into_owned() }),
    }
}

#[cfg(test)]
mod tests;
