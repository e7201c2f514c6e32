//! Tables of labelled sequences.

use std::{fs, ops::Range, path::Path};

/// Bases that look random, a function of the row.
pub fn bases(row: u64, length: u64, of: &[u8]) -> String {
    let mut state = row.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        of[(state >> 33) as usize % of.len()] as char
    };
    (0..length).map(|_| next()).collect()
}

/// A table whose classes differ in how often A and T come, in every other row as a reverse complement would have it.
pub fn write_classes(path: &Path, rows: Range<u64>) {
    let mut text = String::from("id\tsequence\tlabel\n");
    for row in rows {
        let (label, of) =
            if row % 3 == 0 { ("rich", b"AATTACGT".as_slice()) } else { ("poor", b"CCGGACGT".as_slice()) };
        text += &format!("{row}\t{}\t{label}\n", bases(row, 30 + row % 40, of));
    }
    fs::write(path, text).expect("a table is written");
}
