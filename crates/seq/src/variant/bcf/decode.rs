//! From a binary record to its line of text.

use super::{
    Dictionary, Kind, MISSING_FLOAT, Mismatch, Value,
    dictionary::{Declared, Names},
    values::{Bytes, marked, write_float, write_text, write_vector},
};

/// The numbers that a record starts with.
struct Fixed {
    info_count: usize,
    allele_count: usize,
    format_count: usize,
    sample_count: usize,
    qual: u32,
}

/// Writes a record as a line, without a line end.
pub(in super::super) fn decode(
    shared: &[u8],
    individual: &[u8],
    dictionary: &Dictionary,
    line: &mut Vec<u8>,
) -> Result<(), Mismatch> {
    line.clear();
    let mut shared = Bytes(shared);
    let fixed = read_fixed(&mut shared, dictionary, line)?;
    write_alleles(&mut shared, fixed.allele_count, line)?;
    line.push(b'\t');
    match fixed.qual {
        MISSING_FLOAT => line.push(b'.'),
        bits => write_float(f32::from_bits(bits), line),
    }
    line.push(b'\t');
    write_filters(&mut shared, dictionary, line)?;
    line.push(b'\t');
    write_info(&mut shared, fixed.info_count, dictionary, line)?;
    if dictionary.sample_count > 0 {
        if fixed.sample_count != dictionary.sample_count && fixed.format_count > 0 {
            let expected = format!("{} samples", dictionary.sample_count);
            return Err(Mismatch::new(expected, fixed.sample_count.to_string()));
        }
        write_samples(&mut Bytes(individual), fixed.format_count, dictionary, line)?;
    }
    Ok(())
}

/// Reads the numbers; writes the contig and the position.
fn read_fixed(shared: &mut Bytes<'_>, dictionary: &Dictionary, line: &mut Vec<u8>) -> Result<Fixed, Mismatch> {
    let contig = shared.u32()? as usize;
    let start = shared.i32()?;
    let _span = shared.i32()?;
    let qual = shared.u32()?;
    let (alleles_and_info, formats_and_samples) = (shared.u32()?, shared.u32()?);
    line.extend_from_slice(name(&dictionary.contigs, contig, "contig")?.as_bytes());
    if start < -1 {
        return Err(Mismatch::new("a position from -1, 0-based", start.to_string()));
    }
    line.extend_from_slice(format!("\t{}\t", i64::from(start) + 1).as_bytes());
    Ok(Fixed {
        info_count: (alleles_and_info & 0xffff) as usize,
        allele_count: (alleles_and_info >> 16) as usize,
        format_count: (formats_and_samples >> 24) as usize,
        sample_count: (formats_and_samples & 0xff_ffff) as usize,
        qual,
    })
}

fn name<'a>(names: &'a Names, number: usize, what: &str) -> Result<&'a str, Mismatch> {
    names.name(number).ok_or_else(|| Mismatch::new(format!("a {what} of the header"), format!("number {number}")))
}

/// Writes ID, REF and ALT.
fn write_alleles(shared: &mut Bytes<'_>, allele_count: usize, line: &mut Vec<u8>) -> Result<(), Mismatch> {
    write_column(shared, line)?;
    for i in 0..allele_count.max(2) {
        line.push(if i < 2 { b'\t' } else { b',' });
        if i < allele_count { write_column(shared, line)? } else { line.push(b'.') }
    }
    Ok(())
}

fn write_column(shared: &mut Bytes<'_>, line: &mut Vec<u8>) -> Result<(), Mismatch> {
    match shared.vector()? {
        (_, kind @ (Kind::Text | Kind::Null), text) => write_vector(kind, text, line),
        (_, kind, _) => Err(Mismatch::new("text", format!("values of type {kind:?}"))),
    }
}

fn write_filters(shared: &mut Bytes<'_>, dictionary: &Dictionary, line: &mut Vec<u8>) -> Result<(), Mismatch> {
    let (count, kind, bytes) = shared.vector()?;
    if count == 0 || kind == Kind::Null {
        line.push(b'.');
        return Ok(());
    }
    if matches!(kind, Kind::Float | Kind::Text) {
        return Err(Mismatch::new("numbers of filters", format!("values of type {kind:?}")));
    }
    for (i, number) in bytes.chunks_exact(kind.width()).enumerate() {
        if i > 0 {
            line.push(b';');
        }
        match marked(number) {
            Value::Some(number) => {
                line.extend_from_slice(name(&dictionary.strings, number as usize, "filter")?.as_bytes());
            }
            Value::Missing | Value::End => line.push(b'.'),
        }
    }
    Ok(())
}

fn write_info(
    shared: &mut Bytes<'_>,
    info_count: usize,
    dictionary: &Dictionary,
    line: &mut Vec<u8>,
) -> Result<(), Mismatch> {
    if info_count == 0 {
        line.push(b'.');
    }
    for i in 0..info_count {
        if i > 0 {
            line.push(b';');
        }
        let key = name(&dictionary.strings, shared.number()?, "INFO key")?;
        line.extend_from_slice(key.as_bytes());
        let (count, kind, bytes) = shared.vector()?;
        if count > 0 && kind != Kind::Null && dictionary.info(key) != Some(Declared::Flag) {
            line.push(b'=');
            write_vector(kind, bytes, line)?;
        }
    }
    Ok(())
}

/// The values of one FORMAT key.
struct Column<'a> {
    is_genotype: bool,
    kind: Kind,
    /// Bytes of one sample's values.
    stride: usize,
    bytes: &'a [u8],
}

fn write_samples(
    individual: &mut Bytes<'_>,
    format_count: usize,
    dictionary: &Dictionary,
    line: &mut Vec<u8>,
) -> Result<(), Mismatch> {
    let mut columns = Vec::with_capacity(format_count);
    line.push(b'\t');
    for i in 0..format_count {
        if i > 0 {
            line.push(b':');
        }
        let key = name(&dictionary.strings, individual.number()?, "FORMAT key")?;
        line.extend_from_slice(key.as_bytes());
        columns.push(read_column(individual, key, dictionary.sample_count)?);
    }
    if format_count == 0 {
        line.push(b'.');
    }
    for sample in 0..dictionary.sample_count {
        write_sample(&columns, sample, line)?;
    }
    Ok(())
}

fn read_column<'a>(individual: &mut Bytes<'a>, key: &str, sample_count: usize) -> Result<Column<'a>, Mismatch> {
    let (count, kind) = individual.shape()?;
    let stride = count.saturating_mul(kind.width());
    let bytes = individual.take(stride.saturating_mul(sample_count))?;
    let is_genotype = key == "GT" && matches!(kind, Kind::Int8 | Kind::Int16 | Kind::Int32);
    Ok(Column { is_genotype, kind, stride, bytes })
}

fn write_sample(columns: &[Column<'_>], sample: usize, line: &mut Vec<u8>) -> Result<(), Mismatch> {
    line.push(b'\t');
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            line.push(b':');
        }
        let values = &column.bytes[sample * column.stride..(sample + 1) * column.stride];
        match column {
            Column { is_genotype: true, kind, .. } => write_genotype(*kind, values, line),
            Column { kind: Kind::Text, .. } if values.first().is_some_and(|&b| b != 0) => write_text(values, line)?,
            Column { kind, .. } => write_vector(*kind, values, line)?,
        }
    }
    if columns.is_empty() {
        line.push(b'.');
    }
    Ok(())
}

/// Writes alleles, each stored as (allele + 1) * 2 and one more where it is phased with the one before.
fn write_genotype(kind: Kind, values: &[u8], line: &mut Vec<u8>) {
    let before = line.len();
    for (i, value) in values.chunks_exact(kind.width()).enumerate() {
        let value = match marked(value) {
            Value::Some(value) => value,
            Value::Missing => 0,
            Value::End => break,
        };
        if i > 0 {
            line.push(if value & 1 == 1 { b'|' } else { b'/' });
        }
        match value >> 1 {
            0 => line.push(b'.'),
            allele => line.extend_from_slice((allele - 1).to_string().as_bytes()),
        }
    }
    if line.len() == before {
        line.push(b'.');
    }
}
