use std::io::{self, Read, Write};

use super::{
    super::{
        HeaderError, VariantHeader,
        error::shown,
        header::{self, ReadHeaderError},
        lines::LONGEST,
    },
    Dictionary,
};

/// What 24 bits of a record tell the number of.
const MOST_SAMPLES: usize = (1 << 24) - 1;

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

/// Writes the start of a file up to its first record, with a header as [`for_bcf`] makes it.
pub(in super::super) fn write_header(header: &VariantHeader, writer: &mut impl Write) -> io::Result<()> {
    let mut text = header.to_bytes();
    text.push(0);
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    writer.write_all(b"BCF\x02\x02")?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(&text)
}

/// Takes the numbers out of the lines, which are then numbered by their order.
fn without_idx(header: &VariantHeader) -> VariantHeader {
    header.map_lines(|meta| meta.get("IDX").map(|_| meta.without(&["IDX"])))
}

/// The header as BCF is to have it: without numbers, and without lengths of contigs that are none.
///
/// HTSlib does not number a contig whose length is negative or not a number, and so takes one contig for another.
///
/// # Errors
///
/// - the header has what BCF cannot hold
pub(in super::super) fn for_bcf(header: &VariantHeader) -> Result<VariantHeader, HeaderError> {
    let header = without_idx(header).map_lines(|meta| {
        let length = meta.get("length").filter(|_| meta.key == "contig")?;
        let is_length = length.parse::<i64>().is_ok_and(|length| length >= 0);
        (!is_length).then(|| meta.without(&["length"]))
    });
    check(&header)?;
    Ok(header)
}

fn check(header: &VariantHeader) -> Result<(), HeaderError> {
    let mut bytes = 0;
    for (number, line) in (1..).zip(header.meta_lines().chain([header.columns()])) {
        bytes += line.len() as u64 + 1;
        let expected = match () {
            () if line.contains(&0) => "a line without zero bytes, which end a header of BCF",
            () if bytes >= LONGEST => "a header of at most 268435456 bytes",
            () => continue,
        };
        return Err(HeaderError { line: number, expected, found: shown(line) });
    }
    if header.sample_count() > MOST_SAMPLES {
        let expected = "at most 16777215 samples, as many as BCF can hold";
        let line = header.meta_lines().count() as u64 + 1;
        return Err(HeaderError { line, expected, found: header.sample_count().to_string() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str], columns: Vec<u8>) -> Result<String, String> {
        let meta = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        let header = for_bcf(&VariantHeader::new(meta, columns)).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(header.to_bytes()).unwrap())
    }

    #[test]
    fn numbers_and_lengths_that_are_none_are_left_out() {
        let lines = [
            "##contig=<ID=a,length=-1>",
            "##contig=<ID=b,length=5,IDX=7>",
            "##contig=<ID=c,length=?,species=\"x, y\">",
            "##contig=<ID=d,length=0>",
            "##other=<ID=e,length=-1>",
        ];
        let expected = [
            "##contig=<ID=a>",
            "##contig=<ID=b,length=5>",
            "##contig=<ID=c,species=\"x, y\">",
            "##contig=<ID=d,length=0>",
            "##other=<ID=e,length=-1>",
            "#CHROM",
        ];
        assert_eq!(of(&lines, b"#CHROM".to_vec()).unwrap(), expected.join("\n") + "\n");
    }

    #[test]
    fn what_bcf_cannot_hold_is_told() {
        let told = of(&["##fileformat=VCFv4.2", "##a=\0b"], b"#CHROM".to_vec()).unwrap_err();
        assert_eq!(
            told,
            "line 2 of the header: expected a line without zero bytes, which end a header of BCF, found \"##a=\\0b\""
        );
        let told = of(&["##fileformat=VCFv4.2"], vec![b'\t'; MOST_SAMPLES + 9]).unwrap_err();
        let expected =
            "line 2 of the header: expected at most 16777215 samples, as many as BCF can hold, found 16777216";
        assert_eq!(told, expected);
        assert!(of(&["##fileformat=VCFv4.2"], vec![b'\t'; MOST_SAMPLES + 8]).is_ok());
    }
}
