//! Which GPUs there are, and whether kernels can be compiled for them.

use std::path::PathBuf;

#[cfg(feature = "cuda")]
use longstrand_kernels::cuda::{CudaError, Device, Nvrtc, cache};

/// What there is of CUDA.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cuda {
    /// The devices, as `CUDA_VISIBLE_DEVICES` counts them.
    pub devices: Vec<Gpu>,
    /// The version of CUDA that the driver knows.
    pub driver: Option<String>,
    /// The version of the compiler.
    pub nvrtc: Option<String>,
    /// Why there is nothing, or less than there should be.
    pub problems: Vec<String>,
    /// Where compiled kernels are kept.
    pub cache: Option<PathBuf>,
}

/// A device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gpu {
    /// What the maker calls it.
    pub name: String,
    /// What it runs, as `sm_90`.
    pub architecture: String,
    /// Bytes of its memory.
    pub memory: u64,
}

impl Cuda {
    /// Says that this program was built without it.
    #[cfg(not(feature = "cuda"))]
    pub fn detect() -> Self {
        Self { problems: vec!["this program was built without CUDA".to_string()], ..Self::default() }
    }

    /// Opens every device, and the compiler.
    #[cfg(feature = "cuda")]
    pub fn detect() -> Self {
        let mut found = Self { cache: cache::folder(), ..Self::default() };
        let mut newest = None;
        match Device::count() {
            Ok(0) => found.problems.push("the driver has no device".to_string()),
            Ok(count) => {
                let opened: Vec<_> = (0..count).map(Device::open).collect();
                newest = opened.iter().flatten().map(Device::driver_version).next();
                opened.into_iter().for_each(|device| found.add(device));
            }
            Err(error) => found.problems.push(error.to_string()),
        }
        found.driver = newest.map(|version| version.to_string());
        match Nvrtc::open(newest) {
            Ok(nvrtc) => found.nvrtc = Some(nvrtc.version().to_string()),
            Err(error) => found.problems.push(error.to_string()),
        }
        found
    }

    #[cfg(feature = "cuda")]
    fn add(&mut self, device: Result<Device, CudaError>) {
        match device {
            Ok(device) => self.devices.push(Gpu {
                name: device.name().to_string(),
                architecture: device.architecture().to_string(),
                memory: device.total_bytes(),
            }),
            Err(error) => self.problems.push(error.to_string()),
        }
    }
}
