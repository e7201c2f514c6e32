//! Which bytes make a sequence.

/// Whether every byte may stand in a sequence: a letter, `-`, `*` or `.`.
pub(super) fn is_sequence(bytes: &[u8]) -> bool {
    match bytes.last_chunk() {
        // The last block overlaps the one before it, so that a line of any length is made of blocks alone.
        Some(last) => bytes.as_chunks().0.iter().all(is_sequence_block) && is_sequence_block(last),
        None => bytes.iter().all(|&byte| is_base_code(byte)),
    }
}

/// Branch-free, so that it compiles to vector code.
fn is_sequence_block(bytes: &[u8; 16]) -> bool {
    bytes.iter().fold(0, |foreign, &byte| foreign | u8::from(!is_base_code(byte))) == 0
}

/// The first byte that may not stand in a sequence.
pub(super) fn first_foreign(bytes: &[u8]) -> Option<u8> {
    bytes.iter().copied().find(|&byte| !is_base_code(byte))
}

fn is_base_code(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    is_letter | (byte == b'-') | (byte == b'*') | (byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_byte_is_seen_anywhere() {
        for length in 1..70 {
            for place in 0..length {
                let mut bytes = vec![b'A'; length];
                assert!(is_sequence(&bytes));
                bytes[place] = b'1';
                assert!(!is_sequence(&bytes), "{place} of {length}");
            }
        }
    }

    #[test]
    fn letters_and_gaps_make_a_sequence() {
        for byte in 0..=255_u8 {
            let expected = byte.is_ascii_alphabetic() || b"-*.".contains(&byte);
            assert_eq!(is_sequence(&[b'A', byte]), expected, "{byte}");
            assert_eq!(first_foreign(&[b'A', byte]), (!expected).then_some(byte));
        }
    }
}
