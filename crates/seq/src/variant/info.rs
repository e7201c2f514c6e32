//! The INFO column: `KEY=value;FLAG;…`, or `.` for nothing.

/// The value of a key; empty for a flag.
pub(super) fn get<'a>(info: &'a [u8], key: &str) -> Option<&'a [u8]> {
    fields(info).map(split).find(|(name, _)| *name == key.as_bytes()).map(|(_, value)| value.unwrap_or_default())
}

/// Whether a key is there more than once, which VCF forbids: it tells nothing then.
pub(super) fn is_repeated(info: &[u8], key: &str) -> bool {
    fields(info).filter(|field| split(field).0 == key.as_bytes()).nth(1).is_some()
}

/// The fields of a column.
pub(super) fn fields(info: &[u8]) -> impl Iterator<Item = &[u8]> {
    info.split(|&b| b == b';').filter(|field| !matches!(*field, b"" | b"."))
}

/// A field's key, and its value unless it is a flag.
pub(super) fn split(field: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'=', field) {
        Some(at) => (&field[..at], Some(&field[at + 1..])),
        None => (field, None),
    }
}

/// Writes a column with fields put behind its own, which give way where the key is the same. A field with no value is a
/// flag.
pub(super) fn append(info: &[u8], added: &[(&str, &str)], line: &mut Vec<u8>) {
    if added.is_empty() {
        return line.extend_from_slice(info);
    }
    let is_added = |field: &[u8]| added.iter().any(|(key, _)| key.as_bytes() == split(field).0);
    let before = line.len();
    if !fields(info).any(is_added) {
        line.extend_from_slice(if info == b"." { b"" } else { info });
    } else {
        for kept in fields(info).filter(|field| !is_added(field)) {
            put(kept, before, line);
        }
    }
    for (key, value) in added {
        put(key.as_bytes(), before, line);
        if !value.is_empty() {
            line.push(b'=');
            line.extend_from_slice(value.as_bytes());
        }
    }
}

fn put(field: &[u8], before: usize, line: &mut Vec<u8>) {
    if line.len() > before && line.last() != Some(&b';') {
        line.push(b';');
    }
    line.extend_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(info: &str, added: &[(&str, &str)]) -> String {
        let mut line = b"x\t".to_vec();
        append(info.as_bytes(), added, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn fields_are_put_behind_and_replace_their_like() {
        assert_eq!(appended("DP=3;DB", &[("LS", "1.50")]), "x\tDP=3;DB;LS=1.50");
        assert_eq!(appended(".", &[("LS", "1"), ("LF", "")]), "x\tLS=1;LF");
        assert_eq!(appended("", &[("LS", "1")]), "x\tLS=1");
        assert_eq!(appended("LS=0;DP=3;LSX=4", &[("LS", "1")]), "x\tDP=3;LSX=4;LS=1");
        assert_eq!(appended("LS=0", &[("LS", "1")]), "x\tLS=1");
        assert_eq!(appended("DP=3;", &[("LS", "1")]), "x\tDP=3;LS=1");
        assert_eq!(appended("DP=3;;.", &[]), "x\tDP=3;;.");
    }

    #[test]
    fn values_are_found_by_the_whole_key() {
        assert_eq!(get(b"XEND=1;END=20;DB", "END"), Some(&b"20"[..]));
        assert_eq!(get(b"XEND=1;END=20;DB", "DB"), Some(&b""[..]));
        assert_eq!(get(b"XEND=1", "END"), None);
        assert_eq!(get(b".", "."), None);
        assert!(is_repeated(b"END=1;XEND=2;END=1", "END"));
        assert!(!is_repeated(b"END=1;XEND=2", "END"));
    }
}
