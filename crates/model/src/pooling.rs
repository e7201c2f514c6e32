//! From the hidden states of a sequence's positions to vectors of spans.

use std::ops::ControlFlow;

use longstrand_kernels::Rows;
pub use longstrand_kernels::pool::Reduction;

mod pooler;
mod spans;

pub(crate) use pooler::Poolers;
pub use spans::Spans;

use crate::output::Tap;

/// What becomes of hidden states. Sums are f64, so that vectors do not depend on how a pass is cut into chunks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pooling {
    /// What becomes of the positions of a span.
    pub reduction: Reduction,
    /// Which positions belong together.
    pub spans: Spans,
}

impl Pooling {
    /// The mean of all of these positions.
    pub fn mean(positions: std::ops::Range<u64>) -> Self {
        Self { reduction: Reduction::Mean, spans: Spans::one(positions) }
    }
}

/// Receives the vectors of a pass.
pub trait VectorObserver {
    /// Vectors at `tap` of the spans from the `first` on, `[spans, width]`; see [`Engine::width`](crate::Engine::width). Spans come
    /// in order at each tap.
    fn vectors(&mut self, tap: Tap, first: usize, rows: Rows<'_, f32>);

    /// As [`Observer::advanced`](crate::Observer::advanced).
    fn advanced(&mut self, work: u64) -> ControlFlow<()>;
}
