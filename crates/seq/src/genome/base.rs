//! Which bytes make a sequence.

/// Whether every byte may stand in a sequence: an IUPAC nucleotide code, `X` (masked), `-`, `*` or `.`.
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

/// Where the first byte is that may not stand in a sequence.
pub(crate) fn first_foreign(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| !is_base_code(byte))
}

fn is_base_code(byte: u8) -> bool {
    /// Letters that stand for no nucleotide.
    const FOREIGN: [u8; 9] = *b"efijlopqz";
    let lower = byte | 0x20;
    let is_letter = lower.wrapping_sub(b'a') < 26;
    let is_code = FOREIGN.iter().fold(is_letter, |is_code, &letter| is_code & (lower != letter));
    is_code | (byte == b'-') | (byte == b'*') | (byte == b'.')
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
    fn nucleotide_codes_and_gaps_make_a_sequence() {
        for byte in 0..=255_u8 {
            let expected = b"ACGTURYKMSWBDHVNX-*.".contains(&byte.to_ascii_uppercase());
            assert_eq!(is_sequence(&[b'A', byte]), expected, "{byte}");
            assert_eq!(first_foreign(&[b'A', byte]), (!expected).then_some(1));
        }
    }
}
