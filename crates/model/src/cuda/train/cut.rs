//! How sequences of one length are cut, and what they take so.

use std::ops::Range;

use longstrand_kernels::cuda::{Device, Real};

use super::shelves::Need;
use super::workspace::Adjoints;
use crate::cuda::executor::{Executor, chunk_layout};
use crate::cuda::layout::Layout;

/// How sequences of one length are cut.
pub(super) struct Cut {
    /// Of the sequences of one strand.
    pub(super) of_strand: Layout,
    /// The chunks; one for sequences that go together.
    pub(super) spans: Vec<Range<usize>>,
    /// Columns of the buffers of a chunk.
    pub(super) chunk: usize,
}

impl Cut {
    /// The layout of a strand's part of a chunk.
    pub(super) fn layout(&self, span: &Range<usize>) -> Layout {
        if self.spans.len() == 1 { self.of_strand } else { chunk_layout(span, self.chunk) }
    }

    /// The elements of a strand's part of a chunk in streams of width `d`.
    pub(super) fn elements(&self, strand: usize, span: &Range<usize>, d: usize) -> Range<usize> {
        let start = (strand * self.of_strand.columns() + span.start) * d;
        start..start + self.layout(span).used() * d
    }

    /// What a sequence takes that is taken in chunks; sequences that go together have their inputs on the device.
    pub(super) fn need<T: Real>(&self, executor: &Executor<T>) -> Option<Need> {
        let config = &executor.config;
        let elements = (executor.strands() * self.of_strand.columns() * config.d_model) as u64;
        let of_elements = |size: usize| Device::bytes_of_buffer(size as u64 * elements);
        let (stream, input) = (of_elements(size_of::<f32>()), of_elements(size_of::<T>()));
        let branches = executor.weights.layers.first()?.branches.len();
        // The outputs of the branch that walks against the others, of a strand.
        let opposing = (branches - 1) * self.of_strand.columns() * config.mixer.d_inner() * size_of::<T>();
        let forward = stream + opposing as u64;
        // Of streams and their gradients behind the last layer; of those, in both types, and what was put away.
        let backward = (2 * stream).max(stream + 2 * input);
        let chunk = (self.chunk * Adjoints::<T>::bytes_per_column(config)) as u64;
        let need = Need { layers: config.n_layer, input, rest: forward.max(backward) + chunk };
        (self.spans.len() > 1).then_some(need)
    }
}
