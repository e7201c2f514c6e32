//! Buffers that gradients are computed in, kept from call to call.

use longstrand_kernels::Backend;
use longstrand_kernels::backend::{Precision, Scalar};

use super::kept::Kept;
use crate::config::{Config, Head, MixerConfig};
use crate::layer::Join;
use crate::scratch::{Place, Plane, Scratch};

/// Working memory of the gradients of one sequence at a time.
///
/// Keep one for each thread that computes gradients side by side; it grows to the longest sequence it has met.
#[derive(Clone, Debug)]
pub struct TrainScratch<S> {
    pub(super) forward: Scratch<S>,
    pub(super) adjoints: Adjoints<S>,
    pub(super) kept: Kept<S>,
}

impl<S: Scalar> TrainScratch<S> {
    /// Empty buffers of the widths that a model needs, for a backend of a precision.
    pub fn new(config: &Config, precision: Precision) -> Self {
        let kept = Kept::new(config, precision);
        Self { forward: Scratch::new(config), adjoints: Adjoints::new(config), kept }
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        let planes = self.forward.planes().chain(self.adjoints.planes());
        planes.map(Plane::bytes).sum::<usize>() + self.kept.bytes()
    }

    /// Bytes that a position of a chunk takes.
    pub(super) fn bytes_per_position(config: &Config, precision: Precision) -> usize {
        let (forward, adjoints) = (Scratch::<S>::new(config), Adjoints::<S>::new(config));
        // A head that classifies norms one strand at a time, and no pass writes the streams' published form.
        let normed = if matches!(config.head, Head::SequenceClassification { .. }) { 1 } else { 2 };
        let unused = [&forward.halves, &forward.residual].into_iter().chain(forward.mixed.iter().skip(normed));
        let width = |planes: &mut dyn Iterator<Item = &Plane<S>>| planes.map(Plane::width).sum::<usize>();
        let all = width(&mut forward.planes().chain(adjoints.planes()));
        (all - width(&mut unused.into_iter()) + Kept::<S>::widened_width(config, precision)) * size_of::<S>()
    }
}

/// Gradients of what a pass over a chunk computes, under the names of the scratch's planes.
#[derive(Clone, Debug)]
pub(crate) struct Adjoints<S> {
    /// Of a norm's output, `[L, D]`.
    pub(crate) d_normed: Plane<S>,
    /// `[L, C]`
    pub(crate) d_main: Plane<S>,
    /// `[L, I]`
    pub(crate) d_z: Plane<S>,
    /// `[L, H]`
    pub(crate) d_dt: Plane<S>,
    /// `[L, C]`
    pub(crate) d_conv: Plane<S>,
    /// `[L, R + 2 N]`
    pub(crate) d_selected: Plane<S>,
    /// `[L, I]`
    pub(crate) d_delta: Plane<S>,
    /// `[L, N]`, or `[L, G N]` of Mamba-2.
    pub(crate) d_b: Plane<S>,
    /// As `d_b`.
    pub(crate) d_c: Plane<S>,
    /// `[L, I]`
    pub(crate) d_y: Plane<S>,
    /// Output of Mamba-2's scan before its norm, `[L, I]`.
    pub(crate) scanned: Plane<S>,
    /// `[L, I]`
    pub(crate) d_scanned: Plane<S>,
    /// The share that Mamba-2's second direction has in the gradient of z, `[L, I]`.
    pub(crate) d_z_direction: Plane<S>,
    /// Gradient of one direction's output where they are multiplied, `[L, D]`.
    pub(crate) d_mixed: Plane<S>,
    /// Of each strand's final hidden states, `[L, D]`.
    pub(crate) d_hidden: [Plane<S>; 2],
    /// `[L, V]`
    pub(crate) d_logits: Plane<S>,
}

impl<S: Scalar> Adjoints<S> {
    fn new(config: &Config) -> Self {
        let (d, inner) = (config.d_model, config.mixer.d_inner());
        let (channels, heads, selected, states, delta) = match &config.mixer {
            MixerConfig::Mamba(c) => (inner, 0, c.dt_rank + 2 * c.d_state, c.d_state, inner),
            MixerConfig::Mamba2(c) => (c.conv_channels(), c.n_heads, 0, c.n_groups * c.d_state, 0),
        };
        let when = |used: bool, width: usize| Plane::new(if used { width } else { 0 });
        let (is_mamba2, join) = (matches!(config.mixer, MixerConfig::Mamba2(_)), Join::of(config));
        let is_language_model = matches!(config.head, Head::LanguageModel { .. });
        Self {
            d_normed: Plane::new(d),
            d_main: Plane::new(channels),
            d_z: Plane::new(inner),
            d_dt: Plane::new(heads),
            d_conv: Plane::new(channels),
            d_selected: Plane::new(selected),
            d_delta: Plane::new(delta),
            d_b: Plane::new(states),
            d_c: Plane::new(states),
            d_y: Plane::new(inner),
            scanned: when(is_mamba2, inner),
            d_scanned: when(is_mamba2, inner),
            d_z_direction: when(is_mamba2 && join == Join::SumBeforeProjection, inner),
            d_mixed: when(join == Join::Product, d),
            d_hidden: [Plane::new(d), when(is_language_model && config.rcps.is_some(), d)],
            d_logits: when(is_language_model, config.vocab_size),
        }
    }

    fn planes(&self) -> impl Iterator<Item = &Plane<S>> {
        let Self { d_normed, d_main, d_z, d_dt, d_conv, d_selected, d_delta, d_b, d_c, d_y, .. } = self;
        let Self { scanned, d_scanned, d_z_direction, d_mixed, d_hidden: [first, second], d_logits, .. } = self;
        [d_normed, d_main, d_z, d_dt, d_conv, d_selected, d_delta, d_b, d_c, d_y].into_iter().chain([
            scanned,
            d_scanned,
            d_z_direction,
            d_mixed,
            first,
            second,
            d_logits,
        ])
    }
}

/// Where a chunk's way back is computed: on what, and in which buffers.
pub(crate) struct BackwardPlace<'a, B: Backend> {
    pub(crate) backend: &'a B,
    /// What forward computes, once more.
    pub(crate) scratch: &'a mut Scratch<B::Scalar>,
    pub(crate) adjoints: &'a mut Adjoints<B::Scalar>,
}

impl<B: Backend> BackwardPlace<'_, B> {
    /// Where the chunk's forward pass is computed.
    pub(crate) fn forward(&mut self) -> Place<'_, B> {
        Place { backend: self.backend, scratch: &mut *self.scratch }
    }
}
