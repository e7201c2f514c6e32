//! Causal models, piece by piece: nothing grows with the length.

use std::ops::ControlFlow;

use longstrand_kernels::Backend;

use crate::layer::{Chunk, LayerState};
use crate::model::{Model, Observer, Request};
use crate::scratch::Scratch;

/// Everything a causal model knows of the positions before this one: for each layer the inputs of the convolution,
/// `[K-1, D]`, and the state of the scan, `[N, D]`. A value: keep it, clone it, go on from it as often as you like.
#[derive(Clone, Debug, PartialEq)]
pub struct State<S> {
    layers: Vec<LayerState<S>>,
    position: u64,
}

impl<S> State<S> {
    /// Positions fed so far.
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl<B: Backend> Model<B> {
    /// The state before the first position, or `None` for a model that is not causal.
    pub fn initial_state(&self) -> Option<State<B::Scalar>> {
        let layers = || self.layers.iter().map(|layer| layer.zero_state()).collect();
        self.is_causal().then(|| State { layers: layers(), position: 0 })
    }

    /// Feeds the next positions, `ids`, of a sequence and advances `state` past them.
    ///
    /// The ids are worked on as one chunk: working memory is proportional to their number.
    /// [`encode`](Self::encode) does a whole sequence in chunks of a sensible size.
    ///
    /// # Panics
    ///
    /// Panics if the state is another model's or an id is not in the vocabulary.
    pub fn feed(
        &self,
        state: &mut State<B::Scalar>,
        ids: &[u8],
        request: &Request<'_>,
        scratch: &mut Scratch<B::Scalar>,
        observer: &mut dyn Observer<B::Scalar>,
    ) -> ControlFlow<()> {
        assert_eq!(state.layers.len(), self.layers.len(), "the state of another model");
        let chunk = Chunk { start: state.position, backwards: false };
        let mut residual = scratch.residual.take();
        self.embed(0, ids, residual.get(ids.len()));
        let residual_rows = residual.get(ids.len());
        self.emit_block(0, chunk.start, &[residual_rows], request, scratch, observer);
        for (i, (layer, state)) in self.layers.iter().zip(&mut state.layers).enumerate() {
            layer.forward(&self.backend, chunk, residual_rows, state, scratch);
            self.emit_block(i + 1, chunk.start, &[residual_rows], request, scratch, observer);
        }
        self.emit_last(chunk.start, &[residual_rows], request, scratch, observer);
        scratch.residual = residual;
        state.position += ids.len() as u64;
        observer.advanced(self.work(ids.len() as u64))
    }
}
