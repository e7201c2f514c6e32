//! What can go wrong on a GPU.

use std::{error::Error, fmt};

use super::{Architecture, PATH_VARIABLE, Version};

/// Why something could not be done on a GPU.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CudaError {
    /// There is no NVIDIA driver.
    NoDriver,
    /// The driver does not know what is needed.
    DriverTooOld {
        /// The version of CUDA that the driver knows.
        found: Version,
        /// The oldest that is enough.
        oldest: Version,
    },
    /// There is no NVRTC that the driver can load code of.
    NoNvrtc {
        /// The newest that the driver takes, if there is a driver.
        newest: Option<Version>,
    },
    /// NVRTC or another library is there and is not what it should be.
    Library {
        /// Which library.
        name: &'static str,
        /// What was found.
        reason: String,
    },
    /// There is no cuBLASLt.
    NoCublasLt,
    /// cuBLASLt refuses a call.
    CublasLt {
        /// What was asked of it.
        call: &'static str,
        /// Its name for the error, as `CUBLAS_STATUS_NOT_SUPPORTED`.
        name: String,
    },
    /// There is no device of this number.
    NoSuchDevice {
        /// The number, from 0.
        ordinal: usize,
        /// How many devices there are.
        count: usize,
    },
    /// There is no code for this on a GPU.
    Unsupported {
        /// What is asked for.
        what: &'static str,
    },
    /// The card is older than all that code is made for.
    DeviceTooOld {
        /// The card's name.
        name: String,
        /// What it runs.
        found: Architecture,
        /// The oldest that is enough.
        oldest: Architecture,
    },
    /// NVRTC does not know the card.
    NvrtcTooOld {
        /// The version of NVRTC.
        version: Version,
        /// What the card runs.
        architecture: Architecture,
    },
    /// A program cannot be compiled.
    Compilation {
        /// The program's name.
        program: &'static str,
        /// What it was compiled for.
        architecture: Architecture,
        /// What NVRTC says.
        log: String,
    },
    /// The device has not enough memory.
    OutOfMemory {
        /// Bytes that were asked for.
        asked: u64,
        /// Bytes that are free on the device, once unused memory was given back to it.
        free: u64,
        /// Bytes in use by this process's buffers.
        in_use: u64,
    },
    /// The driver refuses a call, or an earlier kernel failed.
    Driver {
        /// What was asked of it.
        call: &'static str,
        /// Its name for the error, as `CUDA_ERROR_ILLEGAL_ADDRESS`.
        name: String,
    },
}

impl fmt::Display for CudaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver => write!(f, "no NVIDIA driver was found"),
            Self::DriverTooOld { found, oldest } => {
                write!(f, "the NVIDIA driver knows CUDA {found}, expected {oldest} or newer")
            }
            Self::NoNvrtc { newest: None } => write!(f, "NVRTC was not found; {PATH_VARIABLE} says where to look"),
            Self::NoNvrtc { newest: Some(newest) } => write!(
                f,
                "no NVRTC of CUDA {} or older was found, as the driver needs; {PATH_VARIABLE} says where to look",
                newest.major
            ),
            Self::Library { name, reason } => write!(f, "{name} cannot be used: {reason}"),
            Self::NoCublasLt => write!(f, "cuBLASLt was not found; {PATH_VARIABLE} says where to look"),
            Self::NoSuchDevice { ordinal, count } => write!(f, "there is no CUDA device {ordinal} among {count}"),
            Self::Unsupported { what } => write!(f, "{what} cannot be computed on a GPU; --device cpu does"),
            Self::DeviceTooOld { name, found, oldest } => write!(f, "{name} is {found}, expected {oldest} or newer"),
            Self::NvrtcTooOld { version, architecture } => {
                write!(f, "NVRTC {version} does not know {architecture}; a newer one is needed")
            }
            Self::Compilation { program, architecture, log } => {
                write!(f, "cannot compile {program} for {architecture}: {}", log.trim_end())
            }
            Self::OutOfMemory { asked, free, in_use } => write!(
                f,
                "out of GPU memory: {asked} bytes asked for, {free} free, {in_use} in use by this process's buffers"
            ),
            Self::Driver { call, name } | Self::CublasLt { call, name } => write!(f, "{call}: {name}"),
        }
    }
}

impl Error for CudaError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_tell_what_was_expected_and_found() {
        let error = CudaError::DriverTooOld { found: Version::of_number(11_040), oldest: Version::of_number(12_000) };
        assert_eq!(error.to_string(), "the NVIDIA driver knows CUDA 11.4, expected 12.0 or newer");
        let error = CudaError::NoSuchDevice { ordinal: 3, count: 2 };
        assert_eq!(error.to_string(), "there is no CUDA device 3 among 2");
        let error = CudaError::CublasLt { call: "cublasLtMatmul", name: "CUBLAS_STATUS_NOT_SUPPORTED".to_string() };
        assert_eq!(error.to_string(), "cublasLtMatmul: CUBLAS_STATUS_NOT_SUPPORTED");
        let log = "norm.cu(3): error: expected a \";\"\n".to_string();
        let error = CudaError::Compilation { program: "norm", architecture: Architecture::sm(90), log };
        assert_eq!(error.to_string(), "cannot compile norm for sm_90: norm.cu(3): error: expected a \";\"");
    }
}
