//! Numbers above 0.

use std::str::FromStr;

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
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn zero_and_words_are_refused() {
        assert_eq!(above_zero::<NonZeroU64>("3").map(NonZeroU64::get), Ok(3));
        for wrong in ["0", "-1", "1.5", "many", "", "18446744073709551616"] {
            assert!(above_zero::<NonZeroU64>(wrong).is_err(), "{wrong}");
        }
    }
}
