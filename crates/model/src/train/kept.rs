//! What is kept of a sequence on its way forward.

use longstrand_kernels::backend::Scalar;

use crate::config::Config;
use crate::layer::LayerState;
use crate::mixer::MixerState;
use crate::scratch::Plane;
use crate::strand;

/// The residual stream before every layer and after the last, and the states at the borders of chunks.
#[derive(Clone, Debug)]
pub(super) struct Kept<S> {
    /// `[L, D]` of every layer and strand, the strands of a layer side by side; those after the last layer become their
    /// own gradients.
    pub(super) streams: Vec<Plane<S>>,
    /// The gradient that comes next, `[L, D]`.
    pub(super) d_stream: Plane<S>,
    /// What every layer entered each chunk with, in the order of positions; layers and strands as in `streams`.
    pub(super) states: Vec<Vec<LayerState<S>>>,
}

impl<S: Scalar> Kept<S> {
    pub(super) fn new(config: &Config) -> Self {
        let strands = strand::strands(config.rcps.as_ref());
        Self {
            streams: vec![Plane::new(config.d_model); (config.n_layer + 1) * strands],
            d_stream: Plane::new(config.d_model),
            states: vec![Vec::new(); config.n_layer * strands],
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let values = |state: &MixerState<S>| state.conv.len() + state.ssm.len();
        let states: usize = self.states.iter().flatten().flatten().map(values).sum();
        self.streams.iter().chain([&self.d_stream]).map(Plane::bytes).sum::<usize>() + states * size_of::<S>()
    }
}
