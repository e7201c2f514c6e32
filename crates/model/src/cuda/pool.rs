//! Hidden states that are pooled before they leave a device.

use std::collections::BTreeMap;
use std::ops::Range;

use longstrand_kernels::cuda::{Buffer, CudaError, Real};
use longstrand_kernels::pool;

use super::Piece;
use super::executor::Executor;
use super::host::SharedRows;
use super::layout::Layout;
use super::output::{Output, Streams};
use crate::output::Tap;
use crate::pooling::Pooling;

/// What becomes of the hidden states of sequences, and what is open of their spans.
pub(super) struct Pools<'a> {
    poolings: &'a [Pooling],
    /// `[sequences, D]` of each strand.
    open: BTreeMap<Tap, Vec<Buffer<f64>>>,
}

/// What a chunk has of spans.
pub(super) struct Met {
    pub(super) spans: Vec<pool::cuda::Span>,
    /// Of each sequence, the spans that end.
    ended: Vec<Range<usize>>,
    /// How many end.
    vectors: usize,
}

impl<'a> Pools<'a> {
    pub(super) fn new(poolings: &'a [Pooling]) -> Self {
        let alike = poolings.windows(2).all(|pair| pair[0].reduction == pair[1].reduction);
        assert!(alike, "poolings of one reduction");
        Self { poolings, open: BTreeMap::new() }
    }
}

impl Met {
    /// The spans that have positions of a chunk that begins at `start`. Between two chunks one span of a sequence is open at most.
    pub(super) fn of(poolings: &[Pooling], start: usize, layout: Layout) -> Self {
        let mut met = Self { spans: Vec::new(), ended: Vec::new(), vectors: 0 };
        let chunk = start as u64..(start + layout.len) as u64;
        for (sequence, Pooling { spans, .. }) in poolings.iter().enumerate() {
            let indices = spans.meeting(&chunk);
            let before = met.vectors;
            for span in indices.clone().map(|index| spans.get(index)) {
                let row = |position: u64| sequence * layout.stride + (position - chunk.start) as usize;
                let position = span.start.max(chunk.start);
                let ends = (span.end <= chunk.end).then_some((met.vectors, span.end - span.start));
                met.vectors += usize::from(ends.is_some());
                met.spans.push(pool::cuda::Span {
                    rows: row(position)..row(span.end.min(chunk.end)),
                    position,
                    begins: span.start >= chunk.start,
                    open: sequence,
                    ends,
                });
            }
            met.ended.push(indices.start..indices.start + met.vectors - before);
        }
        met
    }
}

impl<T: Real> Executor<T> {
    /// Pools rows and hands over the vectors of spans that end with them.
    pub(super) fn publish_vectors(
        &self,
        tap: Tap,
        streams: &Streams<'_>,
        output: &mut Output<'_>,
    ) -> Result<(), CudaError> {
        let Some(pools) = &mut output.pools else { return Ok(()) };
        let met = Met::of(pools.poolings, streams.start, streams.layout);
        let (d, reduction) = (self.config.d_model, pools.poolings[0].reduction);
        if !pools.open.contains_key(&tap) {
            let open = |_| self.device.buffer(pools.poolings.len() * d);
            pools.open.insert(tap, streams.strands.iter().map(open).collect::<Result<_, _>>()?);
        }
        let mut vectors = Vec::with_capacity(streams.strands.len());
        for (rows, open) in streams.strands.iter().zip(pools.open.get_mut(&tap).into_iter().flatten()) {
            let mut out = self.device.buffer::<f32>(met.vectors * d)?;
            pool::cuda::forward(reduction, d, *rows, &met.spans, open.view_mut(), out.view_mut())?;
            vectors.push(out);
        }
        if met.vectors == 0 {
            return Ok(());
        }
        let width = d * vectors.len();
        let host = self.fetch(tap, &vectors.iter().map(Buffer::view).collect::<Vec<_>>())?;
        let mut row = 0;
        for (sequence, spans) in met.ended.into_iter().enumerate().filter(|(_, spans)| !spans.is_empty()) {
            let rows = SharedRows::part(&host, row * width, spans.len() * width, width);
            row += spans.len();
            output.give(sequence, Piece::Vectors { tap, first: spans.start, rows });
        }
        Ok(())
    }
}
