//! Brain floats: the upper half of an `f32`, with its range and eight significant bits.
//!
//! Rounding is to the nearest, and to the even one of two that are as near; beyond the largest number it gives
//! infinity, a NaN stays one, and subnormal numbers are kept. It is done on the bits, so every machine gives the same.

/// Added to the bits of a number before they are cut, less one where the last bit kept is odd.
pub(crate) const BELOW_HALF: u32 = 0x7fff;

/// The bits that are kept.
pub(crate) const KEPT: u32 = 0xffff_0000;

/// The bit that keeps a NaN one when it is cut.
pub(crate) const QUIET: u32 = 0x0040_0000;

/// A brain float.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Bf16 {
    /// The nearest brain float.
    #[inline]
    pub fn from_f32(x: f32) -> Self {
        Self((round(x).to_bits() >> 16) as u16)
    }

    /// The same value.
    #[inline]
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// The nearest brain float, as an `f32`.
#[inline(always)]
pub fn round(x: f32) -> f32 {
    let bits = x.to_bits();
    let sum = if x.is_nan() { bits | QUIET } else { bits + BELOW_HALF + (bits >> 16 & 1) };
    f32::from_bits(sum & KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn the_nearest_is_found_and_ties_go_to_even() {
        let cases = [
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),
            (1.0 + 1.01 / 256.0, 1.0 + 1.0 / 128.0),
            (1.0 + 3.0 / 256.0, 1.0 + 2.0 / 128.0),
            (-0.0, -0.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (f32::from_bits(0x0001_8000), f32::from_bits(0x0002_0000)),
        ];
        for (x, expected) in cases {
            assert_eq!(round(x).to_bits(), f32::to_bits(expected), "{x:e}");
            assert_eq!(Bf16::from_f32(x).to_f32().to_bits(), f32::to_bits(expected), "{x:e}");
        }
        assert!(round(f32::from_bits(0x7f80_0001)).is_nan() && round(-f32::NAN).is_nan());
    }

    #[test]
    fn no_other_is_nearer_and_rounding_again_changes_nothing() {
        let mut random = Random::new(1);
        for x in (0..10_000).map(|_| random.uniform(-3.0, 3.0)) {
            let (rounded, bits) = (round(x), round(x).to_bits());
            let distance = |y: f32| (f64::from(x) - f64::from(y)).abs();
            for other in [bits.wrapping_add(1 << 16), bits.wrapping_sub(1 << 16)].map(f32::from_bits) {
                assert!(other.is_nan() || distance(rounded) <= distance(other), "{x:e}");
            }
            assert_eq!(round(rounded), rounded);
        }
    }
}
