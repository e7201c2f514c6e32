//! What kind of file of variants an input is, told from its content.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;

use super::error::{VariantError, VariantErrorKind};
use crate::input::{Compression, decompress, is_stdin};

/// Whether records are lines of text or binary.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    Text,
    Bcf,
}

/// An opened input: nothing of it is lost by looking.
pub(super) struct Source {
    pub(super) form: Form,
    pub(super) compression: Compression,
    /// The bytes from the start, decompressed.
    pub(super) reader: Box<dyn BufRead + Send>,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, VariantError> {
        let reading = |source| VariantError::reading(path, source);
        let mut rest: Box<dyn Read + Send> =
            if is_stdin(path) { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(reading)?) };
        let head = read_head(&mut rest).map_err(reading)?;
        let compression = compression(&head);
        let inside = inflate_head(&head, compression).map_err(reading)?;
        let form = form(&inside).map_err(|found| VariantError::new(path, VariantErrorKind::Format { found }))?;
        let whole = decompress(Cursor::new(head).chain(rest), compression);
        Ok(Self { form, compression, reader: Box::new(BufReader::with_capacity(1 << 17, whole)) })
    }
}

fn read_head(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    // A whole block of bgzip at least.
    const HEAD: u64 = 1 << 17;
    let mut head = Vec::new();
    reader.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

fn compression(head: &[u8]) -> Compression {
    const EXTRA_FIELD: u8 = 4;
    match head {
        [0x1f, 0x8b, _, flags, _, _, _, _, _, _, _, _, b'B', b'C', 2, 0, ..] if flags & EXTRA_FIELD != 0 => {
            Compression::Bgzip
        }
        [0x1f, 0x8b, ..] => Compression::Gzip,
        _ => Compression::None,
    }
}

fn inflate_head(head: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
    const LOOKED_AT: u64 = 4096;
    if compression == Compression::None {
        return Ok(head[..head.len().min(LOOKED_AT as usize)].to_vec());
    }
    let mut inside = Vec::new();
    match MultiGzDecoder::new(head).take(LOOKED_AT).read_to_end(&mut inside) {
        Err(error) if inside.is_empty() => Err(error),
        // Damage further on is told when it is reached.
        _ => Ok(inside),
    }
}

fn form(inside: &[u8]) -> Result<Form, &'static str> {
    match inside {
        [b'B', b'C', b'F', 2, 1 | 2, ..] => Ok(Form::Bcf),
        [b'B', b'C', b'F', ..] => Err("a version of BCF other than 2.1 and 2.2"),
        [b'B', b'A', b'M', 1, ..] => Err("BAM"),
        [b'C', b'R', b'A', b'M', ..] => Err("CRAM"),
        [b'>', ..] => Err("FASTA"),
        _ if inside.contains(&0) => Err("binary data"),
        _ => Ok(Form::Text),
    }
}
