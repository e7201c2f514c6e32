//! Numbers above 0.

use std::num::NonZeroU64;
use std::str::FromStr;

/// What a suffix stands for: decimal, as in samtools and other tools of sequence.
const SUFFIXES: [(char, u64); 4] = [('k', 1_000), ('K', 1_000), ('M', 1_000_000), ('G', 1_000_000_000)];

/// Reads a size above 0, as `8192`, `8k`, `10M` or `1G`.
///
/// # Errors
///
/// When the text is no such size, or too large a one.
pub fn size(text: &str) -> Result<NonZeroU64, &'static str> {
    let with_suffix = SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(*suffix)?, *factor)));
    let (digits, factor) = with_suffix.unwrap_or((text, 1));
    let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).and_then(NonZeroU64::new);
    size.ok_or("expected a whole number above 0, as 8192, 8k (8,000), 10M or 1G")
}

/// Reads a number that cannot be 0.
///
/// # Errors
///
/// When the text is no such number, or too large a one.
pub fn above_zero<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "expected a whole number above 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_decimal() {
        let sizes = ["8192", "8k", "8K", "10M", "1G"].map(|text| size(text).map(NonZeroU64::get));
        assert_eq!(sizes, [8_192, 8_000, 8_000, 10_000_000, 1_000_000_000].map(Ok));
        for wrong in ["0", "0k", "k", "1kb", "1.5k", "-1", "1 k", "", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn zero_and_words_are_refused() {
        assert_eq!(above_zero::<NonZeroU64>("3").map(NonZeroU64::get), Ok(3));
        for wrong in ["0", "-1", "1.5", "many", "", "18446744073709551616"] {
            assert!(above_zero::<NonZeroU64>(wrong).is_err(), "{wrong}");
        }
    }
}
