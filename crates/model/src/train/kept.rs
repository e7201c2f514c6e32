//! What is kept of a sequence on its way forward.

use std::ops::Range;

use longstrand_kernels::backend::{Precision, Scalar};
use longstrand_kernels::bf16::Bf16;
use rayon::prelude::*;

use crate::config::Config;
use crate::layer::LayerState;
use crate::mixer::MixerState;
use crate::scratch::Plane;
use crate::strand;

/// Elements of a task that rounds or widens.
const ELEMENTS: usize = 1 << 16;

/// The input of every layer, the residual stream, and the states at the borders of chunks.
#[derive(Clone, Debug)]
pub(super) struct Kept<S> {
    /// Of every layer and strand, the strands of a layer side by side.
    pub(super) inputs: Vec<Input<S>>,
    /// The residual stream of each strand, `[L, D]`. What has passed the last layer becomes its own gradient.
    pub(super) streams: Vec<Plane<S>>,
    /// The gradient that comes next, `[L, D]`.
    pub(super) d_stream: Plane<S>,
    /// A chunk of an input that is kept rounded, `[L, D]`.
    pub(super) widened: Plane<S>,
    /// What every layer entered each chunk with, in the order of positions; layers and strands as in `inputs`.
    pub(super) states: Vec<Vec<LayerState<S>>>,
}

impl<S: Scalar> Kept<S> {
    pub(super) fn new(config: &Config, precision: Precision) -> Self {
        let (d, strands) = (config.d_model, strand::strands(config.rcps.as_ref()));
        let layers = config.n_layer * strands;
        Self {
            inputs: (0..layers).map(|_| Input::new(d, precision)).collect(),
            streams: vec![Plane::new(d); strands],
            d_stream: Plane::new(d),
            widened: Plane::new(Self::widened_width(config, precision)),
            states: vec![Vec::new(); layers],
        }
    }

    /// Elements that a position of a chunk takes.
    pub(super) fn widened_width(config: &Config, precision: Precision) -> usize {
        if precision == Precision::Bf16 { config.d_model } else { 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        let values = |state: &MixerState<S>| state.conv.len() + state.ssm.len();
        let states: usize = self.states.iter().flatten().flatten().map(values).sum();
        let streams: usize = self.streams.iter().chain([&self.d_stream, &self.widened]).map(Plane::bytes).sum();
        self.inputs.iter().map(Input::bytes).sum::<usize>() + streams + states * size_of::<S>()
    }
}

/// A layer's input, `[L, D]`, as its norm reads it: nothing is lost for the way back by keeping it rounded where the norm
/// [rounds](Precision::Bf16).
#[derive(Clone, Debug)]
pub(super) enum Input<S> {
    Full(Plane<S>),
    Bf16(Plane<Bf16>),
}

impl<S: Scalar> Input<S> {
    fn new(width: usize, precision: Precision) -> Self {
        match precision {
            Precision::Full => Self::Full(Plane::new(width)),
            Precision::Bf16 => Self::Bf16(Plane::new(width)),
        }
    }

    /// Keeps the residual stream as it is now.
    pub(super) fn keep(&mut self, stream: &[S], len: usize) {
        match self {
            Self::Full(plane) => plane.get(len).copy_from_slice(stream),
            Self::Bf16(plane) => convert(stream, plane.get(len), |x| Bf16::from_f32(x.to_f64() as f32)),
        }
    }

    /// Rows of what was kept, by way of `widened` if need be.
    pub(super) fn part<'a>(&'a mut self, rows: &Range<usize>, widened: &'a mut Plane<S>) -> &'a [S] {
        match self {
            Self::Full(plane) => plane.part(rows),
            Self::Bf16(plane) => {
                let wide = widened.get(rows.len());
                convert(plane.part(rows), wide, |x| S::from_f64(x.to_f32().into()));
                wide
            }
        }
    }

    /// Bytes that an element takes.
    pub(super) fn element_bytes(precision: Precision) -> usize {
        match precision {
            Precision::Full => size_of::<S>(),
            Precision::Bf16 => size_of::<Bf16>(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Full(plane) => plane.bytes(),
            Self::Bf16(plane) => plane.bytes(),
        }
    }
}

fn convert<T: Copy + Sync, U: Send>(from: &[T], to: &mut [U], each: impl Fn(T) -> U + Sync) {
    to.par_chunks_mut(ELEMENTS).zip(from.par_chunks(ELEMENTS)).for_each(|(to, from)| {
        to.iter_mut().zip(from).for_each(|(to, &from)| *to = each(from));
    });
}

#[cfg(test)]
mod tests {
    use longstrand_kernels::bf16;

    use super::*;

    #[test]
    fn what_is_kept_is_what_a_norm_reads() {
        let stream: Vec<f32> = (0..35).map(|i| (i as f32 - 17.3).exp()).collect();
        let rounded: Vec<f32> = stream.iter().map(|&x| bf16::round(x)).collect();
        assert_ne!(stream, rounded);
        for (precision, expected) in [(Precision::Full, &stream), (Precision::Bf16, &rounded)] {
            let (mut input, mut widened) = (Input::new(5, precision), Plane::new(5));
            input.keep(&stream, 7);
            assert_eq!(input.part(&(2..6), &mut widened), &expected[10..30]);
            assert_eq!(input.bytes(), 35 * Input::<f32>::element_bytes(precision));
        }
    }
}
