//! Buffers that a chunk is worked on in.

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real};

use super::layout::Plane;
use crate::config::{Config, Directions, MambaConfig};
use crate::layer::Join;

/// What passes between the projections of a mixer.
#[derive(Debug)]
pub(super) struct Inner<T: Real> {
    /// x then z, `[2 I, columns]`.
    pub(super) xz: Plane<T>,
    /// Output of the convolution, `[I, columns]`.
    pub(super) u: Plane<T>,
    /// Δ, B and C, `[R + 2 N, columns]`.
    pub(super) selected: Plane<T>,
    /// `[I, columns]`
    pub(super) delta: Plane<T>,
}

/// Working memory of a chunk.
#[derive(Debug)]
pub(super) struct Workspace<T: Real> {
    /// Output of the norm, `[columns, D]`.
    pub(super) normed: Buffer<T>,
    pub(super) inner: Inner<T>,
    /// Output of the first branch, or of both, `[I, columns]`.
    pub(super) y: Plane<T>,
    /// Output of the second branch where the two have output projections of their own.
    pub(super) y_second: Option<Plane<T>>,
    /// The branches' projected outputs where they are multiplied, `[columns, D]`.
    pub(super) mixed: Option<[Buffer<f32>; 2]>,
}

impl<T: Real> Workspace<T> {
    pub(super) fn new(device: &Device, config: &Config, mixer: MambaConfig, columns: usize) -> Result<Self, CudaError> {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = mixer;
        let plane = |channels| Plane::new(device, channels, columns);
        let mixed = || device.buffer(columns * config.d_model);
        Ok(Self {
            normed: device.buffer(columns * config.d_model)?,
            inner: Inner {
                xz: plane(2 * d_inner)?,
                u: plane(d_inner)?,
                selected: plane(dt_rank + 2 * d_state)?,
                delta: plane(d_inner)?,
            },
            y: plane(d_inner)?,
            y_second: if has_second(config) { Some(plane(d_inner)?) } else { None },
            mixed: if Join::of(config) == Join::Product { Some([mixed()?, mixed()?]) } else { None },
        })
    }

    /// Bytes that a column takes, the final norm's output and logits included.
    pub(super) fn bytes_per_column(config: &Config, mixer: MambaConfig) -> usize {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = mixer;
        let planes = 5 + usize::from(has_second(config));
        let mixed = if Join::of(config) == Join::Product { 2 * config.d_model } else { 0 };
        let values = config.d_model + planes * d_inner + dt_rank + 2 * d_state;
        let emitted = config.d_model + config.vocab_size;
        values * size_of::<T>() + (mixed + emitted) * size_of::<f32>() + config.d_model * size_of::<T>()
    }
}

/// Whether the second branch's output has a buffer of its own.
fn has_second(config: &Config) -> bool {
    config.directions != Directions::Causal && Join::of(config) != Join::SumBeforeProjection
}
