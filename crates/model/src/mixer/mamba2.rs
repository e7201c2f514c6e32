//! One direction of a Mamba-2 mixer, between the projections (Dao & Gu 2024, §7.1).

use longstrand_kernels::{Backend, Write, causal_conv1d, gated_norm, ssd};

use super::{MixerState, Readout, Stretch, convert, transpose};
use crate::checkpoint::Mamba2Weights;
use crate::config::Mamba2Config;
use crate::scratch::{Place, Scratch};

/// Convolution, state-space duality, and the gated norm.
#[derive(Debug)]
pub(crate) struct Mamba2Core<B: Backend> {
    config: Mamba2Config,
    /// `[K, C]`
    conv_weight: Vec<B::Scalar>,
    conv_bias: Option<Vec<B::Scalar>>,
    a: Vec<B::Scalar>,
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
        let config = &self.config;
        let Stretch { direction, start, rows } = stretch;
        let Place { backend, scratch } = place;
        let Scratch { projected, conv, y, y_direction, .. } = &mut **scratch;

        let params = causal_conv1d::Params { weight: &self.conv_weight, bias: self.conv_bias.as_deref() };
        backend.causal_conv1d(&params, direction, projected.main.rows(rows), &mut state.conv, conv.get(rows));

        let shared = config.n_groups * config.d_state;
        let params = ssd::Params {
            heads: config.n_heads,
            head_dim: config.head_dim,
            states: config.d_state,
            groups: config.n_groups,
            a: &self.a,
            d: &self.d,
            dt_bias: &self.dt_bias,
            dt_limit: config.dt_limit,
        };
        let inputs = ssd::Inputs {
            x: conv.columns(rows, 0, config.d_inner),
            dt: projected.dt.rows(rows),
            b: conv.columns(rows, config.d_inner, shared),
            c: conv.columns(rows, config.d_inner + shared, shared),
        };
        let Some(readout) = readout else {
            backend.ssd(&params, direction, start, &inputs, &mut state.ssm, None);
            return;
        };
        // The gated norm acts on each direction by itself, so a second direction needs a buffer of its own.
        let target = match readout.write {
            Write::Set => &mut *y,
            Write::Add => y_direction,
        };
        let output = ssd::Output { y: target.rows_mut(rows), write: Write::Set };
        backend.ssd(&params, direction, start, &inputs, &mut state.ssm, Some(output));
        let norm = gated_norm::Params { weight: &self.norm, epsilon: config.norm_epsilon, group: config.norm_group };
        backend.gated_norm(&norm, target.get(rows), projected.z.rows(rows));
        if readout.write == Write::Add {
            backend.add(y.get(rows), y_direction.get(rows));
        }
    }
}
