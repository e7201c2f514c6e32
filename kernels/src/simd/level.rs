//! Which vector instructions to use, decided once at run time.

use std::{error::Error, fmt, str::FromStr};

/// The environment variable that overrides the choice of [`Level::detect`].
pub const SIMD_VARIABLE: &str = "LONGSTRAND_SIMD";

/// A set of vector instructions that this machine has.
///
/// A value can only be made for instructions that the machine offers, so holding one is the proof that kernels
/// compiled for it may run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Level(Kind);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// Plain Rust, vectorised by the compiler for the baseline of the target.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// Every level this machine has, from the plainest to the widest.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "only x86-64 has more than one level")]
        let mut levels = vec![Self::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") {
                levels.push(Self(Kind::Avx2));
                if has!("avx512f") && has!("avx512dq") && has!("avx512bw") && has!("avx512vl") {
                    levels.push(Self(Kind::Avx512));
                }
            }
        }
        levels
    }

    /// The widest level of this machine.
    pub fn widest() -> Self {
        Self::available().pop().unwrap_or(Self::PORTABLE)
    }

    /// The level named by the environment variable `LONGSTRAND_SIMD`, or the widest one when it is unset or empty.
    ///
    /// # Errors
    ///
    /// * the variable names no level
    /// * the variable names a level that this machine does not have
    pub fn detect() -> Result<Self, ParseLevelError> {
        match std::env::var(SIMD_VARIABLE) {
            Ok(name) if !name.is_empty() => name.parse(),
            _ => Ok(Self::widest()),
        }
    }

    /// How many `f32` lanes a vector has.
    pub fn lanes(self) -> usize {
        match self.0 {
            Kind::Portable => 8,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 8,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 16,
        }
    }

    pub(crate) fn kind(self) -> Kind {
        self.0
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
        })
    }
}

impl FromStr for Level {
    type Err = ParseLevelError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::available()
            .into_iter()
            .find(|level| level.to_string() == name)
            .ok_or_else(|| ParseLevelError { name: name.into() })
    }
}

/// A SIMD level was asked for by a name that is unknown or that this machine lacks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseLevelError {
    name: String,
}

impl fmt::Display for ParseLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let available: Vec<_> = Level::available().iter().map(Level::to_string).collect();
        write!(
            f,
            "invalid SIMD level in {SIMD_VARIABLE}: expected one of {} on this machine, got {:?}",
            available.join(", "),
            self.name
        )
    }
}

impl Error for ParseLevelError {}
