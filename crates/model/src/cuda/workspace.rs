//! Buffers that a chunk is worked on in.

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real};

use super::layout::Plane;
use super::mixer::{Inner, adds};
use crate::config::{Config, Directions};
use crate::layer::Join;

/// Working memory of a chunk.
#[derive(Debug)]
pub(super) struct Workspace<T: Real> {
    /// Output of the norm, `[columns, D]`.
    pub(super) normed: Buffer<T>,
    /// What the input projection gives: x and z, or of Mamba-2 z, x, B, C and Δ, `[rows, columns]`.
    pub(super) projected: Plane<T>,
    pub(super) inner: Inner<T>,
    /// Output of the first branch, or of both, `[I, columns]`.
    pub(super) y: Plane<T>,
    /// Output of the second branch where it cannot be added to the first's as it is computed.
    pub(super) y_second: Option<Plane<T>>,
    /// The branches' projected outputs where they are multiplied, `[columns, D]`.
    pub(super) mixed: Option<[Buffer<f32>; 2]>,
}

impl<T: Real> Workspace<T> {
    pub(super) fn new(device: &Device, config: &Config, columns: usize) -> Result<Self, CudaError> {
        let plane = |channels| Plane::new(device, channels, columns);
        let mixed = || device.buffer(columns * config.d_model);
        let d_inner = config.mixer.d_inner();
        Ok(Self {
            normed: device.buffer(columns * config.d_model)?,
            projected: plane(config.mixer.projection_rows())?,
            inner: Inner::new(device, &config.mixer, columns)?,
            y: plane(d_inner)?,
            y_second: if has_second(config) { Some(plane(d_inner)?) } else { None },
            mixed: if Join::of(config) == Join::Product { Some([mixed()?, mixed()?]) } else { None },
        })
    }

    /// Bytes that a column takes, the final norm's output and logits included.
    pub(super) fn bytes_per_column(config: &Config) -> usize {
        let outputs = 1 + usize::from(has_second(config));
        let values = 2 * config.d_model + config.mixer.projection_rows() + outputs * config.mixer.d_inner();
        let mixed = if Join::of(config) == Join::Product { 2 * config.d_model } else { 0 };
        let emitted = config.d_model + config.vocab_size;
        let inner = Inner::<T>::bytes_per_column(&config.mixer);
        inner + values * size_of::<T>() + (mixed + emitted) * size_of::<f32>()
    }
}

/// Whether the second branch's output has a buffer of its own.
fn has_second(config: &Config) -> bool {
    config.directions != Directions::Causal && (Join::of(config) != Join::SumBeforeProjection || !adds(&config.mixer))
}
