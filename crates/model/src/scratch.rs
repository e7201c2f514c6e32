//! Buffers that a forward pass works in, kept from call to call.

use std::ops::Range;

use longstrand_kernels::{Backend, Rows, RowsMut, backend::Scalar};

use crate::config::{Config, Head, MixerConfig};
use crate::layer::Join;

/// A `[rows, width]` buffer that grows to the most rows ever asked for. One that a model never uses has width 0.
#[derive(Clone, Debug)]
pub(crate) struct Plane<S> {
    data: Vec<S>,
    width: usize,
}

impl<S: Copy + Default> Plane<S> {
    pub(crate) fn new(width: usize) -> Self {
        Self { data: Vec::new(), width }
    }

    /// Columns of a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.data.capacity() * size_of::<S>()
    }

    /// Takes the buffer out, to be put back: so that it can be worked on beside the rest of the scratch.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.width))
    }

    /// The first `rows` rows.
    pub(crate) fn get(&mut self, rows: usize) -> &mut [S] {
        let len = rows * self.width;
        if self.data.len() < len {
            self.data.reserve_exact(len - self.data.len());
            self.data.resize(len, S::default());
        }
        &mut self.data[..len]
    }

    /// The first `rows` rows, which must have been written.
    pub(crate) fn filled(&self, rows: usize) -> &[S] {
        &self.data[..rows * self.width]
    }

    /// Some of the rows, which must have been written.
    pub(crate) fn part(&mut self, rows: &Range<usize>) -> &mut [S] {
        &mut self.data[rows.start * self.width..rows.end * self.width]
    }

    pub(crate) fn rows(&self, rows: usize) -> Rows<'_, S> {
        Rows::new(self.filled(rows), self.width)
    }

    pub(crate) fn rows_mut(&mut self, rows: usize) -> RowsMut<'_, S> {
        let width = self.width;
        RowsMut::new(self.get(rows), width)
    }

    pub(crate) fn columns(&self, rows: usize, first: usize, width: usize) -> Rows<'_, S> {
        Rows::columns(self.filled(rows), self.width, first, width)
    }

    pub(crate) fn columns_mut(&mut self, rows: usize, first: usize, width: usize) -> RowsMut<'_, S> {
        let stride = self.width;
        RowsMut::columns(self.get(rows), stride, first, width)
    }
}

/// What the input projection gives.
#[derive(Clone, Debug)]
pub(crate) struct Projected<S> {
    /// What passes the convolution, `[L, C]`.
    pub(crate) main: Plane<S>,
    /// The gate, `[L, I]`.
    pub(crate) z: Plane<S>,
    /// Step sizes of Mamba-2, `[L, H]`.
    pub(crate) dt: Plane<S>,
}

/// Working memory of one forward pass over a chunk.
///
/// Keep one for each thread that runs passes side by side; it grows to the largest chunk it has met.
#[derive(Clone, Debug)]
pub struct Scratch<S> {
    /// Output of a norm, `[L, D]`.
    pub(crate) normed: Plane<S>,
    pub(crate) projected: Projected<S>,
    /// Output of the convolution, `[L, C]`.
    pub(crate) conv: Plane<S>,
    /// Mamba's Δ (low rank), B and C, `[L, R + 2 N]`.
    pub(crate) selected: Plane<S>,
    /// Mamba's Δ, `[L, I]`.
    pub(crate) delta: Plane<S>,
    /// What the output projection reads, `[L, I]`.
    pub(crate) y: Plane<S>,
    /// Mamba-2's second direction, `[L, I]`.
    pub(crate) y_direction: Plane<S>,
    /// Output of each direction's mixer where they are multiplied, `[L, D]`.
    pub(crate) mixed: [Plane<S>; 2],
    /// Both halves of an RCPS model side by side, `[L, 2 D]`.
    pub(crate) halves: Plane<S>,
    /// Output of the language-model head, `[L, V]`.
    pub(crate) logits: Plane<S>,
    /// The residual stream of a chunk of a causal model, `[L, D]`.
    pub(crate) residual: Plane<S>,
}

/// Where a chunk is computed: on what, and in which buffers.
pub(crate) struct Place<'a, B: Backend> {
    pub(crate) backend: &'a B,
    pub(crate) scratch: &'a mut Scratch<B::Scalar>,
}

impl<S: Scalar> Scratch<S> {
    /// Empty buffers of the widths that a model needs.
    pub fn new(config: &Config) -> Self {
        let d = config.d_model;
        let inner = config.mixer.d_inner();
        let (channels, heads, selected, delta) = match &config.mixer {
            MixerConfig::Mamba(c) => (inner, 0, c.dt_rank + 2 * c.d_state, inner),
            MixerConfig::Mamba2(c) => (c.conv_channels(), c.n_heads, 0, 0),
        };
        let when = |used: bool, width: usize| Plane::new(if used { width } else { 0 });
        let (rcps, join) = (config.rcps.is_some(), Join::of(config));
        let is_mamba2 = matches!(config.mixer, MixerConfig::Mamba2(_));
        Self {
            normed: Plane::new(d),
            projected: Projected { main: Plane::new(channels), z: Plane::new(inner), dt: Plane::new(heads) },
            conv: Plane::new(channels),
            selected: Plane::new(selected),
            delta: Plane::new(delta),
            y: Plane::new(inner),
            y_direction: when(is_mamba2 && join == Join::SumBeforeProjection, inner),
            mixed: [Plane::new(d), when(rcps || join == Join::Product, d)],
            halves: when(rcps, 2 * d),
            logits: when(matches!(config.head, Head::LanguageModel { .. }), config.vocab_size),
            residual: when(config.is_causal(), d),
        }
    }

    /// Bytes that a position of a chunk takes in a pass that is asked for hidden states and logits.
    pub fn bytes_per_position(config: &Config) -> usize {
        Self::new(config).planes().map(|plane| plane.width).sum::<usize>() * size_of::<S>()
    }

    pub(crate) fn planes(&self) -> impl Iterator<Item = &Plane<S>> {
        let Self { normed, projected, conv, selected, delta, y, y_direction, mixed, halves, logits, residual } = self;
        let Projected { main, z, dt } = projected;
        let [first, second] = mixed;
        [normed, main, z, dt, conv, selected, delta, y, y_direction, first, second, halves, logits, residual]
            .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use longstrand_kernels::Reference;

    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::{Chunking, Model, Observer, Request, Tap};

    struct Nobody;

    impl<S> Observer<S> for Nobody {
        fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, S>) {}
    }

    /// One of each way to join directions, of each mixer, and of each head.
    const CASES: [&str; 11] = [
        "hf-mamba",
        "hf-mamba2-groups",
        "ss-mamba2",
        "caduceus-uni",
        "caduceus-ph",
        "caduceus-ph-untied",
        "caduceus-ph-ewmul",
        "caduceus-ph-seqcls",
        "caduceus-ps",
        "caduceus-ps-ewmul",
        "plantcaduceus",
    ];

    #[test]
    fn what_a_position_takes_is_what_a_pass_allocates() {
        const LEN: usize = 50;
        for case in CASES {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(case);
            let model = Model::new(Reference, &Checkpoint::load(folder).unwrap());
            let mut scratch = model.scratch();
            let request = Request { taps: &[Tap::Block(0), Tap::Last], logits: true };
            assert!(model.encode(&[4; LEN], Chunking::Whole, &request, &mut scratch, &mut Nobody).is_continue());
            let allocated: usize = scratch.planes().map(|plane| plane.bytes()).sum();
            assert_eq!(allocated, LEN * Scratch::<f64>::bytes_per_position(model.config()), "{case}");
        }
    }
}
