//! What tests of the GPU ask for, and what is said where it is not there.

use super::{Device, Nvrtc};

/// Set to 1, tests that find no device fail instead of being skipped.
pub(crate) const REQUIRE_VARIABLE: &str = "LONGSTRAND_REQUIRE_CUDA";

/// Set to 1, tests that find no NVRTC fail instead of being skipped.
const REQUIRE_NVRTC_VARIABLE: &str = "LONGSTRAND_REQUIRE_NVRTC";

/// The first device, or `None` where there is none and none is required.
pub(crate) fn device() -> Option<Device> {
    found(Device::open(0), REQUIRE_VARIABLE)
}

/// NVRTC, or `None` where there is none and none is required.
pub(crate) fn nvrtc() -> Option<Nvrtc> {
    found(Nvrtc::open(None), REQUIRE_NVRTC_VARIABLE)
}

fn found<T>(result: Result<T, super::CudaError>, variable: &str) -> Option<T> {
    let is_required = std::env::var_os(variable).is_some_and(|value| value == "1");
    match result {
        Ok(found) => Some(found),
        Err(error) => {
            assert!(!is_required, "{variable}=1, but {error}");
            #[allow(clippy::print_stderr, reason = "a test says that it is skipped")]
            {
                eprintln!("skipped: {error}");
            }
            None
        }
    }
}
