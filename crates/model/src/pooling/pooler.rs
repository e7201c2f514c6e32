//! Vectors of a pass, as its hidden states come in.

use std::ops::ControlFlow;

use longstrand_kernels::Rows;
use longstrand_kernels::pool::{Reduction, add_rows, max_rows};

use super::{Pooling, VectorObserver};
use crate::output::{Observer, Tap};

/// Pools the hidden states of a pass at some taps.
pub(crate) struct Poolers<'a> {
    taps: &'a [Tap],
    poolers: Vec<Pooler<'a>>,
    observer: &'a mut dyn VectorObserver,
}

impl<'a> Poolers<'a> {
    /// For hidden states so many numbers wide.
    pub(crate) fn new(
        taps: &'a [Tap],
        pooling: &'a Pooling,
        width: usize,
        observer: &'a mut dyn VectorObserver,
    ) -> Self {
        let poolers = taps.iter().map(|_| Pooler::new(pooling, width)).collect();
        Self { taps, poolers, observer }
    }
}

impl Observer<f32> for Poolers<'_> {
    fn hidden(&mut self, tap: Tap, start: u64, rows: Rows<'_, f32>) {
        let Some(i) = self.taps.iter().position(|&other| other == tap) else { return };
        let pooler = &mut self.poolers[i];
        let first = pooler.span;
        pooler.add(start, rows);
        let vectors = pooler.take();
        if !vectors.is_empty() {
            self.observer.vectors(tap, first, Rows::new(&vectors, pooler.width));
        }
    }

    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        self.observer.advanced(work)
    }
}

/// Pools the hidden states of one pass at one tap. It holds one accumulator and the vectors that are finished.
#[derive(Debug)]
struct Pooler<'a> {
    pooling: &'a Pooling,
    width: usize,
    /// The span that is being filled.
    span: usize,
    accumulator: Vec<f64>,
    /// `[spans, width]`
    finished: Vec<f32>,
}

impl<'a> Pooler<'a> {
    fn new(pooling: &'a Pooling, width: usize) -> Self {
        let mut pooler = Self { pooling, width, span: 0, accumulator: vec![0.0; width], finished: Vec::new() };
        pooler.clear();
        pooler
    }

    /// Takes the hidden states of the positions from `start` on, `[L, width]`. Positions come in order.
    fn add(&mut self, start: u64, rows: Rows<'_, f32>) {
        let end = start + rows.len() as u64;
        let spans = &self.pooling.spans;
        while self.span < spans.len() {
            let span = spans.get(self.span);
            let part = span.start.max(start)..span.end.min(end);
            for position in part.clone() {
                self.accumulate(rows.row((position - start) as usize));
            }
            if part.is_empty() || part.end < span.end {
                return;
            }
            self.finish(span.end - span.start);
        }
    }

    /// Vectors finished since they were last taken, `[spans, width]`.
    fn take(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.finished)
    }

    fn accumulate(&mut self, row: &[f32]) {
        match self.pooling.reduction {
            Reduction::Max => max_rows(row, &mut self.accumulator),
            Reduction::Mean => add_rows(row, &mut self.accumulator),
        }
    }

    fn finish(&mut self, positions: u64) {
        let divisor = if self.pooling.reduction == Reduction::Max { 1.0 } else { positions as f64 };
        let all = self.pooling.spans.len().min(1024) * self.width;
        self.finished.reserve_exact(if self.finished.is_empty() { all } else { 0 });
        self.finished.extend(self.accumulator.iter().map(|value| (value / divisor) as f32));
        self.span += 1;
        self.clear();
    }

    fn clear(&mut self) {
        self.accumulator.fill(if self.pooling.reduction == Reduction::Max { f64::NEG_INFINITY } else { 0.0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Spans;

    #[derive(Default)]
    struct Collect(Vec<f32>);

    impl VectorObserver for Collect {
        fn vectors(&mut self, _: Tap, first: usize, rows: Rows<'_, f32>) {
            assert_eq!(first, self.0.len() / 2, "spans in order");
            (0..rows.len()).for_each(|i| self.0.extend(rows.row(i)));
        }

        fn advanced(&mut self, _: u64) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
    }

    fn pooled(pooling: &Pooling, fed: u64, chunk: usize) -> Vec<f32> {
        let mut found = Collect::default();
        let mut poolers = Poolers::new(&[Tap::Last], pooling, 2, &mut found);
        let values: Vec<f32> = (0..fed).flat_map(|t| [t as f32, -(t as f32)]).collect();
        for (i, chunk_values) in values.chunks(2 * chunk).enumerate() {
            poolers.hidden(Tap::Last, (i * chunk) as u64, Rows::new(chunk_values, 2));
        }
        found.0
    }

    #[test]
    fn vectors_do_not_depend_on_chunks_and_leave_out_what_follows_the_spans() {
        use Reduction::{Max, Mean};
        for (reduction, spans, expected) in [
            (Mean, Spans::one(0..7), vec![3.0, -3.0]),
            (Max, Spans::one(0..7), vec![6.0, 0.0]),
            (Mean, Spans::one(6..7), vec![6.0, -6.0]),
            (Mean, Spans::one(1..5), vec![2.5, -2.5]),
            (Mean, Spans::new(0..7, 3), vec![1.0, -1.0, 4.0, -4.0, 6.0, -6.0]),
        ] {
            let pooling = Pooling { reduction, spans };
            for chunk in [1, 2, 3, 5, 7, 10] {
                assert_eq!(pooled(&pooling, 7, chunk), expected, "{pooling:?} {chunk}");
                assert_eq!(pooled(&pooling, 10, chunk), expected, "{pooling:?} {chunk} and padding");
            }
        }
    }

    #[test]
    fn every_position_can_be_a_vector() {
        let pooling = Pooling { reduction: Reduction::Mean, spans: Spans::new(0..2, 1) };
        assert_eq!(pooled(&pooling, 3, 2), [0.0, 0.0, 1.0, -1.0]);
    }
}
