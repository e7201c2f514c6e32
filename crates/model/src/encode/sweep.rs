//! One strand through one layer, in chunks.

use std::ops::{ControlFlow, Range};

use longstrand_kernels::{Backend, Direction};

use crate::layer::{Chunk, Layer, LayerState};
use crate::mixer::MixerState;
use crate::output::Pass;
use crate::scratch::Place;

/// Of the work on a chunk at a layer, the sweep that computes states alone is reported as one part in so many: it has
/// one of three products with a large matrix and one of two scans.
const STATES_ALONE: u64 = 4;

/// One strand's way through one layer.
pub(crate) struct Sweep<'a, B: Backend> {
    pub(crate) backend: &'a B,
    pub(crate) layer: &'a Layer<B>,
    /// The chunks, 0-based and half-open, in order.
    pub(crate) spans: &'a [Range<usize>],
    /// Whether the layer meets the strand backwards in time.
    pub(crate) backwards: bool,
}

/// The states of the branch that goes against the main sweep.
struct Entering<S> {
    branch: usize,
    /// As they enter each chunk, in the order of the branch: the chunk that the main sweep meets first is the last one.
    states: Vec<MixerState<S>>,
}

impl<B: Backend> Sweep<'_, B> {
    /// Updates the strand's residual stream, `[L, D]`, in place, going with the layer's first branch.
    pub(crate) fn run(&self, residual: &mut [B::Scalar], pass: &mut Pass<'_, B::Scalar>) -> ControlFlow<()> {
        self.run_telling(residual, pass, |_| ())
    }

    /// As [`Self::run`]; `entered` is told the states that each chunk is entered with, chunk after chunk in the direction of
    /// the first branch.
    pub(crate) fn run_telling(
        &self,
        residual: &mut [B::Scalar],
        pass: &mut Pass<'_, B::Scalar>,
        mut entered: impl FnMut(&LayerState<B::Scalar>),
    ) -> ControlFlow<()> {
        let directions: Vec<Direction> = self.layer.directions(self.backwards).collect();
        let main = directions[0];
        let mut entering = match directions.iter().position(|direction| *direction != main) {
            Some(branch) => Some(self.entering(branch, main.opposite(), residual, pass)?),
            None => None,
        };
        let mut carried = self.layer.zero_state();
        for (met, span) in self.in_order(main).enumerate() {
            let mut work = span.len() as u64;
            if let Some(Entering { branch, states }) = &mut entering {
                carried[*branch] = states.pop().expect("a state for each chunk");
                // All chunks but the first have been met by the other sweep.
                work -= if met > 0 { states_alone(span) } else { 0 };
            }
            entered(&carried);
            let rows = &mut residual[self.elements(span)];
            self.layer.forward(&mut self.place(pass), self.chunk(span), rows, &mut carried);
            pass.observer.advanced(work)?;
        }
        ControlFlow::Continue(())
    }

    /// Walks all chunks but the last of a branch that goes in `direction`, for the states alone.
    fn entering(
        &self,
        branch: usize,
        direction: Direction,
        residual: &[B::Scalar],
        pass: &mut Pass<'_, B::Scalar>,
    ) -> ControlFlow<(), Entering<B::Scalar>> {
        let mut state = self.layer.zero_state().swap_remove(branch);
        let mut states = Vec::with_capacity(self.spans.len());
        for span in self.in_order(direction).take(self.spans.len().saturating_sub(1)) {
            states.push(state.clone());
            let rows = &residual[self.elements(span)];
            self.layer.advance(&mut self.place(pass), branch, self.chunk(span), rows, &mut state);
            pass.observer.advanced(states_alone(span))?;
        }
        states.push(state);
        ControlFlow::Continue(Entering { branch, states })
    }

    /// The chunks in the order of a direction.
    fn in_order(&self, direction: Direction) -> impl Iterator<Item = &Range<usize>> {
        let count = self.spans.len();
        (0..count).map(move |i| match direction {
            Direction::Forward => &self.spans[i],
            Direction::Reverse => &self.spans[count - 1 - i],
        })
    }

    /// A chunk's part of the residual stream.
    fn elements(&self, span: &Range<usize>) -> Range<usize> {
        span.start * self.layer.width()..span.end * self.layer.width()
    }

    fn chunk(&self, span: &Range<usize>) -> Chunk {
        Chunk { start: span.start as u64, backwards: self.backwards }
    }

    fn place<'a>(&'a self, pass: &'a mut Pass<'_, B::Scalar>) -> Place<'a, B> {
        Place { backend: self.backend, scratch: &mut *pass.scratch }
    }
}

/// The work on a chunk that is reported by the sweep for states alone.
fn states_alone(span: &Range<usize>) -> u64 {
    span.len() as u64 / STATES_ALONE
}
