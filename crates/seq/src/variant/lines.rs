//! Lines of text, bounded.

use std::io::{self, BufRead, Read};

/// Bytes of the longest line, and of the longest record of BCF, that is read: some times what 100,000 samples take.
pub(super) const LONGEST: u64 = 256 << 20;

/// Reads a line into `line`, without its line end, be it LF or CRLF. Says whether there was one.
pub(super) fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let n = reader.by_ref().take(LONGEST + 1).read_until(b'\n', line)?;
    if n as u64 > LONGEST {
        let message = format!("expected a line of at most {LONGEST} bytes, found a longer one");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    Ok(n > 0)
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, repeat};

    use super::*;

    #[test]
    fn line_ends_are_taken_off() {
        let mut reader = &b"a\r\n\nb\rc\nd"[..];
        let mut line = Vec::new();
        for expected in [&b"a"[..], b"", b"b\rc", b"d"] {
            assert!(read_line(&mut reader, &mut line).unwrap());
            assert_eq!(line, expected);
        }
        assert!(!read_line(&mut reader, &mut line).unwrap());
    }

    #[test]
    fn an_endless_line_is_refused() {
        let error = read_line(&mut BufReader::new(repeat(b'A')), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "expected a line of at most 268435456 bytes, found a longer one");
    }
}
