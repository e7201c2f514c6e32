//! What a direction of a layer computes between the projections.

mod convolution;
mod mamba;
mod mamba2;
mod state;

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real};
use longstrand_kernels::{Write, causal_conv1d, norm, selective_scan, ssd};

use super::arithmetics::Arithmetics;
use super::layout::{Plane, Walk};
use crate::checkpoint::MixerWeights;
use crate::config::{Config, Mamba2Config, MixerConfig};
pub(super) use convolution::Convolution;
pub(super) use mamba::{MambaCore, MambaInner, Readout};
pub(super) use mamba2::Mamba2Core;
pub(super) use state::BranchState;

/// The scan of Mamba-2 takes so many channels of a head at once.
const HEAD_CHANNELS: usize = 8;

/// The most tokens of a vocabulary: an id is a byte.
const VOCABULARY: usize = 256;

/// Refuses what there is no code for.
pub(crate) fn check(config: &Config) -> Result<(), CudaError> {
    let refuse = |what| Err(CudaError::Unsupported { what });
    match &config.mixer {
        _ if config.vocab_size > VOCABULARY => refuse("a model of more than 256 tokens"),
        mixer if mixer.d_conv() > causal_conv1d::MAX_KERNEL => refuse("a convolution of more than 16 taps"),
        MixerConfig::Mamba2(config) if !config.head_dim.is_multiple_of(HEAD_CHANNELS) => {
            refuse("a Mamba-2 model whose heads are not a multiple of 8 channels")
        }
        MixerConfig::Mamba2(config) if config.d_state > ssd::cuda::MAX_STATES => {
            refuse("a Mamba-2 model with more than 256 states")
        }
        _ => Ok(()),
    }
}

/// Refuses what there is no code for gradients of.
pub(crate) fn check_training(config: &Config) -> Result<(), CudaError> {
    check(config)?;
    let refuse = |what| Err(CudaError::Unsupported { what });
    match &config.mixer {
        _ if config.d_model > norm::cuda::MAX_WIDTH => refuse("the training of a model wider than 12,288"),
        MixerConfig::Mamba(mamba) if mamba.d_state > selective_scan::cuda::MAX_STATES_BACKWARD => {
            refuse("the training of a Mamba model with more than 48 states")
        }
        _ => Ok(()),
    }
}

/// Sequences are cut at multiples of so many positions: the scan's tiles are.
pub(super) fn tile(mixer: &MixerConfig) -> usize {
    match mixer {
        MixerConfig::Mamba(_) => selective_scan::cuda::TILE,
        MixerConfig::Mamba2(_) => ssd::cuda::TILE,
    }
}

/// What a direction computes between the projections.
#[derive(Debug)]
pub(super) enum Core<T: Real> {
    Mamba(MambaCore<T>),
    Mamba2(Mamba2Core),
}

/// What passes between the steps of a core, of a chunk.
#[derive(Debug)]
pub(super) enum Inner<T: Real> {
    Mamba(MambaInner<T>),
    /// Output of the convolution: x, B and C, `[C, columns]`.
    Mamba2(Plane<T>),
}

/// Where a core's output goes.
pub(super) struct Target<'a, T: Real> {
    /// `[I, columns]`
    pub(super) y: &'a mut Plane<T>,
    /// Add is for mixers that [`adds`] says can.
    pub(super) write: Write,
}

impl<T: Real> Core<T> {
    pub(super) fn new(device: &Device, config: &MixerConfig, weights: &MixerWeights) -> Result<Self, CudaError> {
        Ok(match (config, weights) {
            (MixerConfig::Mamba(config), MixerWeights::Mamba(weights)) => {
                Self::Mamba(MambaCore::new(device, *config, weights)?)
            }
            (MixerConfig::Mamba2(config), MixerWeights::Mamba2(weights)) => {
                Self::Mamba2(Mamba2Core::new(device, *config, weights)?)
            }
            _ => unreachable!("a checkpoint's weights follow its configuration"),
        })
    }

    /// Walks a stretch from `state`, over what the input projection gave, the gate included.
    pub(super) fn run(
        &self,
        how: Arithmetics,
        walk: Walk<'_>,
        projected: &Plane<T>,
        inner: &mut Inner<T>,
        state: &mut BranchState,
        target: Target<'_, T>,
    ) -> Result<(), CudaError> {
        match (self, inner) {
            (Self::Mamba(core), Inner::Mamba(inner)) => core.run(how, walk, projected, inner, state, target),
            (Self::Mamba2(core), Inner::Mamba2(conv)) => {
                assert_eq!(target.write, Write::Set, "a norm is of one direction");
                core.run(walk, projected, conv, state, target.y)
            }
            _ => unreachable!("buffers follow the configuration"),
        }
    }
}

/// Whether a core's output can be added to another's as it is computed: one that ends with a norm has to be there by itself.
pub(super) fn adds(mixer: &MixerConfig) -> bool {
    matches!(mixer, MixerConfig::Mamba(_))
}

impl<T: Real> Inner<T> {
    pub(super) fn new(device: &Device, mixer: &MixerConfig, columns: usize) -> Result<Self, CudaError> {
        Ok(match mixer {
            MixerConfig::Mamba(config) => Self::Mamba(MambaInner::new(device, *config, columns)?),
            MixerConfig::Mamba2(config) => Self::Mamba2(Plane::new(device, config.conv_channels(), columns)?),
        })
    }

    /// Bytes that a column takes, what the scan holds meanwhile included.
    pub(super) fn bytes_per_column(mixer: &MixerConfig) -> usize {
        match mixer {
            MixerConfig::Mamba(config) => MambaInner::<T>::values_per_column(*config) * size_of::<T>(),
            MixerConfig::Mamba2(config) => config.conv_channels() * size_of::<T>() + scan_bytes_per_column(config, 1),
        }
    }
}

/// Bytes that the scan of Mamba-2 holds for a column, with the states of so many walks.
pub(super) fn scan_bytes_per_column(config: &Mamba2Config, walks: usize) -> usize {
    let Mamba2Config { d_inner, d_state, n_heads, n_groups, .. } = config;
    let states = (walks * d_inner * d_state).div_ceil(ssd::cuda::TILE);
    (3 * n_heads + 64 * n_groups + states) * size_of::<f32>()
}

/// A matrix in the type that products are made of.
pub(super) fn matrix<T: Real>(device: &Device, values: &[f32]) -> Result<Buffer<T>, CudaError> {
    device.upload(&values.iter().map(|&x| T::from_f32(x)).collect::<Vec<T>>())
}
