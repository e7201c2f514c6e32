//! The records of a text or a BCF file, one after another.

use std::io::{self, BufRead, Read};

use super::{
    VariantHeader, VariantRecord,
    bcf::{self, Dictionary},
    error::{Place, RecordError},
    header::{self, ReadHeaderError},
    lines::{LONGEST, read_line},
    sniff::Form,
};

/// A reader that stands behind a header.
pub(super) struct Records<R> {
    pub(super) reader: R,
    decoder: Decoder,
    /// Lines or records that were read, those of the header among the lines.
    read_count: u64,
}

enum Decoder {
    Text,
    Bcf { dictionary: Box<Dictionary>, shared: Vec<u8>, individual: Vec<u8> },
}

/// Why a record cannot be read.
pub(super) enum ReadError {
    Io(io::Error),
    Record(RecordError),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<R: BufRead> Records<R> {
    /// Reads the header.
    pub(super) fn open(mut reader: R, form: Form) -> Result<(Self, VariantHeader), ReadHeaderError> {
        match form {
            Form::Text => {
                let (header, read_count) = header::read(&mut reader)?;
                Ok((Self { reader, decoder: Decoder::Text, read_count }, header))
            }
            Form::Bcf => {
                let (header, dictionary) = bcf::read_header(&mut reader)?;
                let decoder =
                    Decoder::Bcf { dictionary: Box::new(dictionary), shared: Vec::new(), individual: Vec::new() };
                Ok((Self { reader, decoder, read_count: 0 }, header))
            }
        }
    }

    /// The numbers of the names in a BCF file.
    pub(super) fn dictionary(&self) -> Option<&Dictionary> {
        match &self.decoder {
            Decoder::Text => None,
            Decoder::Bcf { dictionary, .. } => Some(dictionary),
        }
    }

    /// The next record; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<VariantRecord>, ReadError> {
        let mut line = Vec::new();
        if !self.next_line(&mut line)? {
            return Ok(None);
        }
        VariantRecord::parse(line, self.place()).map(Some).map_err(ReadError::Record)
    }

    /// Passes the next record without reading what is in it. Says whether there was one.
    pub(super) fn skip(&mut self, line: &mut Vec<u8>) -> Result<bool, ReadError> {
        match &mut self.decoder {
            Decoder::Text => self.next_line(line),
            Decoder::Bcf { shared, individual, .. } => Ok(read_parts(&mut self.reader, shared, individual)?),
        }
    }

    /// Where in the file the record stands that was read last.
    pub(super) fn place(&self) -> Place {
        match self.decoder {
            Decoder::Text => Place::Line(self.read_count),
            Decoder::Bcf { .. } => Place::Record(self.read_count),
        }
    }

    fn next_line(&mut self, line: &mut Vec<u8>) -> Result<bool, ReadError> {
        match &mut self.decoder {
            Decoder::Text => loop {
                if !read_line(&mut self.reader, line)? {
                    return Ok(false);
                }
                self.read_count += 1;
                if !line.is_empty() {
                    return Ok(true);
                }
            },
            Decoder::Bcf { dictionary, shared, individual } => {
                if !read_parts(&mut self.reader, shared, individual)? {
                    return Ok(false);
                }
                self.read_count += 1;
                let decoded = bcf::decode(shared, individual, dictionary, line);
                let place = Place::Record(self.read_count);
                decoded.map_err(|e| ReadError::Record(RecordError::new(place, e.expected, e.found)))?;
                Ok(true)
            }
        }
    }
}

/// Reads the two parts of a record of BCF. Says whether there was one.
fn read_parts(reader: &mut impl BufRead, shared: &mut Vec<u8>, individual: &mut Vec<u8>) -> io::Result<bool> {
    if reader.fill_buf()?.is_empty() {
        return Ok(false);
    }
    let mut lengths = [[0; 4]; 2];
    for length in &mut lengths {
        reader.read_exact(length)?;
    }
    let [shared_length, individual_length] = lengths.map(|length| u64::from(u32::from_le_bytes(length)));
    read_part(reader, shared_length, shared)?;
    read_part(reader, individual_length, individual)?;
    Ok(true)
}

fn read_part(reader: &mut impl BufRead, length: u64, part: &mut Vec<u8>) -> io::Result<()> {
    if length > LONGEST {
        let message = format!("expected a record of at most {LONGEST} bytes, found {length}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    part.clear();
    let n = reader.by_ref().take(length).read_to_end(part)?;
    if n as u64 == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
