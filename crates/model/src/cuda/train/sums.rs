//! Gradients of all parameters on the device, summed over sequences.

use std::ops::Range;

use longstrand_kernels::cuda::{Buffer, CudaError, Device, ViewMut};
use longstrand_kernels::embedding::add_complement;

use crate::checkpoint::Weights;
use crate::config::{Config, Head};
use crate::train::Gradients;

/// Every tensor begins at a multiple of so many numbers.
const ALIGNMENT: usize = 64;

/// Sums of gradients, in one buffer, in the layout of the passes.
#[derive(Debug)]
pub(super) struct Sums {
    buffer: Buffer<f32>,
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
        Ok(Self { buffer: device.zeros(len)?, places: Places { weights: of_weights, tables, heads } })
    }

    /// All of them, to be divided by [`parts`].
    pub(super) fn view_mut(&mut self) -> (ViewMut<'_, f32>, &Places) {
        (self.buffer.view_mut(), &self.places)
    }

    /// Adds them to the host's and begins anew.
    pub(super) fn take(&mut self, config: &Config, to: &mut Gradients<f32>) -> Result<(), CudaError> {
        let sums = self.buffer.view().to_vec()?;
        self.buffer.view_mut().zero()?;
        let add = |values: &mut [f32], place: &Range<usize>| {
            values.iter_mut().zip(&sums[place.clone()]).for_each(|(value, sum)| *value += sum);
        };
        let places = self.places.weights.tensors();
        for (values, place) in to.weights.tensors_mut().into_iter().zip(places) {
            add(values, &place[0]);
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

/// Disjoint parts of a buffer, in ascending order.
pub(super) fn parts<'a, const N: usize>(whole: ViewMut<'a, f32>, places: [&Range<usize>; N]) -> [ViewMut<'a, f32>; N] {
    let (mut rest, mut start) = (Some(whole), 0);
    places.map(|place| {
        let (_, from) = rest.take().expect("it is put back").split_at(place.start - start);
        let (part, after) = from.split_at(place.len());
        (rest, start) = (Some(after), place.end);
        part
    })
}
