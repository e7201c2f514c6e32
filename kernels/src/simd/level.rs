//! Which vector instructions to use, decided once at run time.

use std::{
    error::Error,
    ffi::{OsStr, OsString},
    fmt,
    str::FromStr,
};

#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512};
use super::{Portable, Vector};

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
    /// AVX-512 with products of pairs of bf16: all else is as without them.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
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
                    if has!("avx512bf16") {
                        levels.push(Self(Kind::Avx512Bf16));
                    }
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
    /// * the variable names no level, or is not text at all
    /// * the variable names a level that this machine does not have
    pub fn detect() -> Result<Self, DetectLevelError> {
        Self::of_variable(std::env::var_os(SIMD_VARIABLE))
    }

    fn of_variable(value: Option<OsString>) -> Result<Self, DetectLevelError> {
        match value {
            Some(name) if !name.is_empty() => Self::named(&name).map_err(DetectLevelError),
            _ => Ok(Self::widest()),
        }
    }

    fn named(name: &OsStr) -> Result<Self, ParseLevelError> {
        Self::available()
            .into_iter()
            .find(|level| name == level.name())
            .ok_or_else(|| ParseLevelError { name: name.to_string_lossy().into_owned() })
    }

    fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Bf16 => "avx512-bf16",
        }
    }

    /// How many `f32` lanes a vector has.
    pub fn lanes(self) -> usize {
        match self.0 {
            Kind::Portable => Portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 | Kind::Avx512Bf16 => Avx512::LANES,
        }
    }

    /// The level whose results these are where nothing is rounded to bf16: what is said of results in f32.
    pub fn without_bf16(self) -> Self {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Bf16 => Self(Kind::Avx512),
            kind => Self(kind),
        }
    }

    pub(crate) fn kind(self) -> Kind {
        self.0
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = ParseLevelError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::named(name.as_ref())
    }
}

/// A SIMD level was asked for by a name that is unknown or that this machine lacks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseLevelError {
    name: String,
}

impl fmt::Display for ParseLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let available: Vec<_> = Level::available().into_iter().map(Level::name).collect();
        write!(f, "expected one of {} on this machine, found {:?}", available.join(", "), self.name)
    }
}

impl Error for ParseLevelError {}

/// The environment variable [`SIMD_VARIABLE`] holds no level of this machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DetectLevelError(ParseLevelError);

impl fmt::Display for DetectLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment variable {SIMD_VARIABLE} names no SIMD level")
    }
}

impl Error for DetectLevelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_level_is_had_by_its_name() {
        for level in Level::available() {
            assert_eq!(level.to_string().parse(), Ok(level));
            assert_eq!(Level::of_variable(Some(level.to_string().into())), Ok(level));
        }
        assert_eq!(Level::available().last(), Some(&Level::widest()));
    }

    #[test]
    fn a_name_of_no_level_is_an_error_that_lists_those_there_are() {
        let message = "abacus".parse::<Level>().unwrap_err().to_string();
        assert!(
            message.starts_with("expected one of portable") && message.ends_with(", found \"abacus\""),
            "{message}"
        );
    }

    #[test]
    fn a_variable_that_is_unset_or_empty_leaves_the_choice() {
        assert_eq!(Level::of_variable(None), Ok(Level::widest()));
        assert_eq!(Level::of_variable(Some(OsString::new())), Ok(Level::widest()));
    }

    #[test]
    #[cfg(unix)]
    fn a_variable_that_is_not_text_is_an_error() {
        let value = std::os::unix::ffi::OsStringExt::from_vec(b"avx2\xff".to_vec());
        let error = Level::of_variable(Some(value)).unwrap_err();
        assert!(error.to_string().contains(SIMD_VARIABLE), "{error}");
        let cause = error.source().unwrap().to_string();
        assert!(cause.ends_with("found \"avx2\u{fffd}\""), "{cause}");
    }
}
