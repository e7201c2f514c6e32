//! A whole sequence through a model, in chunks.
//!
//! **Causal** models go chunk after chunk through all layers, and carry state.
//!
//! **Bidirectional** models go layer after layer. What is kept of the sequence is its residual stream, `[L, D]` for
//! each strand, updated in place. A sequence of one chunk is one pass. A longer one first has, at each layer, a sweep
//! against the direction of the main one that computes only what the states of the opposite branches need and keeps
//! these states at the borders of chunks; then the main sweep runs all branches within each chunk.

use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};

use longstrand_kernels::{Backend, Direction, TILE};

use crate::layer::{Chunk, Layer, LayerState};
use crate::model::{Model, Observer, Request};
use crate::scratch::Scratch;
use crate::strand::Arrangement;

/// Working memory that a chunk may take when the choice is left open, in bytes.
const WORKING_SET: usize = 256 << 20;

/// Positions of a chunk of a causal model when the choice is left open: enough to keep threads busy, few enough to
/// stay in cache.
const CAUSAL_CHUNK: usize = 8 * TILE;

/// The most positions of a chunk of a bidirectional model when the choice is left open.
const BIDIRECTIONAL_CHUNK: usize = 64 * TILE;

/// How many positions are worked on at a time. The choice changes memory and speed, and no result: multiples of
/// [`TILE`] give the same bits, other sizes the same up to rounding.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Chunking {
    /// From the model's widths, at most about 256 MiB of working memory.
    #[default]
    Auto,
    /// This many positions.
    Positions(NonZeroUsize),
    /// All at once.
    Whole,
}

impl Chunking {
    fn positions<B: Backend>(self, model: &Model<B>, len: usize) -> usize {
        match self {
            Self::Whole => len.max(1),
            Self::Positions(positions) => positions.get(),
            Self::Auto if model.is_causal() => CAUSAL_CHUNK,
            Self::Auto => {
                let fitting = WORKING_SET / Scratch::<B::Scalar>::bytes_per_position(model.config());
                (fitting / TILE * TILE).clamp(TILE, BIDIRECTIONAL_CHUNK)
            }
        }
    }
}

impl<B: Backend> Model<B> {
    /// Passes the sequence `ids` through the model and hands what `request` asks for to `observer`, which may break
    /// the pass off.
    ///
    /// Memory beyond the working set of a chunk: nothing for a causal model; 4 · D bytes a position and strand (in
    /// f32) for a bidirectional one.
    ///
    /// # Panics
    ///
    /// Panics if an id is not in the vocabulary.
    pub fn encode(
        &self,
        ids: &[u8],
        chunking: Chunking,
        request: &Request<'_>,
        scratch: &mut Scratch<B::Scalar>,
        observer: &mut dyn Observer<B::Scalar>,
    ) -> ControlFlow<()> {
        let chunk = chunking.positions(self, ids.len());
        match self.initial_state() {
            Some(mut state) => {
                ids.chunks(chunk).try_for_each(|ids| self.feed(&mut state, ids, request, scratch, observer))
            }
            None => self.encode_by_layers(ids, chunk, request, scratch, observer),
        }
    }

    fn encode_by_layers(
        &self,
        ids: &[u8],
        chunk: usize,
        request: &Request<'_>,
        scratch: &mut Scratch<B::Scalar>,
        observer: &mut dyn Observer<B::Scalar>,
    ) -> ControlFlow<()> {
        let d = self.config().d_model;
        let mut residuals: Vec<Vec<B::Scalar>> = (0..self.tables.len())
            .map(|strand| {
                let mut residual = vec![B::Scalar::default(); ids.len() * d];
                self.embed(strand, ids, &mut residual);
                residual
            })
            .collect();
        let spans = spans(ids.len(), chunk);
        self.emit_spans(Some(0), &spans, &residuals, request, scratch, observer);
        for (i, layer) in self.layers.iter().enumerate() {
            for (strand, residual) in residuals.iter_mut().enumerate() {
                let backwards = Arrangement::of_layer(self.config(), i).backwards(strand);
                let sweep = Sweep { backend: &self.backend, layer, spans: &spans, d, backwards };
                sweep.run(residual, scratch, observer)?;
            }
            self.emit_spans(Some(i + 1), &spans, &residuals, request, scratch, observer);
        }
        self.emit_spans(None, &spans, &residuals, request, scratch, observer);
        ControlFlow::Continue(())
    }

    /// Hands over all chunks after so many blocks, or after the final norm.
    fn emit_spans(
        &self,
        blocks: Option<usize>,
        spans: &[Range<usize>],
        residuals: &[Vec<B::Scalar>],
        request: &Request<'_>,
        scratch: &mut Scratch<B::Scalar>,
        observer: &mut dyn Observer<B::Scalar>,
    ) {
        let d = self.config().d_model;
        for span in spans {
            let part: Vec<_> = residuals.iter().map(|r| &r[span.start * d..span.end * d]).collect();
            let start = span.start as u64;
            match blocks {
                Some(blocks) => self.emit_block(blocks, start, &part, request, scratch, observer),
                None => self.emit_last(start, &part, request, scratch, observer),
            }
        }
    }
}

/// The chunks of `len` positions.
fn spans(len: usize, chunk: usize) -> Vec<Range<usize>> {
    (0..len).step_by(chunk).map(|start| start..(start + chunk).min(len)).collect()
}

/// One strand through one layer.
struct Sweep<'a, B: Backend> {
    backend: &'a B,
    layer: &'a Layer<B>,
    spans: &'a [Range<usize>],
    d: usize,
    backwards: bool,
}

impl<B: Backend> Sweep<'_, B> {
    fn run(
        &self,
        residual: &mut [B::Scalar],
        scratch: &mut Scratch<B::Scalar>,
        observer: &mut dyn Observer<B::Scalar>,
    ) -> ControlFlow<()> {
        let directions: Vec<Direction> = self.layer.directions(self.backwards).collect();
        // The main sweep goes with the first branch; branches that go against it need their states beforehand.
        let main = directions[0];
        let mut entering: Vec<LayerState<B::Scalar>> = vec![self.layer.zero_state(); self.spans.len()];
        for (i, _) in directions.iter().enumerate().filter(|(_, direction)| **direction != main) {
            self.collect_states(i, main.opposite(), residual, &mut entering, scratch, observer)?;
        }
        let mut carried = self.layer.zero_state();
        for index in self.order(main) {
            let span = &self.spans[index];
            for (i, direction) in directions.iter().enumerate() {
                if *direction != main {
                    carried[i] = entering[index][i].clone();
                }
            }
            let rows = &mut residual[span.start * self.d..span.end * self.d];
            self.layer.forward(self.backend, self.chunk(span), rows, &mut carried, scratch);
            observer.advanced(span.len() as u64)?;
        }
        ControlFlow::Continue(())
    }

    /// The states of branch `i`, walking in `direction`, as they enter each chunk.
    fn collect_states(
        &self,
        i: usize,
        direction: Direction,
        residual: &[B::Scalar],
        entering: &mut [LayerState<B::Scalar>],
        scratch: &mut Scratch<B::Scalar>,
        observer: &mut dyn Observer<B::Scalar>,
    ) -> ControlFlow<()> {
        let order = self.order(direction);
        for pair in order.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let mut state = entering[from][i].clone();
            let span = &self.spans[from];
            let rows = &residual[span.start * self.d..span.end * self.d];
            self.layer.advance(self.backend, i, self.chunk(span), rows, &mut state, scratch);
            entering[to][i] = state;
            observer.advanced(0)?;
        }
        ControlFlow::Continue(())
    }

    /// The chunks in the order of a sweep.
    fn order(&self, direction: Direction) -> Vec<usize> {
        let chunks = 0..self.spans.len();
        match direction {
            Direction::Forward => chunks.collect(),
            Direction::Reverse => chunks.rev().collect(),
        }
    }

    fn chunk(&self, span: &Range<usize>) -> Chunk {
        Chunk { start: span.start as u64, backwards: self.backwards }
    }
}
