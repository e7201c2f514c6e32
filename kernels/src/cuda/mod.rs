//! NVIDIA GPUs: what every room's `cuda.rs` stands on.
//!
//! Nothing is linked. The driver, NVRTC and cuBLASLt are opened when they are first needed, and what is missing is a
//! [`CudaError`]. Kernels are sources in the binary: a room declares a [`Program`], NVRTC compiles it for the card at
//! hand the first time it is asked for, and the result is kept in the user's [cache].
//!
//! A [`Device`] has one stream. Everything is done on it in the order of the calls, so that a [`Buffer`] may be dropped
//! while kernels still use it: its memory goes to whoever asks next, and their work comes later in the stream.
//!
//! ```no_run
//! use longstrand_kernels::cuda::Device;
//!
//! let device = Device::open(0)?;
//! let x = device.upload(&[1.0_f32, 2.0, 3.0])?;
//! assert_eq!(x.view().to_vec()?, [1.0, 2.0, 3.0]);
//! # Ok::<(), longstrand_kernels::cuda::CudaError>(())
//! ```

mod architecture;
pub(crate) mod blas;
pub mod cache;
pub mod check;
mod compile;
mod copy;
mod device;
mod element;
mod error;
pub(crate) mod graph;
#[cfg(test)]
mod large;
mod launch;
mod library;
mod memory;
mod module;
mod nvrtc;
mod pinned;
mod pool;
mod program;
mod resources;
mod rows;
pub(crate) mod sums;
#[cfg(test)]
pub(crate) mod testing;
mod version;
mod view;

pub use architecture::{Architecture, ParseArchitectureError};
pub use compile::{Compiled, compile};
pub use device::Device;
pub use element::{Element, Real};
pub use error::CudaError;
pub use launch::{Argument, Grid, Launch};
pub use library::{PATH_VARIABLE, require_cublaslt};
pub use memory::Buffer;
pub use nvrtc::Nvrtc;
pub use pinned::HostBuffer;
pub use pool::MemoryUse;
pub use program::{Program, Targets, programs};
pub use resources::Resources;
pub(crate) use rows::Pieces;
pub use rows::{TimeRows, TimeRowsMut, padded_stride};
pub use version::Version;
pub use view::{View, ViewMut};
