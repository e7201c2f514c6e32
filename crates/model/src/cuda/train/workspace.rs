//! Buffers that the way back of a chunk is computed in.

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real};

use crate::config::{Config, MambaConfig};
use crate::cuda::layout::Plane;
use crate::cuda::workspace::Workspace;
use crate::layer::Join;

/// What a branch computes again, and the gradients of it.
#[derive(Debug)]
pub(super) struct Trace<T: Real> {
    /// Output of the convolution, `[I, columns]`.
    pub(super) u: Plane<T>,
    /// Δ, B and C, `[R + 2 N, columns]`.
    pub(super) selected: Plane<T>,
    /// `[I, columns]`
    pub(super) delta: Plane<T>,
    /// States at the borders of the scan's tiles, of each strand.
    pub(super) borders: Vec<Buffer<f32>>,
}

/// What passes between the projections of a layer on the way forward, as the way back reads it.
#[derive(Debug)]
pub(super) struct Trail<T: Real> {
    /// x then z, `[2 I, columns]`.
    pub(super) xz: Plane<T>,
    /// Output of the branches before the gate, `[I, columns]`. On the way back it becomes what is behind the gate.
    pub(super) y: Plane<T>,
    /// Of the branches that go together.
    pub(super) traces: Vec<Trace<T>>,
}

impl<T: Real> Trail<T> {
    pub(super) fn new(device: &Device, mixer: MambaConfig, columns: usize, branches: usize) -> Result<Self, CudaError> {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = mixer;
        let plane = |channels| Plane::new(device, channels, columns);
        let trace = |_| {
            let selected = plane(dt_rank + 2 * d_state)?;
            Ok(Trace { u: plane(d_inner)?, selected, delta: plane(d_inner)?, borders: Vec::new() })
        };
        let traces = (0..branches).map(trace).collect::<Result<_, CudaError>>()?;
        Ok(Self { xz: plane(2 * d_inner)?, y: plane(d_inner)?, traces })
    }

    /// Bytes that a column takes.
    pub(super) fn bytes_per_column(mixer: MambaConfig, branches: usize) -> usize {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = mixer;
        let trace = 2 * d_inner + dt_rank + 2 * d_state;
        let borders = d_state * d_inner * size_of::<f32>() / longstrand_kernels::selective_scan::cuda::TILE;
        (3 * d_inner + branches * trace) * size_of::<T>() + branches * borders
    }
}

/// Working memory of the way back of a chunk.
#[derive(Debug)]
pub(super) struct Adjoints<T: Real> {
    /// The layer's input as the norm's way back reads it, `[columns, D]`.
    pub(super) input: Buffer<f32>,
    /// `[columns, D]`
    pub(super) normed: Buffer<T>,
    /// `[columns, D]`
    pub(super) d_normed: Buffer<T>,
    pub(super) trail: Trail<T>,
    pub(super) d_xz: Plane<T>,
    pub(super) d_y: Plane<T>,
    /// Of the output before the gate, `[I, columns]`.
    pub(super) d_q: Plane<T>,
    pub(super) d_u: Plane<T>,
    pub(super) d_delta: Plane<T>,
    /// `[R + 2 N, columns]`
    pub(super) d_selected: Plane<T>,
    /// The other branch's output where the two are multiplied, and the gradient of this one's, `[columns, D]`.
    pub(super) product: Option<Product<T>>,
}

/// See [`Adjoints::product`].
#[derive(Debug)]
pub(super) struct Product<T: Real> {
    pub(super) other: Buffer<f32>,
    pub(super) d_mixed: Buffer<T>,
    pub(super) forward: Workspace<T>,
}

impl<T: Real> Adjoints<T> {
    /// Room for so many columns; `branches` of a layer go together, or leave trails of their own.
    pub(super) fn new(
        device: &Device,
        config: &Config,
        mixer: MambaConfig,
        columns: usize,
        branches: usize,
    ) -> Result<Self, CudaError> {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = mixer;
        let plane = |channels| Plane::new(device, channels, columns);
        let product = || {
            Ok(Product {
                other: device.buffer(columns * config.d_model)?,
                d_mixed: device.buffer(columns * config.d_model)?,
                forward: Workspace::new(device, config, mixer, columns)?,
            })
        };
        Ok(Self {
            input: device.buffer(columns * config.d_model)?,
            normed: device.buffer(columns * config.d_model)?,
            d_normed: device.buffer(columns * config.d_model)?,
            trail: Trail::new(device, mixer, if branches > 0 { columns } else { 0 }, branches)?,
            d_xz: plane(2 * d_inner)?,
            d_y: plane(d_inner)?,
            d_q: plane(d_inner)?,
            d_u: plane(d_inner)?,
            d_delta: plane(d_inner)?,
            d_selected: plane(dt_rank + 2 * d_state)?,
            product: if Join::of(config) == Join::Product { Some(product()?) } else { None },
        })
    }

    /// Bytes that a column takes, what the scan's way back holds meanwhile included.
    pub(super) fn bytes_per_column(config: &Config, mixer: MambaConfig) -> usize {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = mixer;
        let selected = dt_rank + 2 * d_state;
        let values = 3 * config.d_model + 13 * d_inner + 3 * selected + config.vocab_size;
        // States and their adjoints at the borders of tiles, and parts of the gradients of B and C.
        let tiles = (3 * d_state + 2) * d_inner * size_of::<f32>() / longstrand_kernels::selective_scan::cuda::TILE;
        let parts = 8 * d_state * size_of::<f32>();
        let single = (2 * config.d_model + config.vocab_size) * size_of::<f32>();
        let product = match Join::of(config) {
            Join::Product => Workspace::<T>::bytes_per_column(config, mixer) + config.d_model * 6,
            _ => 0,
        };
        values * size_of::<T>() + tiles + parts + single + product
    }
}
