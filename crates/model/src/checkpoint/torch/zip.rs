//! The members of a zip archive, where all are stored as they are (PKWARE APPNOTE 6.3, sections 4.3 and 4.5.3).

use std::collections::BTreeMap;
use std::ops::Range;
use std::{error, fmt};

const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
const CENTRAL_HEADER: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const END_64_LOCATOR: &[u8] = b"PK\x06\x07";

const LOCAL_LEN: usize = 30;
const CENTRAL_LEN: usize = 46;
const END_LEN: usize = 22;
const END_64_LOCATOR_LEN: usize = 20;

/// The longest comment that may follow the end record.
const MAX_COMMENT: usize = 0xffff;

/// A 32-bit field whose value is in the zip64 extra field.
const IN_EXTRA: u64 = 0xffff_ffff;
const EXTRA_64: u64 = 1;
const ENCRYPTED: u64 = 1;

/// An error returned when the members of an archive cannot be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZipError {
    /// There is no end record: not a zip archive, or a truncated one.
    NoEnd,
    /// A record is not where it should be, or reaches beyond the file.
    Broken {
        /// Which record.
        what: &'static str,
    },
    /// A member is compressed or encrypted.
    NotStored {
        /// The member's name.
        name: String,
    },
    /// Two members have one name.
    Repeated {
        /// The name.
        name: String,
    },
}

impl error::Error for ZipError {}

impl fmt::Display for ZipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEnd => write!(f, "no end record: not a zip archive, or a truncated one"),
            Self::Broken { what } => {
                write!(f, "the {what} is broken or lies beyond the end of the file")
            }
            Self::NotStored { name } => write!(f, "member {name:?} is compressed or encrypted; torch.save stores"),
            Self::Repeated { name } => write!(f, "member {name:?} is there twice"),
        }
    }
}

/// A member as the central directory has it.
struct Member {
    name: String,
    header: u64,
    length: u64,
    record_len: usize,
}

/// Finds the members: name → the bytes of its content.
pub(super) fn members(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, ZipError> {
    let (count, mut at) = directory(bytes)?;
    let mut members = BTreeMap::new();
    for _ in 0..count {
        let member = central_record(bytes, at)?;
        at += member.record_len;
        let content = content(bytes, &member)?;
        if members.insert(member.name.clone(), content).is_some() {
            return Err(ZipError::Repeated { name: member.name });
        }
    }
    Ok(members)
}

/// The number of members and the offset of the central directory.
fn directory(bytes: &[u8]) -> Result<(u64, usize), ZipError> {
    let end = find_end(bytes).ok_or(ZipError::NoEnd)?;
    let broken = || ZipError::Broken { what: "end record" };
    let count = number(bytes, end + 10, 2).ok_or_else(broken)?;
    let offset = number(bytes, end + 16, 4).ok_or_else(broken)?;
    let (count, offset) = match end.checked_sub(END_64_LOCATOR_LEN) {
        Some(locator) if signed(bytes, locator, END_64_LOCATOR) => directory_64(bytes, locator).ok_or_else(broken)?,
        _ => (count, offset),
    };
    Ok((count, usize::try_from(offset).map_err(|_| broken())?))
}

fn directory_64(bytes: &[u8], locator: usize) -> Option<(u64, u64)> {
    let end = usize::try_from(number(bytes, locator + 8, 8)?).ok()?;
    if !signed(bytes, end, END_64) {
        return None;
    }
    Some((number(bytes, end.checked_add(32)?, 8)?, number(bytes, end.checked_add(48)?, 8)?))
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(END_LEN)?;
    let first = last.saturating_sub(MAX_COMMENT);
    (first..=last)
        .rev()
        .find(|&at| signed(bytes, at, END) && number(bytes, at + 20, 2) == Some((bytes.len() - at - END_LEN) as u64))
}

fn central_record(bytes: &[u8], at: usize) -> Result<Member, ZipError> {
    let broken = || ZipError::Broken { what: "central directory" };
    if !signed(bytes, at, CENTRAL_HEADER) {
        return Err(broken());
    }
    let field = |offset: usize, len: usize| number(bytes, at + offset, len).ok_or_else(broken);
    let (name_len, extra_len) = (field(28, 2)? as usize, field(30, 2)? as usize);
    let extra_at = at + CENTRAL_LEN + name_len;
    let name = bytes.get(at + CENTRAL_LEN..extra_at).ok_or_else(broken)?;
    let name = String::from_utf8(name.to_vec()).map_err(|_| broken())?;
    let extra = bytes.get(extra_at..extra_at + extra_len).ok_or_else(broken)?;
    let sizes = [field(24, 4)?, field(20, 4)?, field(42, 4)?];
    let [length, stored, header] = widened(sizes, extra).ok_or_else(broken)?;
    if field(10, 2)? != 0 || field(8, 2)? & ENCRYPTED != 0 || length != stored {
        return Err(ZipError::NotStored { name });
    }
    let record_len = CENTRAL_LEN + name_len + extra_len + field(32, 2)? as usize;
    Ok(Member { name, header, length, record_len })
}

/// Replaces each field that says so by the next number of the zip64 extra field.
fn widened(mut fields: [u64; 3], extra: &[u8]) -> Option<[u64; 3]> {
    if !fields.contains(&IN_EXTRA) {
        return Some(fields);
    }
    let wide = extra_field(extra, EXTRA_64)?;
    let mut at = 0;
    for field in &mut fields {
        if *field == IN_EXTRA {
            *field = number(wide, at, 8)?;
            at += 8;
        }
    }
    Some(fields)
}

fn extra_field(extra: &[u8], wanted: u64) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        let (id, len) = (number(extra, at, 2)?, number(extra, at + 2, 2)? as usize);
        let content = extra.get(at + 4..at + 4 + len)?;
        if id == wanted {
            return Some(content);
        }
        at += 4 + len;
    }
}

fn content(bytes: &[u8], member: &Member) -> Result<Range<usize>, ZipError> {
    content_range(bytes, member).ok_or(ZipError::Broken { what: "local header of a member, or its content," })
}

fn content_range(bytes: &[u8], member: &Member) -> Option<Range<usize>> {
    let header = usize::try_from(member.header).ok()?;
    if !signed(bytes, header, LOCAL_HEADER) {
        return None;
    }
    let names = number(bytes, header + 26, 2)? + number(bytes, header + 28, 2)?;
    let start = header + LOCAL_LEN + names as usize;
    let end = start.checked_add(usize::try_from(member.length).ok()?)?;
    (end <= bytes.len()).then_some(start..end)
}

fn signed(bytes: &[u8], at: usize, signature: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(signature))
}

/// The little-endian number of `len` bytes at `at`.
fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One member "d" with the content "abc", sizes in a zip64 extra field when `wide`.
    fn archive(wide: bool, method: u8) -> Vec<u8> {
        let mut bytes = LOCAL_HEADER.to_vec();
        bytes.resize(LOCAL_LEN, 0);
        bytes[26] = 1;
        bytes.extend_from_slice(b"dabc");
        let directory = bytes.len();
        let mut central = CENTRAL_HEADER.to_vec();
        central.resize(CENTRAL_LEN, 0);
        central[10] = method;
        central[28] = 1;
        let sizes: [u8; 4] = if wide { [0xff; 4] } else { [3, 0, 0, 0] };
        central[20..24].copy_from_slice(&sizes);
        central[24..28].copy_from_slice(&sizes);
        central.push(b'd');
        if wide {
            central[30] = 20;
            central.extend_from_slice(&[1, 0, 16, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        }
        bytes.extend_from_slice(&central);
        let mut end = END.to_vec();
        end.resize(END_LEN, 0);
        end[10] = 1;
        end[16] = directory as u8;
        bytes.extend_from_slice(&end);
        bytes
    }

    #[test]
    fn stored_members_are_found() {
        for wide in [false, true] {
            let bytes = archive(wide, 0);
            assert_eq!(&bytes[members(&bytes).unwrap()["d"].clone()], b"abc");
        }
    }

    #[test]
    fn compressed_members_are_refused() {
        assert_eq!(members(&archive(false, 8)), Err(ZipError::NotStored { name: "d".into() }));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = archive(true, 0);
        for len in 0..bytes.len() {
            assert!(members(&bytes[..len]).is_err(), "{len}");
        }
    }
}
