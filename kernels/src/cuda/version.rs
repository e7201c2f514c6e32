//! Versions as NVIDIA numbers them.

use std::fmt;

/// A version of CUDA, of the driver or of a library.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version {
    /// 13 of 13.0
    pub major: i32,
    /// 0 of 13.0
    pub minor: i32,
}

impl Version {
    /// The driver writes 13.2 as 13020.
    pub(super) fn of_number(number: i32) -> Self {
        Self { major: number / 1000, minor: number % 1000 / 10 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_number_is_read() {
        assert_eq!(Version::of_number(13_020), Version { major: 13, minor: 2 });
        assert_eq!(Version::of_number(12_080).to_string(), "12.8");
        assert!(Version::of_number(12_080) < Version::of_number(13_000));
    }
}
