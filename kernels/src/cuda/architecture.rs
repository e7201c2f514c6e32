//! What code is compiled for.

use std::{error::Error, fmt, str::FromStr};

/// A real architecture, as `sm_90`, or one with the instructions that no later card has, as `sm_90a`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Architecture {
    /// Ten times the compute capability: 90 for 9.0.
    pub capability: u32,
    /// Whether the card's own instructions are used, which the next generation does not run.
    pub specific: bool,
}

impl Architecture {
    /// The oldest that code is made for: the first one with bf16.
    pub const OLDEST: Self = Self::sm(80);

    /// The generations that every kernel is checked on: Ampere, Hopper and both of Blackwell.
    pub const CHECKED: [Self; 4] = [Self::sm(80), Self::sm(90), Self::sm(100), Self::sm(120)];

    /// `sm_90` for 90.
    pub const fn sm(capability: u32) -> Self {
        Self { capability, specific: false }
    }

    /// `sm_90a` for 90.
    pub const fn sm_specific(capability: u32) -> Self {
        Self { capability, specific: true }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sm_{}{}", self.capability, if self.specific { "a" } else { "" })
    }
}

impl FromStr for Architecture {
    type Err = ParseArchitectureError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let error = || ParseArchitectureError { name: name.to_string() };
        let number = name.strip_prefix("sm_").ok_or_else(error)?;
        let (number, specific) = number.strip_suffix('a').map_or((number, false), |number| (number, true));
        let capability = number.parse().map_err(|_| error())?;
        let architecture = Self { capability, specific };
        if architecture.to_string() == name { Ok(architecture) } else { Err(error()) }
    }
}

/// A name that is not one of an architecture.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseArchitectureError {
    name: String,
}

impl fmt::Display for ParseArchitectureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected an architecture such as sm_90, found {:?}", self.name)
    }
}

impl Error for ParseArchitectureError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for architecture in Architecture::CHECKED.into_iter().chain([Architecture::sm_specific(90)]) {
            assert_eq!(architecture.to_string().parse(), Ok(architecture));
        }
        for name in ["", "90", "sm_", "sm_90b", "sm_+90", "sm_090", "compute_90", "sm_9 0"] {
            let error = name.parse::<Architecture>().unwrap_err().to_string();
            assert_eq!(error, format!("expected an architecture such as sm_90, found {name:?}"));
        }
    }
}
