//! The columns FORMAT and of the samples.

use super::{
    super::{
        Dictionary, Kind, Mismatch, Value,
        dictionary::Declared,
        values::{put_float, put_integer, put_number, put_shape},
    },
    each, float, integer, kind_of, undeclared,
};
use crate::variant::{error::shown, lines::LONGEST};

/// Writes the values of all samples, key by key. Returns the number of keys.
pub(super) fn put(columns: &[&[u8]], dictionary: &Dictionary, bytes: &mut Vec<u8>) -> Result<usize, Mismatch> {
    let (format, samples) = columns.split_first().map_or((&b"."[..], &[][..]), |(format, samples)| (*format, samples));
    if samples.len() != dictionary.sample_count {
        return Err(Mismatch::new(format!("{} samples", dictionary.sample_count), samples.len().to_string()));
    }
    if samples.is_empty() || format == b"." {
        return Ok(0);
    }
    let mut fields: Vec<_> = samples.iter().map(|sample| sample.split(|&b| b == b':')).collect();
    let keys: Vec<&[u8]> = format.split(|&b| b == b':').collect();
    for key in &keys {
        // Fields at a sample's end may be left out.
        let values: Vec<&[u8]> = fields.iter_mut().map(|fields| fields.next().unwrap_or(b".")).collect();
        put_key(key, &values, dictionary, bytes)?;
    }
    if fields.iter_mut().any(|fields| fields.next().is_some()) {
        return Err(Mismatch::new(format!("at most {} fields in a sample", keys.len()), "more"));
    }
    Ok(keys.len())
}

fn put_key(key: &[u8], values: &[&[u8]], dictionary: &Dictionary, bytes: &mut Vec<u8>) -> Result<(), Mismatch> {
    let name = std::str::from_utf8(key).ok();
    let found = name.and_then(|name| Some((name, dictionary.strings.number(name)?, dictionary.format(name)?)));
    let (name, number, declared) = found.ok_or_else(|| undeclared("FORMAT", key))?;
    put_number(bytes, number);
    match declared {
        _ if name == "GT" => put_integers(values, bytes, genotype),
        Declared::Integer => put_integers(values, bytes, |text| each(text).map(|text| integer(text, name)).collect()),
        Declared::Float => put_floats(values, bytes, name),
        Declared::Text | Declared::Flag => put_texts(values, bytes),
    }
}

fn put_integers(
    samples: &[&[u8]],
    bytes: &mut Vec<u8>,
    parse: impl Fn(&[u8]) -> Result<Vec<Value<i32>>, Mismatch>,
) -> Result<(), Mismatch> {
    let samples: Vec<_> = samples.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
    let count = samples.iter().map(Vec::len).max().unwrap_or(0);
    let kind = samples.iter().map(|values| kind_of(values)).max_by_key(|kind| kind.width()).unwrap_or(Kind::Int8);
    put_samples_shape(bytes, count, kind, samples.len())?;
    for values in &samples {
        let fill = std::iter::repeat(&Value::End);
        values.iter().chain(fill).take(count).for_each(|&value| put_integer(bytes, kind, value));
    }
    Ok(())
}

fn put_floats(samples: &[&[u8]], bytes: &mut Vec<u8>, name: &str) -> Result<(), Mismatch> {
    let count = samples.iter().map(|values| each(values).count()).max().unwrap_or(0);
    put_samples_shape(bytes, count, Kind::Float, samples.len())?;
    for values in samples {
        let fill = std::iter::repeat_with(|| Ok(Value::End));
        for value in each(values).map(|text| float(text, name)).chain(fill).take(count) {
            put_float(bytes, value?);
        }
    }
    Ok(())
}

fn put_texts(samples: &[&[u8]], bytes: &mut Vec<u8>) -> Result<(), Mismatch> {
    let count = samples.iter().map(|text| text.len()).max().unwrap_or(0);
    put_samples_shape(bytes, count, Kind::Text, samples.len())?;
    for text in samples {
        bytes.extend_from_slice(text);
        bytes.resize(bytes.len() + count - text.len(), 0);
    }
    Ok(())
}

/// Writes the shape of one sample's values. All samples have as many as the one with the most, which must not be
/// absurd.
fn put_samples_shape(bytes: &mut Vec<u8>, count: usize, kind: Kind, sample_count: usize) -> Result<(), Mismatch> {
    let n = count.saturating_mul(kind.width()).saturating_mul(sample_count);
    if n as u64 > LONGEST {
        return Err(Mismatch::new(format!("at most {LONGEST} bytes of values for a FORMAT key"), n.to_string()));
    }
    put_shape(bytes, count, kind);
    Ok(())
}

/// Reads alleles, each to be stored as (allele + 1) * 2 and one more where it is phased with the one before.
fn genotype(text: &[u8]) -> Result<Vec<Value<i32>>, Mismatch> {
    let error = || Mismatch::new("alleles in GT", shown(text));
    let mut values = Vec::new();
    // A mark before the first allele says how that one is phased, from VCF 4.4 on.
    let (mut is_phased, mut left) = match text {
        [mark @ (b'|' | b'/'), left @ ..] => (*mark == b'|', left),
        _ => (false, text),
    };
    loop {
        let end = left.iter().position(|b| matches!(b, b'|' | b'/')).unwrap_or(left.len());
        let value = match &left[..end] {
            b"." => 0,
            digits => {
                let allele = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u16>().ok());
                (i32::from(allele.ok_or_else(error)?) + 1) << 1
            }
        };
        values.push(Value::Some(value | i32::from(is_phased)));
        let Some(mark) = left.get(end) else { return Ok(values) };
        is_phased = *mark == b'|';
        left = &left[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genotypes_are_stored_with_their_phase() {
        let stored = |text: &str| -> Vec<i32> {
            let kept = |value| if let Value::Some(value) = value { value } else { -1 };
            genotype(text.as_bytes()).unwrap().into_iter().map(kept).collect()
        };
        assert_eq!(stored("0/1"), [2, 4]);
        assert_eq!(stored("0|1"), [2, 5]);
        assert_eq!(stored("./."), [0, 0]);
        assert_eq!(stored("2"), [6]);
        assert_eq!(stored("|0/1"), [3, 4]);
        for wrong in ["", "0/", "x", "0//1", "-1"] {
            assert!(genotype(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
