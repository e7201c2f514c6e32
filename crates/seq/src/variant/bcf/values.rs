//! Vectors of values in binary and as text.

use super::{END_FLOAT, Kind, MISSING_FLOAT, Mismatch, Value};

/// Bytes of a record that are left to read.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Mismatch> {
        let (taken, left) = self
            .0
            .split_at_checked(n)
            .ok_or_else(|| Mismatch::new(format!("{n} bytes more"), format!("{} to the record's end", self.0.len())))?;
        self.0 = left;
        Ok(taken)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Mismatch> {
        Ok(integer(self.take(4)?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Mismatch> {
        Ok(self.i32()? as u32)
    }

    /// The count and the type of values that follow.
    pub(super) fn shape(&mut self) -> Result<(usize, Kind), Mismatch> {
        const COUNT_FOLLOWS: u8 = 15;
        let byte = self.take(1)?[0];
        let kind = Kind::parse(byte & 15).ok_or_else(|| Mismatch::new("a type of values", (byte & 15).to_string()))?;
        let count = match byte >> 4 {
            COUNT_FOLLOWS => self.number()?,
            count => usize::from(count),
        };
        Ok((count, kind))
    }

    /// A vector: its count of values, their type, and their bytes.
    pub(super) fn vector(&mut self) -> Result<(usize, Kind, &'a [u8]), Mismatch> {
        let (count, kind) = self.shape()?;
        Ok((count, kind, self.take(count.saturating_mul(kind.width()))?))
    }

    /// A typed integer that is one value and not negative.
    pub(super) fn number(&mut self) -> Result<usize, Mismatch> {
        let byte = self.take(1)?[0];
        let kind = Kind::parse(byte & 15).filter(|kind| matches!(kind, Kind::Int8 | Kind::Int16 | Kind::Int32));
        let kind =
            kind.filter(|_| byte >> 4 == 1).ok_or_else(|| Mismatch::new("one integer", format!("type {byte:#x}")))?;
        let number = integer(self.take(kind.width())?);
        usize::try_from(number).map_err(|_| Mismatch::new("a number from 0", number.to_string()))
    }
}

/// A little-endian integer of 1, 2 or 4 bytes.
pub(super) fn integer(bytes: &[u8]) -> i32 {
    match *bytes {
        [a] => i32::from(a as i8),
        [a, b] => i32::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// Tells an integer from the marks: the least number of its width stands for missing, the next for the end.
pub(super) fn marked(bytes: &[u8]) -> Value<i32> {
    let least = least(bytes.len());
    match integer(bytes) {
        value if value == least => Value::Missing,
        value if value == least + 1 => Value::End,
        value => Value::Some(value),
    }
}

fn least(width: usize) -> i32 {
    match width {
        1 => i8::MIN.into(),
        2 => i16::MIN.into(),
        _ => i32::MIN,
    }
}

/// The type that holds integers, which must not be one of the eight that each type reserves.
pub(super) fn integer_kind(values: impl Iterator<Item = i32> + Clone) -> Kind {
    const RESERVED: i32 = 8;
    let fits = |width| {
        let (least, most) = (least(width) + RESERVED, if width == 1 { i8::MAX.into() } else { i16::MAX.into() });
        values.clone().all(|value| (least..=most).contains(&value))
    };
    match (fits(1), fits(2)) {
        (true, _) => Kind::Int8,
        (_, true) => Kind::Int16,
        _ => Kind::Int32,
    }
}

pub(super) fn put_integer(bytes: &mut Vec<u8>, kind: Kind, value: Value<i32>) {
    let value = match value {
        Value::Some(value) => value,
        Value::Missing => least(kind.width()),
        Value::End => least(kind.width()) + 1,
    };
    bytes.extend_from_slice(&value.to_le_bytes()[..kind.width()]);
}

pub(super) fn put_float(bytes: &mut Vec<u8>, value: Value<f32>) {
    let bits = match value {
        Value::Some(value) => value.to_bits(),
        Value::Missing => MISSING_FLOAT,
        Value::End => END_FLOAT,
    };
    bytes.extend_from_slice(&bits.to_le_bytes());
}

/// Writes the byte that tells a count and a type, and the count where it does not fit.
pub(super) fn put_shape(bytes: &mut Vec<u8>, count: usize, kind: Kind) {
    const LARGEST: usize = 14;
    if count <= LARGEST {
        bytes.push((count as u8) << 4 | kind as u8);
    } else {
        bytes.push(0xf0 | kind as u8);
        put_number(bytes, count);
    }
}

/// Writes one typed integer.
pub(super) fn put_number(bytes: &mut Vec<u8>, number: usize) {
    let number = i32::try_from(number).expect("records are shorter than 2^31 bytes");
    let kind = integer_kind(std::iter::once(number));
    bytes.push(1 << 4 | kind as u8);
    put_integer(bytes, kind, Value::Some(number));
}

/// Writes text with its shape.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    put_shape(bytes, text.len(), Kind::Text);
    bytes.extend_from_slice(text);
}

/// Writes a vector as text: values with commas between, or `.` where there are none.
pub(super) fn write_vector(kind: Kind, bytes: &[u8], line: &mut Vec<u8>) -> Result<(), Mismatch> {
    let before = line.len();
    match kind {
        Kind::Null => {}
        Kind::Text => write_text(bytes, line)?,
        Kind::Float => write_all(bytes.chunks_exact(4), line, |bytes, line| {
            let value = match integer(bytes) as u32 {
                MISSING_FLOAT => Value::Missing,
                END_FLOAT => Value::End,
                bits => Value::Some(f32::from_bits(bits)),
            };
            value.map(|value| write_float(value, line))
        }),
        _ => write_all(bytes.chunks_exact(kind.width()), line, |bytes, line| {
            marked(bytes).map(|value| line.extend_from_slice(value.to_string().as_bytes()))
        }),
    }
    if line.len() == before {
        line.push(b'.');
    }
    Ok(())
}

fn write_all<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    line: &mut Vec<u8>,
    write: impl Fn(&[u8], &mut Vec<u8>) -> Value<()>,
) {
    for (i, value) in values.enumerate() {
        let before = line.len();
        if i > 0 {
            line.push(b',');
        }
        match write(value, line) {
            Value::Some(()) => {}
            Value::Missing => line.push(b'.'),
            Value::End => return line.truncate(before),
        }
    }
}

/// Writes text up to the zero bytes that fill it up.
pub(super) fn write_text(bytes: &[u8], line: &mut Vec<u8>) -> Result<(), Mismatch> {
    let text = bytes.split(|&b| b == 0).next().unwrap_or_default();
    if let Some(control) = text.iter().find(|b| b.is_ascii_control()) {
        return Err(Mismatch::new("text", format!("the control character {control:#04x} in it")));
    }
    line.extend_from_slice(text);
    Ok(())
}

/// Writes the shortest text that reads back as the same number.
pub(super) fn write_float(value: f32, line: &mut Vec<u8>) {
    let magnitude = value.abs();
    let text = if value.is_nan() {
        "nan".to_owned()
    } else if magnitude != 0.0 && !(1e-4..1e9).contains(&magnitude) && magnitude.is_finite() {
        format!("{value:e}")
    } else {
        value.to_string()
    };
    line.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_back_the_same() {
        for (value, text) in [
            (0.1, "0.1"),
            (30.0, "30"),
            (-0.0, "-0"),
            (1e-20, "1e-20"),
            (f32::MAX, "3.4028235e38"),
            (f32::INFINITY, "inf"),
            (123_456.79, "123456.79"),
            (f32::NAN, "nan"),
        ] {
            let mut line = Vec::new();
            write_float(value, &mut line);
            assert_eq!(String::from_utf8(line).unwrap(), text);
            let again: f32 = text.parse().unwrap();
            assert!(again.to_bits() == value.to_bits() || value.is_nan());
        }
    }

    #[test]
    fn integers_take_the_least_type_that_does_not_reserve_them() {
        for (values, kind) in [
            (&[0, 127, -120][..], Kind::Int8),
            (&[-121], Kind::Int16),
            (&[128], Kind::Int16),
            (&[-32_760, 32_767], Kind::Int16),
            (&[-32_761], Kind::Int32),
            (&[32_768], Kind::Int32),
        ] {
            assert_eq!(integer_kind(values.iter().copied()), kind, "{values:?}");
        }
    }

    #[test]
    fn counts_past_fourteen_follow() {
        for count in [0, 14, 15, 127, 128, 40_000] {
            let mut bytes = Vec::new();
            put_text(&mut bytes, &vec![b'A'; count]);
            let mut left = Bytes(&bytes);
            let (read, kind, text) = left.vector().unwrap();
            assert_eq!((read, kind, text.len(), left.0.len()), (count, Kind::Text, count, 0));
        }
    }
}
