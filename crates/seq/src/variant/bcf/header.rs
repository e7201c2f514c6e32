use std::io::{self, Read, Write};

use super::{
    super::{
        VariantHeader,
        header::{self, MetaLine, ReadHeaderError},
        lines::LONGEST,
    },
    Dictionary,
};

/// Reads the start of a file up to its first record.
pub(in super::super) fn read_header(reader: &mut impl Read) -> Result<(VariantHeader, Dictionary), ReadHeaderError> {
    let text = read_text(reader).map_err(ReadHeaderError::Io)?;
    let text = text.split(|&b| b == 0).next().unwrap_or_default();
    let (header, _) = header::read(&mut &text[..])?;
    let dictionary = Dictionary::new(&header);
    Ok((without_idx(&header), dictionary))
}

fn read_text(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = [0; 9];
    reader.read_exact(&mut start)?;
    let [_, _, _, _, _, length @ ..] = start;
    let length = u64::from(u32::from_le_bytes(length));
    if length > LONGEST {
        let message = format!("expected a header of at most {LONGEST} bytes, found {length}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut text = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut text)?;
    if text.len() as u64 == length { Ok(text) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Writes the start of a file up to its first record.
pub(in super::super) fn write_header(header: &VariantHeader, writer: &mut impl Write) -> io::Result<()> {
    let mut text = without_idx(header).to_bytes();
    text.push(0);
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    writer.write_all(b"BCF\x02\x02")?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(&text)
}

/// Takes the numbers out of the lines, which are then numbered by their order.
pub(in super::super) fn without_idx(header: &VariantHeader) -> VariantHeader {
    let meta = header.meta_lines().map(|line| {
        let text = String::from_utf8_lossy(line);
        match MetaLine::parse(&text) {
            Some(meta) if meta.get("IDX").is_some() => meta.without_idx().into_bytes(),
            _ => line.to_vec(),
        }
    });
    VariantHeader::new(meta.collect(), header.columns().to_vec())
}
