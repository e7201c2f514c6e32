//! A mixer made ready for a backend: input projection, one core for each direction, output projection.
//!
//! The two directions of a tied bidirectional block share x and z, which are computed once, and the output
//! projection, which is linear and so runs once on the sum of the directions (strategy "add").

use std::ops::Range;

use longstrand_kernels::{Backend, Direction, Write};

use crate::checkpoint::{LinearWeights, MixerWeights};
use crate::config::MixerConfig;
use crate::scratch::{Place, Scratch};

pub(crate) mod backward;
mod mamba;
mod mamba2;
mod stretch;

use mamba::MambaCore;
use mamba2::Mamba2Core;

/// The recurrent state of one direction of one layer: what has to be known of everything on one side of a position.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MixerState<S> {
    /// Inputs of the convolution, `[K-1, C]`.
    pub(crate) conv: Vec<S>,
    /// State of the scan: `[N, I]` for Mamba, `[H, N, P]` for Mamba-2.
    pub(crate) ssm: Vec<S>,
}

/// Input and output projections.
#[derive(Debug)]
pub(crate) struct Projections<B: Backend> {
    /// What passes the convolution: x, or x, B and C.
    main: B::Matrix,
    z: B::Matrix,
    /// Step sizes of Mamba-2.
    dt: Option<B::Matrix>,
    out: B::Matrix,
}

/// How a weight is changed when it is made ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preparation {
    /// The layer works on reversed channels.
    pub(crate) flip_channels: bool,
    /// The output projection serves the sum of two directions, each of which would have added its bias.
    pub(crate) sums_directions: bool,
}

impl<B: Backend> Projections<B> {
    pub(crate) fn new(
        backend: &B,
        config: &MixerConfig,
        d_model: usize,
        weights: &MixerWeights,
        prepare: Preparation,
    ) -> Option<Self> {
        let (in_proj, out_proj) = weights.projections()?;
        let inputs = InputRows { backend, in_proj, d_model, flip: prepare.flip_channels };
        let parts = InputParts::of(config);
        let out = output_matrix(backend, out_proj, config.d_inner(), prepare);
        Some(Self {
            main: inputs.matrix(parts.main),
            z: inputs.matrix(parts.z),
            dt: parts.dt.map(|dt| inputs.matrix(dt)),
            out,
        })
    }

    /// Computes what the cores read of the scratch's `normed`: always what drives the state, and the gate when `gate`.
    pub(crate) fn project(&self, place: &mut Place<'_, B>, rows: usize, gate: bool) {
        let Place { backend, scratch } = place;
        let Scratch { normed, projected, .. } = &mut **scratch;
        let x = normed.rows(rows);
        backend.linear(&self.main, x, projected.main.rows_mut(rows), Write::Set);
        if let Some(dt) = &self.dt {
            backend.linear(dt, x, projected.dt.rows_mut(rows), Write::Set);
        }
        if gate {
            backend.linear(&self.z, x, projected.z.rows_mut(rows), Write::Set);
        }
    }

    /// The matrix of the output projection, `[D, I]`.
    pub(crate) fn out(&self) -> &B::Matrix {
        &self.out
    }
}

/// Which rows of an input projection give what.
#[derive(Debug)]
pub(crate) struct InputParts {
    /// What passes the convolution: x, or x, B and C.
    pub(crate) main: Range<usize>,
    /// The gate.
    pub(crate) z: Range<usize>,
    /// Step sizes of Mamba-2.
    pub(crate) dt: Option<Range<usize>>,
}

impl InputParts {
    pub(crate) fn of(config: &MixerConfig) -> Self {
        let inner = config.d_inner();
        match config {
            MixerConfig::Mamba(_) => Self { main: 0..inner, z: inner..2 * inner, dt: None },
            MixerConfig::Mamba2(c) => {
                let end = inner + c.conv_channels();
                Self { z: 0..inner, main: inner..end, dt: Some(end..end + c.n_heads) }
            }
        }
    }
}

/// Picks rows of an input projection.
struct InputRows<'a, B> {
    backend: &'a B,
    in_proj: &'a LinearWeights,
    d_model: usize,
    flip: bool,
}

impl<B: Backend> InputRows<'_, B> {
    fn matrix(&self, rows: Range<usize>) -> B::Matrix {
        let bias = self.in_proj.bias.as_ref().map(|bias| &bias[rows.clone()]);
        self.backend.matrix(&self.weight(rows), self.d_model, bias)
    }

    fn weight(&self, rows: Range<usize>) -> Vec<f32> {
        input_weight(self.in_proj, self.d_model, rows, self.flip)
    }
}

/// Some rows of an input projection, `[rows, D]`, with the channels in the opposite order if `flip`.
pub(crate) fn input_weight(in_proj: &LinearWeights, d_model: usize, rows: Range<usize>, flip: bool) -> Vec<f32> {
    let mut weight = in_proj.weight[rows.start * d_model..rows.end * d_model].to_vec();
    if flip {
        weight.chunks_exact_mut(d_model).for_each(<[f32]>::reverse);
    }
    weight
}

/// The rows of a weight with `inner` columns, in the opposite order if `flip`.
pub(crate) fn output_weight(out_proj: &LinearWeights, inner: usize, flip: bool) -> Vec<f32> {
    if flip {
        return out_proj.weight.chunks_exact(inner).rev().flatten().copied().collect();
    }
    out_proj.weight.clone()
}

/// The bias of an output projection as a layer adds it.
pub(crate) fn output_bias(out_proj: &LinearWeights, prepare: Preparation) -> Option<Vec<f32>> {
    let mut bias = out_proj.bias.clone()?;
    if prepare.flip_channels {
        bias.reverse();
    }
    if prepare.sums_directions {
        bias.iter_mut().for_each(|bias| *bias *= 2.0);
    }
    Some(bias)
}

fn output_matrix<B: Backend>(backend: &B, out_proj: &LinearWeights, inner: usize, prepare: Preparation) -> B::Matrix {
    let bias = output_bias(out_proj, prepare);
    backend.matrix(&output_weight(out_proj, inner, prepare.flip_channels), inner, bias.as_deref())
}

impl<S> MixerWeights<S> {
    /// The input and the output projection, where they are not another mixer's.
    pub(crate) fn projections(&self) -> Option<(&LinearWeights<S>, &LinearWeights<S>)> {
        match self {
            Self::Mamba(w) => w.in_proj.as_ref().zip(w.out_proj.as_ref()),
            Self::Mamba2(w) => w.in_proj.as_ref().zip(w.out_proj.as_ref()),
        }
    }

    /// Taps and bias of the convolution.
    #[cfg(feature = "cuda")]
    pub(crate) fn convolution(&self) -> (&Vec<S>, Option<&Vec<S>>) {
        match self {
            Self::Mamba(w) => (&w.conv_weight, w.conv_bias.as_ref()),
            Self::Mamba2(w) => (&w.conv_weight, w.conv_bias.as_ref()),
        }
    }

    /// As [`Self::projections`], to be changed.
    pub(crate) fn projections_mut(&mut self) -> Option<(&mut LinearWeights<S>, &mut LinearWeights<S>)> {
        match self {
            Self::Mamba(w) => w.in_proj.as_mut().zip(w.out_proj.as_mut()),
            Self::Mamba2(w) => w.in_proj.as_mut().zip(w.out_proj.as_mut()),
        }
    }
}

/// What a direction computes between the projections.
#[derive(Debug)]
pub(crate) enum Core<B: Backend> {
    Mamba(MambaCore<B>),
    Mamba2(Mamba2Core<B>),
}

/// Where a stretch lies and which way it is walked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) direction: Direction,
    /// Absolute position of the first row.
    pub(crate) start: u64,
    /// Number of rows.
    pub(crate) rows: usize,
}

/// Which of a core's outputs goes where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Readout {
    /// Set or add to the scratch buffer `y`.
    pub(crate) write: Write,
    /// Whether the core applies the gate z. A core that norms (Mamba-2) always does.
    pub(crate) gate: bool,
}

impl<B: Backend> Core<B> {
    pub(crate) fn new(backend: &B, config: &MixerConfig, weights: &MixerWeights) -> Self {
        match (config, weights) {
            (MixerConfig::Mamba(config), MixerWeights::Mamba(weights)) => {
                Self::Mamba(MambaCore::new(backend, *config, weights))
            }
            (MixerConfig::Mamba2(config), MixerWeights::Mamba2(weights)) => {
                Self::Mamba2(Mamba2Core::new(*config, weights))
            }
            _ => unreachable!("a checkpoint's weights follow its configuration"),
        }
    }

    /// The state before the start of a sequence.
    pub(crate) fn zero_state(&self) -> MixerState<B::Scalar> {
        let (conv, ssm) = self.state_sizes();
        MixerState { conv: vec![B::Scalar::default(); conv], ssm: vec![B::Scalar::default(); ssm] }
    }

    /// Values that a state keeps for the convolution and for the scan.
    pub(crate) fn state_sizes(&self) -> (usize, usize) {
        match self {
            Self::Mamba(core) => core.state_sizes(),
            Self::Mamba2(core) => core.state_sizes(),
        }
    }

    /// Whether the gate is applied inside the core whatever [`Readout::gate`] says.
    pub(crate) fn always_gates(&self) -> bool {
        matches!(self, Self::Mamba2(_))
    }

    /// Walks a stretch from `state`, reading the scratch's projections; with a readout, writes its `y`.
    pub(crate) fn run(
        &self,
        place: &mut Place<'_, B>,
        stretch: Stretch,
        state: &mut MixerState<B::Scalar>,
        readout: Option<Readout>,
    ) {
        match self {
            Self::Mamba(core) => core.run(place, stretch, state, readout),
            Self::Mamba2(core) => core.run(place, stretch, state, readout),
        }
    }
}

/// `[rows, columns]` to `[columns, rows]`, converted.
pub(crate) fn transpose<S: longstrand_kernels::backend::Scalar>(
    x: &[f32],
    columns: usize,
    map: impl Fn(f64) -> f64,
) -> Vec<S> {
    let rows = x.len() / columns;
    (0..columns)
        .flat_map(|c| (0..rows).map(move |r| (r, c)))
        .map(|(r, c)| S::from_f64(map(x[r * columns + c].into())))
        .collect()
}

/// The same numbers in the backend's precision.
pub(crate) fn convert<S: longstrand_kernels::backend::Scalar>(x: &[f32]) -> Vec<S> {
    x.iter().map(|&x| S::from_f64(x.into())).collect()
}
