//! One direction of a Mamba mixer, between the projections (Gu & Dao 2023, Algorithm 2 and §3.4).

use longstrand_kernels::{Backend, Rows, Write, causal_conv1d, elapsed, selective_scan};

use super::{MixerState, Readout, Stretch, convert, transpose};
use crate::checkpoint::MambaWeights;
use crate::config::MambaConfig;
use crate::scratch::{Place, Scratch};

pub(crate) mod backward;

/// Convolution, the projections that select, and the scan.
#[derive(Debug)]
pub(crate) struct MambaCore<B: Backend> {
    pub(super) config: MambaConfig,
    /// `[K, I]`
    conv_weight: Vec<B::Scalar>,
    conv_bias: Option<Vec<B::Scalar>>,
    /// `[R + 2 N, I]`: Δ, B, C
    x_proj: B::Matrix,
    /// `[I, R]`
    dt_proj: B::Matrix,
    /// `[N, I]`
    pub(super) a: Vec<B::Scalar>,
    d: Vec<B::Scalar>,
    delta_bias: Vec<B::Scalar>,
}

impl<B: Backend> MambaCore<B> {
    pub(super) fn new(backend: &B, config: MambaConfig, weights: &MambaWeights) -> Self {
        let zeros = vec![0.0; config.d_inner];
        Self {
            conv_weight: transpose(&weights.conv_weight, config.d_conv, |w| w),
            conv_bias: weights.conv_bias.as_deref().map(convert),
            x_proj: backend.matrix(&weights.x_proj, config.d_inner, None),
            dt_proj: backend.matrix(&weights.dt_proj.weight, config.dt_rank, None),
            a: transpose(&weights.a_log, config.d_state, |a_log| -a_log.exp()),
            d: convert(&weights.d),
            delta_bias: convert(weights.dt_proj.bias.as_ref().unwrap_or(&zeros)),
            config,
        }
    }

    pub(super) fn state_sizes(&self) -> (usize, usize) {
        let MambaConfig { d_inner, d_state, d_conv, .. } = self.config;
        ((d_conv - 1) * d_inner, d_state * d_inner)
    }

    pub(super) fn run(
        &self,
        place: &mut Place<'_, B>,
        stretch: Stretch,
        state: &mut MixerState<B::Scalar>,
        readout: Option<Readout>,
    ) {
        let MambaConfig { d_state, dt_rank, .. } = self.config;
        let Stretch { direction, rows, .. } = stretch;
        self.select(place, stretch, &mut state.conv, readout.is_some());
        let Place { backend, scratch } = place;
        let Scratch { projected, conv, selected, delta, y, .. } = &mut **scratch;
        let inputs = selective_scan::Inputs {
            u: conv.rows(rows),
            delta: delta.rows(rows),
            b: selected.columns(rows, dt_rank, d_state),
        };
        let output = readout.map(|readout| selective_scan::Output {
            c: selected.columns(rows, dt_rank + d_state, d_state),
            z: readout.gate.then(|| projected.z.rows(rows)),
            y: y.rows_mut(rows),
            write: readout.write,
        });
        backend.selective_scan(&self.scan_params(), direction, &inputs, &mut state.ssm, output);
    }

    /// Walks the convolution over a stretch of what is projected, and computes Δ, B and, when it is `read`, C.
    fn select(&self, place: &mut Place<'_, B>, stretch: Stretch, state: &mut [B::Scalar], read: bool) {
        let MambaConfig { d_inner, d_state, dt_rank, .. } = self.config;
        let Stretch { direction, rows, .. } = stretch;
        let Place { backend, scratch } = place;
        let Scratch { projected, conv, selected, delta, .. } = &mut **scratch;

        let params = causal_conv1d::Params { weight: &self.conv_weight, bias: self.conv_bias.as_deref() };
        let u = conv.get(rows);
        backend.causal_conv1d(&params, direction, projected.main.rows(rows), state, u);
        let u = Rows::new(&*u, d_inner);

        let wanted = if read { dt_rank + 2 * d_state } else { dt_rank + d_state };
        backend.linear(&self.x_proj, u, selected.columns_mut(rows, 0, wanted), Write::Set);
        backend.linear(&self.dt_proj, selected.columns(rows, 0, dt_rank), delta.rows_mut(rows), Write::Set);
    }

    fn scan_params(&self) -> selective_scan::Params<'_, B::Scalar> {
        selective_scan::Params { a: &self.a, d: &self.d, delta_bias: &self.delta_bias }
    }

    /// The step sizes of what has just been selected.
    pub(super) fn steps<'a>(&'a self, scratch: &'a Scratch<B::Scalar>, rows: usize) -> elapsed::Steps<'a, B::Scalar> {
        elapsed::Steps { bias: &self.delta_bias, limit: elapsed::UNLIMITED, delta: scratch.delta.rows(rows) }
    }
}
