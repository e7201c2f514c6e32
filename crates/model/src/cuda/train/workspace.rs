//! Buffers that the way back of a chunk is computed in.

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real};
use longstrand_kernels::selective_scan;

use super::trail::Trail;
use crate::config::{Config, Directions, Mamba2Config, MambaConfig, MixerConfig};
use crate::cuda::layout::Plane;
use crate::cuda::mixer::{MambaInner, scan_bytes_per_column};
use crate::cuda::workspace::Workspace;
use crate::layer::Join;

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
    pub(super) d_projected: Plane<T>,
    /// Of what the output projection read, `[I, columns]`.
    pub(super) d_y: Plane<T>,
    pub(super) core: CoreAdjoints<T>,
    /// The other branch's output where the two are multiplied, and the gradient of this one's, `[columns, D]`.
    pub(super) product: Option<Product<T>>,
}

/// Gradients inside a core.
#[derive(Debug)]
pub(super) enum CoreAdjoints<T: Real> {
    Mamba(MambaAdjoints<T>),
    Mamba2(Mamba2Adjoints<T>),
}

/// Gradients inside a core of Mamba.
#[derive(Debug)]
pub(super) struct MambaAdjoints<T: Real> {
    /// Of the output before the gate, `[I, columns]`.
    pub(super) d_q: Plane<T>,
    /// Of what passes between the convolution and the scan.
    pub(super) d_inner: MambaInner<T>,
}

/// Gradients inside a core of Mamba-2.
#[derive(Debug)]
pub(super) struct Mamba2Adjoints<T: Real> {
    /// Of the scan's output, `[I, columns]`.
    pub(super) d_scanned: Plane<T>,
    /// Of the convolution's output, `[C, columns]`.
    pub(super) d_conv: Plane<T>,
    /// Of z by the second of two branches, `[I, columns]`.
    pub(super) d_z: Plane<T>,
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
    pub(super) fn new(device: &Device, config: &Config, columns: usize, branches: usize) -> Result<Self, CudaError> {
        let mixer = &config.mixer;
        let product = || {
            Ok(Product {
                other: device.buffer(columns * config.d_model)?,
                d_mixed: device.buffer(columns * config.d_model)?,
                forward: Workspace::new(device, config, columns)?,
            })
        };
        Ok(Self {
            input: device.buffer(columns * config.d_model)?,
            normed: device.buffer(columns * config.d_model)?,
            d_normed: device.buffer(columns * config.d_model)?,
            trail: Trail::new(device, mixer, if branches > 0 { columns } else { 0 }, branches)?,
            d_projected: Plane::new(device, mixer.projection_rows(), columns)?,
            d_y: Plane::new(device, mixer.d_inner(), columns)?,
            core: CoreAdjoints::new(device, config, columns)?,
            product: if Join::of(config) == Join::Product { Some(product()?) } else { None },
        })
    }

    /// Bytes that a column takes, what the scan's way back holds meanwhile included.
    pub(super) fn bytes_per_column(config: &Config) -> usize {
        let mixer = &config.mixer;
        let values = 3 * config.d_model + mixer.projection_rows() + mixer.d_inner() + config.vocab_size;
        let single = (2 * config.d_model + config.vocab_size) * size_of::<f32>();
        let product = match Join::of(config) {
            Join::Product => Workspace::<T>::bytes_per_column(config) + config.d_model * 6,
            _ => 0,
        };
        let core = Trail::<T>::bytes_per_column(mixer, 2) + CoreAdjoints::<T>::bytes_per_column(mixer);
        values * size_of::<T>() + core + single + product
    }
}

impl<T: Real> CoreAdjoints<T> {
    fn new(device: &Device, config: &Config, columns: usize) -> Result<Self, CudaError> {
        let plane = |channels| Plane::new(device, channels, columns);
        Ok(match &config.mixer {
            MixerConfig::Mamba(mixer) => Self::Mamba(MambaAdjoints {
                d_q: plane(mixer.d_inner)?,
                d_inner: MambaInner::new(device, *mixer, columns)?,
            }),
            MixerConfig::Mamba2(mixer) => Self::Mamba2(Mamba2Adjoints {
                d_scanned: plane(mixer.d_inner)?,
                d_conv: plane(mixer.conv_channels())?,
                d_z: plane(if config.directions == Directions::Causal { 0 } else { mixer.d_inner })?,
            }),
        })
    }

    /// A plane, `[I, columns]`, that is free until the way back of the cores begins.
    pub(super) fn spare(&mut self) -> &mut Plane<T> {
        match self {
            Self::Mamba(adjoints) => &mut adjoints.d_q,
            Self::Mamba2(adjoints) => &mut adjoints.d_scanned,
        }
    }

    fn bytes_per_column(mixer: &MixerConfig) -> usize {
        match mixer {
            MixerConfig::Mamba(config) => {
                let MambaConfig { d_inner, d_state, .. } = *config;
                let values = d_inner + MambaInner::<T>::values_per_column(*config);
                // Adjoints at the borders of tiles, and parts of the gradients of the parameters and of B and C.
                let tiles = (2 * d_state + 2) * d_inner * size_of::<f32>() / selective_scan::cuda::TILE;
                values * size_of::<T>() + tiles + 8 * d_state * size_of::<f32>()
            }
            MixerConfig::Mamba2(config) => {
                let Mamba2Config { d_inner, .. } = *config;
                let values = 2 * d_inner + config.conv_channels();
                // What the scan holds of both walks, and parts of the gradients of the parameters.
                values * size_of::<T>() + scan_bytes_per_column(config, 2)
            }
        }
    }
}
