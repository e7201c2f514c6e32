//! Numbers as a bedGraph shows them.

use std::fmt::Write;

/// Digits of a number, without leading and trailing zeros.
const SIGNIFICANT: usize = 6;
/// Exponent of the smallest numbers that are written without one: 0.0001.
const SMALLEST: i32 = -4;
/// Most digits before the point; larger numbers get an exponent.
const WHOLE_DIGITS: i32 = 9;

/// Replaces `text` by a finite number, rounded to [`SIGNIFICANT`] digits. Zero has no sign.
pub(super) fn write(text: &mut String, value: f32) {
    text.clear();
    write!(text, "{:.*e}", SIGNIFICANT - 1, value.abs()).expect("a string takes all");
    let (mantissa, exponent) = text.split_once('e').expect("the form d.ddddde±x");
    let exponent: i32 = exponent.parse().expect("the form d.ddddde±x");
    let mut digits = [b'0'; SIGNIFICANT];
    for (to, from) in digits.iter_mut().zip(mantissa.bytes().filter(u8::is_ascii_digit)) {
        *to = from;
    }
    let count = digits.iter().rposition(|&digit| digit != b'0').map_or(1, |last| last + 1);
    let digits = std::str::from_utf8(&digits[..count]).expect("digits");
    text.clear();
    if value < 0.0 {
        text.push('-');
    }
    push_digits(text, digits, exponent);
}

/// Sets the point into `d₀d₁d₂…`, which stands for d₀.d₁d₂… · 10^exponent.
fn push_digits(text: &mut String, digits: &str, exponent: i32) {
    match exponent {
        0..WHOLE_DIGITS => {
            let whole = exponent as usize + 1;
            let (before, after) = digits.split_at(whole.min(digits.len()));
            text.push_str(before);
            text.extend(std::iter::repeat_n('0', whole - before.len()));
            push_fraction(text, after);
        }
        SMALLEST..0 => {
            text.push_str("0.");
            text.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize - 1));
            text.push_str(digits);
        }
        _ => {
            text.push_str(&digits[..1]);
            push_fraction(text, &digits[1..]);
            write!(text, "e{exponent}").expect("a string takes all");
        }
    }
}

fn push_fraction(text: &mut String, digits: &str) {
    if !digits.is_empty() {
        text.push('.');
        text.push_str(digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: f32) -> String {
        let mut text = "before".to_string();
        write(&mut text, value);
        text
    }

    #[test]
    fn numbers_are_rounded_and_short() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (1.386_294_4, "1.38629"),
            (9.999_999, "10"),
            (0.001_234_567_8, "0.00123457"),
            (0.000_123_4, "0.0001234"),
            (0.000_012_34, "1.234e-5"),
            (120_000.0, "120000"),
            (123_456_789.0, "123457000"),
            (1.0e9, "1e9"),
            (f32::MAX, "3.40282e38"),
        ] {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn six_digits_are_kept() {
        for i in 0..2_000 {
            let value = (i as f32 * 0.731).exp2() * 1e-30 * if i % 2 == 0 { 1.0 } else { -1.0 };
            if value.is_finite() && value.is_normal() {
                let back: f64 = shown(value).parse().unwrap();
                assert!((back / f64::from(value) - 1.0).abs() <= 5.000_1e-6, "{value} became {back}");
            }
        }
    }
}
