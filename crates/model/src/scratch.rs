//! Buffers that a forward pass works in, kept from call to call.

use longstrand_kernels::{Rows, RowsMut, backend::Scalar};

use crate::config::{Config, MixerConfig};

/// A `[rows, width]` buffer that grows to the most rows ever asked for.
#[derive(Clone, Debug)]
pub(crate) struct Plane<S> {
    data: Vec<S>,
    width: usize,
}

impl<S: Scalar> Plane<S> {
    fn new(width: usize) -> Self {
        Self { data: Vec::new(), width }
    }

    /// Takes the buffer out, to be put back: so that it can be worked on beside the rest of the scratch.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.width))
    }

    /// The first `rows` rows.
    pub(crate) fn get(&mut self, rows: usize) -> &mut [S] {
        let len = rows * self.width;
        if self.data.len() < len {
            self.data.resize(len, S::default());
        }
        &mut self.data[..len]
    }

    /// The first `rows` rows, which must have been written.
    pub(crate) fn filled(&self, rows: usize) -> &[S] {
        &self.data[..rows * self.width]
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

impl<S: Scalar> Scratch<S> {
    /// Empty buffers of the widths that a model needs.
    pub fn new(config: &Config) -> Self {
        let d = config.d_model;
        let inner = config.mixer.d_inner();
        let (channels, heads, selected) = match &config.mixer {
            MixerConfig::Mamba(c) => (inner, 1, c.dt_rank + 2 * c.d_state),
            MixerConfig::Mamba2(c) => (c.conv_channels(), c.n_heads, 1),
        };
        Self {
            normed: Plane::new(d),
            projected: Projected { main: Plane::new(channels), z: Plane::new(inner), dt: Plane::new(heads) },
            conv: Plane::new(channels),
            selected: Plane::new(selected),
            delta: Plane::new(inner),
            y: Plane::new(inner),
            y_direction: Plane::new(inner),
            mixed: [Plane::new(d), Plane::new(d)],
            halves: Plane::new(2 * d),
            logits: Plane::new(config.vocab_size),
            residual: Plane::new(d),
        }
    }

    /// Bytes that a position of a chunk takes.
    pub fn bytes_per_position(config: &Config) -> usize {
        let inner = config.mixer.d_inner();
        let width = match &config.mixer {
            MixerConfig::Mamba(c) => 5 * inner + c.dt_rank + 2 * c.d_state,
            MixerConfig::Mamba2(c) => 3 * inner + 2 * c.conv_channels() + c.n_heads,
        };
        (width + 3 * config.d_model) * size_of::<S>()
    }
}
