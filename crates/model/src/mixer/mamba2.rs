//! One direction of a Mamba-2 mixer, between the projections (Dao & Gu 2024, §7.1).

use longstrand_kernels::{Backend, Write, causal_conv1d, elapsed, gated_norm, ssd};

use super::{MixerState, Readout, Stretch, convert, transpose};
use crate::checkpoint::Mamba2Weights;
use crate::config::Mamba2Config;
use crate::scratch::{Place, Scratch};

mod backward;

/// Convolution, state-space duality, and the gated norm.
#[derive(Debug)]
pub(crate) struct Mamba2Core<B: Backend> {
    pub(super) config: Mamba2Config,
    /// `[K, C]`
    conv_weight: Vec<B::Scalar>,
    conv_bias: Option<Vec<B::Scalar>>,
    pub(super) a: Vec<B::Scalar>,
    d: Vec<B::Scalar>,
    dt_bias: Vec<B::Scalar>,
    norm: Vec<B::Scalar>,
}

impl<B: Backend> Mamba2Core<B> {
    pub(super) fn new(config: Mamba2Config, weights: &Mamba2Weights) -> Self {
        Self {
            config,
            conv_weight: transpose(&weights.conv_weight, config.d_conv, |w| w),
            conv_bias: weights.conv_bias.as_deref().map(convert),
            a: transpose(&weights.a_log, 1, |a_log| -a_log.exp()),
            d: convert(&weights.d),
            dt_bias: convert(&weights.dt_bias),
            norm: convert(&weights.norm),
        }
    }

    pub(super) fn state_sizes(&self) -> (usize, usize) {
        let Mamba2Config { d_inner, d_state, d_conv, .. } = self.config;
        ((d_conv - 1) * self.config.conv_channels(), d_state * d_inner)
    }

    pub(super) fn run(
        &self,
        place: &mut Place<'_, B>,
        stretch: Stretch,
        state: &mut MixerState<B::Scalar>,
        readout: Option<Readout>,
    ) {
        let Stretch { direction, start, rows } = stretch;
        self.convolve(place, stretch, state);
        let Place { backend, scratch } = place;
        let Some(readout) = readout else {
            backend.ssd(&self.params(), direction, start, &self.inputs(scratch, rows), &mut state.ssm, None);
            return;
        };
        // The gated norm acts on each direction by itself, so a second direction needs a buffer of its own.
        let mut target = match readout.write {
            Write::Set => scratch.y.take(),
            Write::Add => scratch.y_direction.take(),
        };
        let output = ssd::Output { y: target.rows_mut(rows), write: Write::Set };
        backend.ssd(&self.params(), direction, start, &self.inputs(scratch, rows), &mut state.ssm, Some(output));
        backend.gated_norm(&self.norm_params(), target.get(rows), scratch.projected.z.rows(rows));
        match readout.write {
            Write::Set => scratch.y = target,
            Write::Add => {
                backend.add(scratch.y.get(rows), target.filled(rows));
                scratch.y_direction = target;
            }
        }
    }

    /// Walks the convolution over a stretch of what is projected.
    fn convolve(&self, place: &mut Place<'_, B>, stretch: Stretch, state: &mut MixerState<B::Scalar>) {
        let Stretch { direction, rows, .. } = stretch;
        let Scratch { projected, conv, .. } = &mut *place.scratch;
        let x = projected.main.rows(rows);
        place.backend.causal_conv1d(&self.conv_params(), direction, x, &mut state.conv, conv.get(rows));
    }

    fn conv_params(&self) -> causal_conv1d::Params<'_, B::Scalar> {
        causal_conv1d::Params { weight: &self.conv_weight, bias: self.conv_bias.as_deref() }
    }

    fn params(&self) -> ssd::Params<'_, B::Scalar> {
        let config = &self.config;
        ssd::Params {
            heads: config.n_heads,
            head_dim: config.head_dim,
            states: config.d_state,
            groups: config.n_groups,
            a: &self.a,
            d: &self.d,
            dt_bias: &self.dt_bias,
            dt_limit: config.dt_limit,
        }
    }

    /// What the scan reads of the convolution's output and of the step sizes.
    fn inputs<'a>(&self, scratch: &'a Scratch<B::Scalar>, rows: usize) -> ssd::Inputs<'a, B::Scalar> {
        let (inner, shared) = (self.config.d_inner, self.config.n_groups * self.config.d_state);
        ssd::Inputs {
            x: scratch.conv.columns(rows, 0, inner),
            dt: scratch.projected.dt.rows(rows),
            b: scratch.conv.columns(rows, inner, shared),
            c: scratch.conv.columns(rows, inner + shared, shared),
        }
    }

    /// The step sizes of what has been projected.
    pub(super) fn steps<'a>(&'a self, scratch: &'a Scratch<B::Scalar>, rows: usize) -> elapsed::Steps<'a, B::Scalar> {
        let delta = scratch.projected.dt.rows(rows);
        elapsed::Steps { bias: &self.dt_bias, limit: self.config.dt_limit, delta }
    }

    fn norm_params(&self) -> gated_norm::Params<'_, B::Scalar> {
        let config = &self.config;
        gated_norm::Params { weight: &self.norm, epsilon: config.norm_epsilon, group: config.norm_group }
    }
}
