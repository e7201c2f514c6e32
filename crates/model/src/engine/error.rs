//! What can go wrong with a device.

use std::error::Error;
use std::fmt;

#[cfg(feature = "cuda")]
use longstrand_kernels::cuda::{CudaError, Device};

/// A device computes nothing, or nothing more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EngineError {
    /// The device, as `--device` names it.
    device: String,
    reason: String,
}

#[cfg(feature = "cuda")]
impl EngineError {
    /// The failure of a device.
    pub fn of(device: &Device, error: &CudaError) -> Self {
        Self { device: format!("cuda:{}", device.ordinal()), reason: error.to_string() }
    }

    /// A failure of any device, for tests.
    #[cfg(test)]
    pub(super) fn new(device: &str, reason: &str) -> Self {
        Self { device: device.into(), reason: reason.into() }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.device, self.reason)
    }
}

impl Error for EngineError {}
