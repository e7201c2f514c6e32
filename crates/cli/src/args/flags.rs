//! SAM flags, as numbers or as samtools names them.

/// The names, bit by bit.
const NAMES: [&str; 12] = [
    "PAIRED",
    "PROPER_PAIR",
    "UNMAP",
    "MUNMAP",
    "REVERSE",
    "MREVERSE",
    "READ1",
    "READ2",
    "SECONDARY",
    "QCFAIL",
    "DUP",
    "SUPPLEMENTARY",
];

/// Reads SAM flags: a decimal or hexadecimal number, or names with commas, as `0x900` or `SECONDARY,SUPPLEMENTARY`.
///
/// # Errors
///
/// When the text is neither.
pub fn sam_flags(text: &str) -> Result<u16, String> {
    let parse = || match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse().ok().or_else(|| text.split(',').try_fold(0, |flags, name| Some(flags | named(name)?))),
    };
    let expected = || format!("expected a number below 65536, as 1024 or 0x400, or names of {}", NAMES.join(","));
    parse().ok_or_else(expected)
}

fn named(name: &str) -> Option<u16> {
    let bit = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
    Some(1 << bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_samtools_reads_them() {
        for (text, flags) in
            [("1024", 0x400), ("0x400", 0x400), ("DUP", 0x400), ("secondary,SUPPLEMENTARY", 0x900), ("PAIRED", 1)]
        {
            assert_eq!(sam_flags(text), Ok(flags), "{text}");
        }
        for wrong in ["70000", "-1", "", "DUP,", "DUPLICATE", "0x", "DUP 1024"] {
            assert!(sam_flags(wrong).is_err(), "{wrong}");
        }
    }
}
