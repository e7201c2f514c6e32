//! Vectors of a pass, as its hidden states come in.

use longstrand_kernels::{Rows, pool};

use super::{Cuts, Pool};

/// Pools the hidden states of one pass at one layer. It holds one accumulator and the vectors that are finished.
#[derive(Debug)]
pub(crate) struct Pooler {
    cuts: Cuts,
    is_max: bool,
    width: usize,
    /// The span that is being filled.
    span: usize,
    accumulator: Vec<f64>,
    /// `[spans, width]`
    finished: Vec<f32>,
}

impl Pooler {
    pub(crate) fn new(pool: Pool, cuts: Cuts, width: usize) -> Self {
        let mut pooler = Self {
            cuts,
            is_max: pool == Pool::Max,
            width,
            span: 0,
            accumulator: vec![0.0; width],
            finished: Vec::new(),
        };
        pooler.clear();
        pooler
    }

    /// Takes the hidden states of the positions from `start` on, `[L, width]`. Positions come in order.
    pub(crate) fn add(&mut self, start: u64, rows: Rows<'_, f32>) {
        let end = start + rows.len() as u64;
        while self.span < self.cuts.len() {
            let span = self.cuts.get(self.span);
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
    pub(crate) fn take(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.finished)
    }

    fn accumulate(&mut self, row: &[f32]) {
        match self.is_max {
            true => pool::max_rows(row, &mut self.accumulator),
            false => pool::add_rows(row, &mut self.accumulator),
        }
    }

    fn finish(&mut self, positions: u64) {
        let divisor = if self.is_max { 1.0 } else { positions as f64 };
        self.finished.reserve_exact(if self.finished.is_empty() { self.cuts.len().min(1024) * self.width } else { 0 });
        self.finished.extend(self.accumulator.iter().map(|value| (value / divisor) as f32));
        self.span += 1;
        self.clear();
    }

    fn clear(&mut self) {
        self.accumulator.fill(if self.is_max { f64::NEG_INFINITY } else { 0.0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Position t holds (t, -t); chunks of `chunk` positions.
    fn pooled(pool: &str, n: u64, fed: u64, chunk: usize) -> Vec<f32> {
        let pool: Pool = pool.parse().unwrap();
        let mut pooler = Pooler::new(pool, Cuts::new(pool, n), 2);
        let values: Vec<f32> = (0..fed).flat_map(|t| [t as f32, -(t as f32)]).collect();
        for (i, chunk_values) in values.chunks(2 * chunk).enumerate() {
            pooler.add((i * chunk) as u64, Rows::new(chunk_values, 2));
        }
        pooler.take()
    }

    #[test]
    fn vectors_do_not_depend_on_chunks_and_leave_out_what_follows_the_window() {
        for (pool, expected) in [
            ("mean", vec![3.0, -3.0]),
            ("max", vec![6.0, 0.0]),
            ("last", vec![6.0, -6.0]),
            ("center:4", vec![2.5, -2.5]),
            ("bins:3", vec![1.0, -1.0, 4.0, -4.0, 6.0, -6.0]),
        ] {
            for chunk in [1, 2, 3, 5, 7, 10] {
                assert_eq!(pooled(pool, 7, 7, chunk), expected, "{pool} {chunk}");
                assert_eq!(pooled(pool, 7, 10, chunk), expected, "{pool} {chunk} and padding");
            }
        }
    }

    #[test]
    fn without_pooling_every_base_is_a_vector() {
        assert_eq!(pooled("none", 2, 3, 2), [0.0, 0.0, 1.0, -1.0]);
    }
}
