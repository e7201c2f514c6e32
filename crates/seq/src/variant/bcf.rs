//! BCF 2.2: the records of VCF in binary.
//!
//! ```text
//! file      "BCF\2\2"   length   text of the header, ended by a zero byte   records
//! record    length of shared   length of individual   shared   individual
//! shared    contig  pos  span  qual  n_info|n_allele  n_sample|n_format   ID  alleles  FILTER  (key value)…
//! individual  (key type values-of-all-samples)…
//! typed     a byte: low half the type (0 none, 1 2 3 integers of 1 2 4 bytes, 5 float, 7 text), high half the count of
//!           values; 15 says that the count follows, as a typed integer
//! ```
//!
//! Contigs are numbered by the header's contig lines, keys and filters together by its FILTER, INFO and FORMAT lines,
//! PASS being 0. Source: section 6 of the VCF 4.3 specification.

mod decode;
mod dictionary;
mod encode;
mod header;
mod values;

pub(super) use decode::decode;
pub(super) use dictionary::Dictionary;
pub(super) use encode::Encoder;
pub(super) use header::{for_bcf, read_header, write_header};

/// What a record should have and what it has.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) expected: String,
    pub(super) found: String,
}

impl Mismatch {
    fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }
}

/// The types of values, as they are numbered in the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Null = 0,
    Int8 = 1,
    Int16 = 2,
    Int32 = 3,
    Float = 5,
    Text = 7,
}

impl Kind {
    fn parse(number: u8) -> Option<Self> {
        [Self::Null, Self::Int8, Self::Int16, Self::Int32, Self::Float, Self::Text]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }

    /// Bytes of one value.
    fn width(self) -> usize {
        match self {
            Self::Null => 0,
            Self::Int8 | Self::Text => 1,
            Self::Int16 => 2,
            Self::Int32 | Self::Float => 4,
        }
    }
}

/// One value of a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<T> {
    Some(T),
    Missing,
    /// The vector has no more values.
    End,
}

impl<T> Value<T> {
    fn map<U>(self, with: impl FnOnce(T) -> U) -> Value<U> {
        match self {
            Self::Some(value) => Value::Some(with(value)),
            Self::Missing => Value::Missing,
            Self::End => Value::End,
        }
    }
}

const MISSING_FLOAT: u32 = 0x7f80_0001;
const END_FLOAT: u32 = 0x7f80_0002;
