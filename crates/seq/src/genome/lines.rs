//! Text in pieces of lines, in constant memory.

use std::{
    io::{self, Read},
    ops::Range,
};

use memchr::memchr;

const CAPACITY: usize = 1 << 18;

/// Splits text into pieces that never cross a line's end, however long the line is.
pub(super) struct Lines {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Where `start` lies in the text.
    offset: u64,
    line: u64,
    at_line_start: bool,
    at_end: bool,
}

/// A part of a line, without its line end.
pub(super) struct Piece {
    /// Where its bytes lie in the buffer.
    pub(super) range: Range<usize>,
    /// Where its first byte lies in the text.
    pub(super) offset: u64,
    /// Its line, 1-based.
    pub(super) line: u64,
}

impl Lines {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self {
            reader,
            buffer: vec![0; CAPACITY],
            start: 0,
            end: 0,
            offset: 0,
            line: 1,
            at_line_start: true,
            at_end: false,
        }
    }

    /// Where the next byte lies in the text.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The line of the next byte, 1-based.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn bytes(&self, piece: &Piece) -> &[u8] {
        &self.buffer[piece.range.clone()]
    }

    /// The next byte when it starts a line.
    pub(super) fn line_start(&mut self) -> io::Result<Option<u8>> {
        if !self.at_line_start || (self.start == self.end && !self.fill()?) {
            return Ok(None);
        }
        Ok(Some(self.buffer[self.start]))
    }

    /// The next piece of at most `max` bytes; `None` at the end of the text. A piece may be empty.
    pub(super) fn next_piece(&mut self, max: usize) -> io::Result<Option<Piece>> {
        loop {
            let available = &self.buffer[self.start..self.end];
            let (content, line_end) = match memchr(b'\n', available) {
                Some(newline) => (without_return(&available[..newline]).len(), newline + 1),
                // A carriage return here may turn out to belong to a line end: it waits for the next byte.
                None => (without_return(available).len(), 0),
            };
            if content == 0 && line_end == 0 {
                if self.at_end || !self.fill()? {
                    return Ok(self.finish());
                }
                continue;
            }
            return Ok(Some(self.take(content, line_end, max)));
        }
    }

    /// Reads the rest of the line, without its line end, onto `out`; `false` when it has more than `max` bytes.
    pub(super) fn read_line(&mut self, max: usize, out: &mut Vec<u8>) -> io::Result<bool> {
        let (line, from) = (self.line, out.len());
        while self.line == line && out.len() - from <= max {
            match self.next_piece(usize::MAX)? {
                Some(piece) => out.extend_from_slice(&self.buffer[piece.range]),
                None => break,
            }
        }
        Ok(out.len() - from <= max)
    }

    fn take(&mut self, content: usize, line_end: usize, max: usize) -> Piece {
        let n = content.min(max);
        let piece = Piece { range: self.start..self.start + n, offset: self.offset, line: self.line };
        let ends_line = n == content && line_end > 0;
        self.advance(if ends_line { line_end } else { n });
        self.line += u64::from(ends_line);
        self.at_line_start = ends_line;
        piece
    }

    fn advance(&mut self, n: usize) {
        self.start += n;
        self.offset += n as u64;
    }

    /// Drops a lone carriage return that ends the text.
    fn finish(&mut self) -> Option<Piece> {
        self.advance(self.end - self.start);
        None
    }

    /// Reads more behind what is left. `false` at the end of the text.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let n = loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.end += n;
        self.at_end = n == 0;
        Ok(n > 0)
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
