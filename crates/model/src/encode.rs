//! A whole sequence through a model, in chunks.
//!
//! **Causal** models go chunk after chunk through all layers, and carry state.
//!
//! **Bidirectional** models go layer after layer. What is kept of the sequence is its residual stream, `[L, D]` for
//! each strand, updated in place. A sequence of one chunk is one pass. A longer one first has, at each layer, a sweep
//! against the direction of the main one that computes only what the states of the opposite branch need and keeps
//! these states at the borders of chunks; then the main sweep runs both branches within each chunk, and drops each of
//! these states with its chunk. At most one strand of one layer has such states at a time.

use std::ops::{ControlFlow, Range};

use longstrand_kernels::Backend;

use crate::model::Model;
use crate::output::{Observer, Pass, Request, Streams, Tap};
use crate::scratch::Scratch;
use crate::strand::Arrangement;

mod chunking;
mod sweep;

pub use chunking::Chunking;
pub(crate) use chunking::longest;
#[cfg(feature = "cuda")]
pub(crate) use chunking::{LONGEST_WINDOW, WINDOW_COPIES};
pub(crate) use sweep::Sweep;

impl<B: Backend> Model<B> {
    /// Passes the sequence `ids` through the model and hands what `request` asks for to `observer`, which may break
    /// the pass off.
    ///
    /// Memory beyond the working set of a chunk: the state alone for a causal model; for a bidirectional one 4 · D bytes
    /// a position and strand and 4 · ((K − 1) · C + N · I) bytes a chunk (in f32). [`pass_bytes`](Self::pass_bytes) is
    /// their sum.
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
        let chunk = self.chunk_positions(chunking, ids.len());
        match self.initial_state() {
            Some(mut state) => {
                ids.chunks(chunk).try_for_each(|ids| self.feed(&mut state, ids, request, scratch, observer))
            }
            None => self.encode_by_layers(ids, &spans(ids.len(), chunk), &mut Pass { request, scratch, observer }),
        }
    }

    fn encode_by_layers(&self, ids: &[u8], spans: &[Range<usize>], pass: &mut Pass<'_, B::Scalar>) -> ControlFlow<()> {
        let mut residuals: Vec<Vec<B::Scalar>> = (0..self.tables.len())
            .map(|strand| {
                let mut residual = vec![B::Scalar::default(); ids.len() * self.config().d_model];
                self.embed(strand, ids, &mut residual);
                residual
            })
            .collect();
        self.emit_spans(Tap::Block(0), spans, &residuals, pass);
        for (i, layer) in self.layers.iter().enumerate() {
            let arrangement = Arrangement::of_layer(self.config(), i);
            for (strand, residual) in residuals.iter_mut().enumerate() {
                let backwards = arrangement.backwards(strand);
                Sweep { backend: &self.backend, layer, spans, backwards }.run(residual, pass)?;
            }
            self.emit_spans(Tap::Block(i + 1), spans, &residuals, pass);
        }
        self.emit_spans(Tap::Last, spans, &residuals, pass);
        ControlFlow::Continue(())
    }

    /// Hands over all chunks of the strands' residual streams, `[L, D]` each, at a tap.
    fn emit_spans(
        &self,
        tap: Tap,
        spans: &[Range<usize>],
        residuals: &[Vec<B::Scalar>],
        pass: &mut Pass<'_, B::Scalar>,
    ) {
        let d = self.config().d_model;
        for span in spans {
            let strands: Vec<_> = residuals.iter().map(|r| &r[span.start * d..span.end * d]).collect();
            self.emit(tap, Streams { start: span.start as u64, strands: &strands }, pass);
        }
    }
}

/// The chunks of `len` positions.
pub(crate) fn spans(len: usize, chunk: usize) -> Vec<Range<usize>> {
    (0..len).step_by(chunk).map(|start| start..(start + chunk).min(len)).collect()
}
