//! Causal models, piece by piece: nothing grows with the length.

use std::ops::ControlFlow;

use longstrand_kernels::Backend;

use crate::layer::{Chunk, LayerState};
use crate::mixer::MixerState;
use crate::model::Model;
use crate::output::{Observer, Pass, Request, Streams, Tap};
use crate::scratch::Scratch;

/// Everything a causal model knows of the positions before this one: for each layer the inputs of the convolution,
/// `[K-1, D]`, and the state of the scan, `[N, D]`. A value: keep it, clone it, go on from it as often as you like.
#[derive(Clone, Debug, PartialEq)]
pub struct State<S> {
    pub(crate) layers: Vec<LayerState<S>>,
    pub(crate) position: u64,
}

impl<S> State<S> {
    /// Positions fed so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let values = |state: &MixerState<S>| state.conv.len() + state.ssm.len();
        self.layers.iter().flatten().map(values).sum::<usize>() * size_of::<S>()
    }
}

#[cfg(feature = "cuda")]
impl<S> State<S> {
    /// Takes it out, to be put back: what is left behind is of no use.
    pub(crate) fn take(&mut self) -> Self {
        Self { layers: std::mem::take(&mut self.layers), position: self.position }
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
    /// Panics if the state has not the sizes of this model's, being another one's, or an id is not in the vocabulary.
    pub fn feed(
        &self,
        state: &mut State<B::Scalar>,
        ids: &[u8],
        request: &Request<'_>,
        scratch: &mut Scratch<B::Scalar>,
        observer: &mut dyn Observer<B::Scalar>,
    ) -> ControlFlow<()> {
        self.check_state(state);
        let mut pass = Pass { request, scratch, observer };
        let start = state.position;
        let mut residual = pass.scratch.residual.take();
        let stream = residual.get(ids.len());
        self.embed(0, ids, stream);
        self.emit(Tap::Block(0), Streams { start, strands: &[stream] }, &mut pass);
        for (i, (layer, state)) in self.layers.iter().zip(&mut state.layers).enumerate() {
            layer.forward(&mut self.place(pass.scratch), Chunk { start, backwards: false }, stream, state);
            self.emit(Tap::Block(i + 1), Streams { start, strands: &[stream] }, &mut pass);
        }
        self.emit(Tap::Last, Streams { start, strands: &[stream] }, &mut pass);
        pass.scratch.residual = residual;
        state.position += ids.len() as u64;
        pass.observer.advanced(self.work(ids.len() as u64))
    }

    fn check_state(&self, state: &State<B::Scalar>) {
        let (expected, found) = (self.layers.len(), state.layers.len());
        assert!(expected == found, "the state is another model's: expected {expected} layers, found {found}");
        self.layers.iter().zip(&state.layers).for_each(|(layer, state)| layer.check_state(state));
    }
}
