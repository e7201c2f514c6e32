//! What passes between the projections of a layer on the way forward, as the way back reads it.

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real};
use longstrand_kernels::{Write, gated_norm, selective_scan, silu_gate};

use crate::config::{MambaConfig, MixerConfig};
use crate::cuda::arithmetics::Arithmetics;
use crate::cuda::layout::{Layout, Plane, Walk};
use crate::cuda::mixer::{BranchState, Core, Mamba2Core, MambaCore, MambaInner, Readout, Target, adds};
use crate::mixer::InputParts;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Trail<T: Real> {
    /// What the input projection gives, `[rows, columns]`.
    pub(super) projected: Plane<T>,
    /// The sum of the branches' outputs, `[I, columns]`. Of Mamba it is the one before the gate, and on the way back it
    /// becomes what is behind the gate.
    pub(super) y: Plane<T>,
    /// Of the branches that go together.
    pub(super) traces: Vec<Trace<T>>,
}

/// What a branch leaves.
#[derive(Debug)]
pub(super) enum Trace<T: Real> {
    Mamba(MambaTrace<T>),
    Mamba2(Mamba2Trace<T>),
}

/// What a branch of a Mamba mixer leaves.
#[derive(Debug)]
pub(super) struct MambaTrace<T: Real> {
    pub(super) inner: MambaInner<T>,
    /// States at the borders of the scan's tiles, of each strand.
    pub(super) borders: Vec<Buffer<f32>>,
}

/// What a branch of a Mamba-2 mixer leaves.
#[derive(Debug)]
pub(super) struct Mamba2Trace<T: Real> {
    /// Output of the convolution: x, B and C, `[C, columns]`.
    pub(super) conv: Plane<T>,
    /// Output of the scan, which the norm reads, `[I, columns]`.
    pub(super) scanned: Plane<T>,
}

impl<T: Real> Trail<T> {
    pub(super) fn new(
        device: &Device,
        mixer: &MixerConfig,
        columns: usize,
        branches: usize,
    ) -> Result<Self, CudaError> {
        let plane = |channels| Plane::new(device, channels, columns);
        let traces = (0..branches).map(|_| Trace::new(device, mixer, columns)).collect::<Result<_, CudaError>>()?;
        Ok(Self { projected: plane(mixer.projection_rows())?, y: plane(mixer.d_inner())?, traces })
    }

    /// Bytes that a column takes.
    pub(super) fn bytes_per_column(mixer: &MixerConfig, branches: usize) -> usize {
        (mixer.projection_rows() + mixer.d_inner()) * size_of::<T>() + branches * Trace::<T>::bytes_per_column(mixer)
    }

    /// Walks a branch, keeps what its way back reads in one of the traces, and sets the sum of outputs or adds to it. `spare`
    /// is `[I, columns]`.
    pub(super) fn walk(
        &mut self,
        (core, how): (&Core<T>, Arithmetics),
        walk: Walk<'_>,
        trace: usize,
        state: &mut BranchState,
        spare: &mut Plane<T>,
    ) -> Result<(), CudaError> {
        let Self { projected, y, traces } = self;
        let target = Target { y, write: if trace == 0 { Write::Set } else { Write::Add } };
        match (core, &mut traces[trace]) {
            (Core::Mamba(core), Trace::Mamba(trace)) => trace.walk((core, how), walk, projected, state, target),
            (Core::Mamba2(core), Trace::Mamba2(trace)) => trace.walk(core, walk, projected, state, target, spare),
            _ => unreachable!("traces follow the configuration"),
        }
    }

    /// What the output projection reads; it may be made in `spare`, `[I, columns]`.
    pub(super) fn output<'a>(
        &'a self,
        mixer: &MixerConfig,
        layout: Layout,
        spare: &'a mut Plane<T>,
    ) -> Result<&'a Plane<T>, CudaError> {
        if !adds(mixer) {
            return Ok(&self.y);
        }
        let z = self.projected.channels(layout, InputParts::of(mixer).z);
        silu_gate::cuda::forward(Some(self.y.rows(layout)), z, spare.rows_mut(layout))?;
        Ok(spare)
    }
}

impl<T: Real> Trace<T> {
    fn new(device: &Device, mixer: &MixerConfig, columns: usize) -> Result<Self, CudaError> {
        Ok(match mixer {
            MixerConfig::Mamba(config) => {
                Self::Mamba(MambaTrace { inner: MambaInner::new(device, *config, columns)?, borders: Vec::new() })
            }
            MixerConfig::Mamba2(config) => Self::Mamba2(Mamba2Trace {
                conv: Plane::new(device, config.conv_channels(), columns)?,
                scanned: Plane::new(device, config.d_inner, columns)?,
            }),
        })
    }

    fn bytes_per_column(mixer: &MixerConfig) -> usize {
        match mixer {
            MixerConfig::Mamba(config) => {
                let MambaConfig { d_inner, d_state, .. } = *config;
                let borders = d_state * d_inner * size_of::<f32>() / selective_scan::cuda::TILE;
                MambaInner::<T>::values_per_column(*config) * size_of::<T>() + borders
            }
            MixerConfig::Mamba2(config) => (config.conv_channels() + config.d_inner) * size_of::<T>(),
        }
    }
}

impl<T: Real> MambaTrace<T> {
    fn walk(
        &mut self,
        (core, how): (&MambaCore<T>, Arithmetics),
        walk: Walk<'_>,
        projected: &Plane<T>,
        state: &mut BranchState,
        target: Target<'_, T>,
    ) -> Result<(), CudaError> {
        let Self { inner, borders } = self;
        core.prepare(how, walk, projected, inner, state)?;
        borders.clear();
        core.scan(walk, inner, state, Readout { target, gate: None, borders: Some(borders) })
    }
}

impl<T: Real> Mamba2Trace<T> {
    fn walk(
        &mut self,
        core: &Mamba2Core,
        walk: Walk<'_>,
        projected: &Plane<T>,
        state: &mut BranchState,
        target: Target<'_, T>,
        spare: &mut Plane<T>,
    ) -> Result<(), CudaError> {
        let (layout, Self { conv, scanned }, Target { y, write }) = (walk.layout(), self, target);
        core.scan(walk, projected, conv, state, scanned)?;
        let (scanned, z, params) = (scanned.rows(layout), core.gate(layout, projected), core.norm_params());
        if write == Write::Set {
            return gated_norm::cuda::forward(&params, Some(scanned), z, y.rows_mut(layout));
        }
        gated_norm::cuda::forward(&params, Some(scanned), z, spare.rows_mut(layout))?;
        y.add(layout, 0..core.config.d_inner, spare)
    }
}
