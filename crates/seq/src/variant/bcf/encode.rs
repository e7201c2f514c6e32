//! From a line of text to a binary record.

mod samples;

use super::{
    super::{VariantRecord, error::shown, info, lines::LONGEST},
    Dictionary, Kind, Mismatch, Value,
    dictionary::Declared,
    values::{integer_kind, put_float, put_integer, put_number, put_shape, put_text},
};

/// Turns lines into records.
#[derive(Debug)]
pub(in super::super) struct Encoder {
    dictionary: Dictionary,
    shared: Vec<u8>,
    individual: Vec<u8>,
}

impl Encoder {
    pub(in super::super) fn new(dictionary: Dictionary) -> Self {
        Self { dictionary, shared: Vec::new(), individual: Vec::new() }
    }

    /// Appends to `bytes` the record of a line that `record` was read from, its INFO added to.
    pub(in super::super) fn encode(
        &mut self,
        record: &VariantRecord,
        line: &[u8],
        bytes: &mut Vec<u8>,
    ) -> Result<(), Mismatch> {
        let columns: Vec<&[u8]> = line.split(|&b| b == b'\t').collect();
        let [_, _, id, reference, alternates, qual, filter, info, samples @ ..] = columns.as_slice() else {
            return Err(Mismatch::new("at least 8 columns", columns.len().to_string()));
        };
        self.individual.clear();
        let format_count = samples::put(samples, &self.dictionary, &mut self.individual)?;
        self.shared.clear();
        let alternates = if *alternates == b"." { Vec::new() } else { alternates.split(|&b| b == b',').collect() };
        let counts = Counts { alleles: 1 + alternates.len(), info: info::fields(info).count(), formats: format_count };
        self.put_fixed(record, qual, &counts)?;
        put_text(&mut self.shared, if *id == b"." { b"" } else { id });
        put_text(&mut self.shared, reference);
        alternates.iter().for_each(|allele| put_text(&mut self.shared, allele));
        self.put_filters(filter)?;
        info::fields(info).try_for_each(|field| self.put_info(field))?;
        for part in [&self.shared, &self.individual] {
            let n = u32::try_from(part.len()).ok().filter(|&n| u64::from(n) <= LONGEST);
            let n = n.ok_or_else(|| Mismatch::new("a record that BCF can hold", format!("{} bytes", part.len())))?;
            bytes.extend_from_slice(&n.to_le_bytes());
        }
        bytes.extend_from_slice(&self.shared);
        bytes.extend_from_slice(&self.individual);
        Ok(())
    }

    fn put_fixed(&mut self, record: &VariantRecord, qual: &[u8], counts: &Counts) -> Result<(), Mismatch> {
        let contig = self.dictionary.contig(record.contig()).ok_or_else(|| {
            Mismatch::new("a contig that the header declares, which BCF needs", format!("{:?}", record.contig()))
        })?;
        let past = |_| Mismatch::new("a position that BCF can hold", format!("{}", record.position()));
        let position = i32::try_from(record.position()).map_err(past)?;
        let span = i32::try_from(record.span()).map_err(past)?;
        for field in [contig as i32, position - 1, span] {
            self.shared.extend_from_slice(&field.to_le_bytes());
        }
        put_float(&mut self.shared, float(qual, "QUAL")?);
        let alleles = at_most(u16::MAX.into(), "alleles, REF among them", counts.alleles)?;
        let info = at_most(u16::MAX.into(), "INFO fields", counts.info)?;
        let formats = at_most(u8::MAX.into(), "FORMAT keys", counts.formats)?;
        let samples = at_most((1 << 24) - 1, "samples", self.dictionary.sample_count)?;
        self.shared.extend_from_slice(&(alleles << 16 | info).to_le_bytes());
        self.shared.extend_from_slice(&(formats << 24 | samples).to_le_bytes());
        Ok(())
    }

    fn put_filters(&mut self, filter: &[u8]) -> Result<(), Mismatch> {
        let names = filter.split(|&b| b == b';').filter(|name| !matches!(*name, b"." | b""));
        let number = |name: &[u8]| {
            let number = std::str::from_utf8(name).ok().and_then(|name| self.dictionary.strings.number(name));
            number.map(|number| number as i32).ok_or_else(|| undeclared("FILTER", name))
        };
        let numbers: Vec<i32> = names.map(number).collect::<Result<_, _>>()?;
        let kind = integer_kind(numbers.iter().copied());
        put_shape(&mut self.shared, numbers.len(), if numbers.is_empty() { Kind::Null } else { kind });
        numbers.iter().for_each(|&number| put_integer(&mut self.shared, kind, Value::Some(number)));
        Ok(())
    }

    fn put_info(&mut self, field: &[u8]) -> Result<(), Mismatch> {
        let (key, value) = info::split(field);
        let name = std::str::from_utf8(key).ok();
        let found =
            name.and_then(|name| Some((name, self.dictionary.strings.number(name)?, self.dictionary.info(name)?)));
        let (name, number, declared) = found.ok_or_else(|| undeclared("INFO", key))?;
        put_number(&mut self.shared, number);
        match (declared, value) {
            (Declared::Flag, _) | (_, None | Some(b"")) => put_shape(&mut self.shared, 0, Kind::Null),
            (Declared::Text, Some(value)) => put_text(&mut self.shared, value),
            (Declared::Integer, Some(value)) => {
                let values: Vec<_> = each(value).map(|value| integer(value, name)).collect::<Result<_, _>>()?;
                put_integers(&mut self.shared, &values);
            }
            (Declared::Float, Some(value)) => {
                let values: Vec<_> = each(value).map(|value| float(value, name)).collect::<Result<_, _>>()?;
                put_shape(&mut self.shared, values.len(), Kind::Float);
                values.into_iter().for_each(|value| put_float(&mut self.shared, value));
            }
        }
        Ok(())
    }
}

struct Counts {
    alleles: usize,
    info: usize,
    formats: usize,
}

/// A count, unless it is more than the field for it holds.
fn at_most(most: u32, what: &str, count: usize) -> Result<u32, Mismatch> {
    let held = u32::try_from(count).ok().filter(|&count| count <= most);
    held.ok_or_else(|| Mismatch::new(format!("at most {most} {what}, as BCF holds"), count.to_string()))
}

fn undeclared(what: &str, name: &[u8]) -> Mismatch {
    Mismatch::new(format!("a {what} that the header declares, which BCF needs"), shown(name))
}

fn each(values: &[u8]) -> impl Iterator<Item = &[u8]> {
    values.split(|&b| b == b',')
}

fn put_integers(bytes: &mut Vec<u8>, values: &[Value<i32>]) {
    let kind = kind_of(values);
    put_shape(bytes, values.len(), kind);
    values.iter().for_each(|&value| put_integer(bytes, kind, value));
}

/// The type that holds all values that are there.
fn kind_of(values: &[Value<i32>]) -> Kind {
    integer_kind(values.iter().filter_map(|value| match value {
        Value::Some(value) => Some(*value),
        Value::Missing | Value::End => None,
    }))
}

fn integer(text: &[u8], key: &str) -> Result<Value<i32>, Mismatch> {
    const RESERVED: i32 = 8;
    let value = || std::str::from_utf8(text).ok()?.parse().ok().filter(|&value: &i32| value >= i32::MIN + RESERVED);
    match text {
        b"." => Ok(Value::Missing),
        _ => value().map(Value::Some).ok_or_else(|| Mismatch::new(format!("a 32-bit integer in {key}"), shown(text))),
    }
}

fn float(text: &[u8], key: &str) -> Result<Value<f32>, Mismatch> {
    let value = || std::str::from_utf8(text).ok()?.parse().ok();
    match text {
        b"." => Ok(Value::Missing),
        _ => value().map(Value::Some).ok_or_else(|| Mismatch::new(format!("a number in {key}"), shown(text))),
    }
}
