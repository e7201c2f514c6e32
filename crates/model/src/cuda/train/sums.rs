//! Gradients of all parameters on the device, summed over sequences.

use std::ops::Range;

use longstrand_kernels::Write;
use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real, ViewMut};
use longstrand_kernels::embedding::add_complement;
use longstrand_kernels::linear::cuda::{self as linear, Matrix, MatrixMut, Positions};
use rayon::prelude::*;

use crate::checkpoint::{MixerWeights, Weights};
use crate::config::{Config, Head};
use crate::cuda::arithmetics::Arithmetics;
use crate::train::Gradients;

/// Every tensor begins at a multiple of so many numbers.
const ALIGNMENT: usize = 64;

/// Sums of gradients, in one buffer, in the layout of the passes.
#[derive(Debug)]
pub(super) struct Sums {
    buffer: Buffer<f32>,
    /// Of a classification head, which is computed on the host, `[labels, D]`.
    pub(super) d_score: Vec<f64>,
    pub(super) places: Places,
}

/// Where each tensor's gradient lies.
#[derive(Debug)]
pub(super) struct Places {
    /// One range in the place of each tensor.
    pub(super) weights: Weights<Range<usize>>,
    /// Of the embedding of each strand.
    pub(super) tables: Vec<Range<usize>>,
    /// Of the head's table for each slot; none without a language-model head.
    pub(super) heads: Vec<Range<usize>>,
}

impl Places {
    /// Of a branch of a layer.
    pub(super) fn branch(&self, layer: usize, branch: usize) -> &MixerWeights<Range<usize>> {
        let layer = &self.weights.layers[layer];
        match branch {
            0 => &layer.forward,
            _ => layer.reverse.as_ref().expect("places follow the weights"),
        }
    }
}

impl Sums {
    /// Zeros for weights that follow their configuration.
    pub(super) fn new(device: &Device, config: &Config, weights: &Weights) -> Result<Self, CudaError> {
        let mut len: usize = 0;
        let mut next = |size: usize| {
            let start = len.next_multiple_of(ALIGNMENT);
            len = start + size;
            start..len
        };
        let of_weights = weights.map(|values| vec![next(values.len())]);
        let table = weights.embedding.len();
        let (mut tables, mut heads) = (vec![of_weights.embedding[0].clone()], Vec::new());
        if let Head::LanguageModel { .. } = config.head {
            heads.push(of_weights.lm_head.as_ref().map_or_else(|| next(table), |place| place[0].clone()));
        }
        if config.rcps.is_some() {
            tables.push(next(table));
            heads.extend(heads.first().map(|_| next(table)));
        }
        let d_score = vec![0.0; weights.score.as_ref().map_or(0, Vec::len)];
        Ok(Self { buffer: device.zeros(len)?, d_score, places: Places { weights: of_weights, tables, heads } })
    }

    /// All of them, to be divided by [`parts`](crate::cuda::layout::parts).
    pub(super) fn view_mut(&mut self) -> (ViewMut<'_, f32>, &Places) {
        (self.buffer.view_mut(), &self.places)
    }

    /// All of them, and where those of a layer's branch lie.
    pub(super) fn of_branch(&mut self, layer: usize, branch: usize) -> (ViewMut<'_, f32>, &MixerWeights<Range<usize>>) {
        (self.buffer.view_mut(), self.places.branch(layer, branch))
    }

    /// Adds them to the host's and begins anew.
    pub(super) fn take(&mut self, config: &Config, to: &mut Gradients<f32>) -> Result<(), CudaError> {
        let sums = self.buffer.view().to_vec()?;
        self.buffer.view_mut().zero()?;
        let add = |values: &mut [f32], place: &Range<usize>| {
            values.iter_mut().zip(&sums[place.clone()]).for_each(|(value, sum)| *value += sum);
        };
        let places = self.places.weights.tensors();
        let tensors = to.weights.tensors_mut().into_par_iter().zip(places);
        tensors.for_each(|(values, place)| add(values, &place[0]));
        for (value, sum) in to.weights.score.iter_mut().flatten().zip(&mut self.d_score) {
            *value += std::mem::take(sum) as f32;
        }
        if let Some(place) = self.places.tables.get(1) {
            add(to.table_mut(1), place);
        }
        if let (Some(place), None) = (self.places.heads.first(), &self.places.weights.lm_head) {
            add(to.head_mut(), place);
        }
        if let (Some(place), Some(rcps)) = (self.places.heads.get(1), &config.rcps) {
            add_complement(&sums[place.clone()], config.d_model, &rcps.complement_map, to.head_mut());
        }
        Ok(())
    }
}

/// Adds the gradient of a weight, `[n_out, n_in]`, given `[n_out, positions]` and `[positions, n_in]`.
pub(super) fn add_gradient<T: Real>(
    how: Arithmetics,
    d_out: Matrix<'_, T>,
    x: Matrix<'_, T>,
    sums: &mut Sums,
    place: &Range<usize>,
) -> Result<(), CudaError> {
    let (rows, columns) = (d_out.rows(), x.columns());
    let out = MatrixMut::new(sums.view_mut().0.slice(place.clone()), rows, columns, columns);
    linear::product(d_out, x, out, Write::Add, Positions::Inner, how.single)
}
