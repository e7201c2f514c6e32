//! A window's vectors as rows of the table.

use std::ops::ControlFlow;

use longstrand_model::Spans;
use longstrand_seq::Strand;
use longstrand_seq::window::Window;
use longstrand_table as table;
use longstrand_table::EmbeddingRow;

use super::Embedder;
use super::tokens::Tokens;
use crate::options::{Equivariant, Strands};
use crate::pool::Pool;

/// Takes rows.
pub(crate) trait RowSink {
    /// Takes a row; breaking ends the run.
    fn push(&mut self, row: &EmbeddingRow<'_>) -> ControlFlow<()>;
}

/// Makes the rows of one window.
pub(crate) struct WindowRows<'a> {
    window: &'a Window,
    tokens: &'a Tokens<'a>,
    pool: Pool,
    spans: Spans,
    /// Channels of a vector before halves are taken apart.
    width: usize,
    equivariant: Option<Equivariant>,
    is_read: bool,
    /// Rows that are there already.
    skip: u64,
    sink: &'a mut dyn RowSink,
}

/// What a row stands for.
struct Place {
    start: u64,
    end: u64,
    n_bases: u64,
    n_ambiguous: u64,
    n_soft_masked: u64,
}

impl<'a> WindowRows<'a> {
    /// The rows of `window` but the first `skip`.
    pub(super) fn new(
        embedder: &Embedder,
        window: &'a Window,
        tokens: &'a Tokens<'a>,
        is_read: bool,
        skip: u64,
        sink: &'a mut dyn RowSink,
    ) -> Self {
        let pool = embedder.options.pool;
        Self {
            window,
            tokens,
            pool,
            spans: pool.spans(tokens.n_bases() as u64),
            width: embedder.model.width() * if embedder.options.strands == Strands::Concat { 2 } else { 1 },
            equivariant: embedder.equivariant(),
            is_read,
            skip,
            sink,
        }
    }

    /// Pushes the rows of vectors `[spans, width]` of one layer, which begin with the `first`-th span.
    pub(super) fn emit(&mut self, layer: &str, first: usize, vectors: &[f32]) -> ControlFlow<()> {
        for (i, vector) in vectors.chunks_exact(self.width).enumerate() {
            self.emit_vector(layer, first + i, vector)?;
        }
        ControlFlow::Continue(())
    }

    fn emit_vector(&mut self, layer: &str, span: usize, vector: &[f32]) -> ControlFlow<()> {
        let strand = self.window.strand;
        let Some(equivariant) = self.equivariant else {
            return self.emit_row(layer, span, strand, vector);
        };
        let (a, b) = vector.split_at(self.width / 2);
        let b = b.iter().rev().copied();
        match equivariant {
            Equivariant::Published => self.emit_row(layer, span, strand, vector),
            Equivariant::Conjoined => {
                let mean: Vec<f32> = a.iter().zip(b).map(|(a, b)| mean(*a, b)).collect();
                self.emit_row(layer, span, strand, &mean)
            }
            Equivariant::Split => {
                self.emit_row(layer, span, strand, a)?;
                self.emit_row(layer, span, strand.opposite(), &b.collect::<Vec<_>>())
            }
        }
    }

    fn emit_row(&mut self, layer: &str, span: usize, strand: Strand, embedding: &[f32]) -> ControlFlow<()> {
        if self.skip > 0 {
            self.skip -= 1;
            return ControlFlow::Continue(());
        }
        let place = self.place(span);
        self.sink.push(&EmbeddingRow {
            name: &self.window.name,
            contig: &self.window.contig,
            start: place.start,
            end: place.end,
            strand: match strand {
                Strand::Forward => table::Strand::Forward,
                Strand::Reverse => table::Strand::Reverse,
            },
            layer,
            bin: span as u64,
            n_bases: place.n_bases,
            n_ambiguous: place.n_ambiguous,
            n_soft_masked: place.n_soft_masked,
            embedding,
        })
    }

    fn place(&self, span: usize) -> Place {
        let window = self.window;
        if !self.pool.divides() {
            return Place {
                start: window.start,
                end: window.end,
                n_bases: self.tokens.n_bases() as u64,
                n_ambiguous: window.n_ambiguous,
                n_soft_masked: window.soft_mask.count(),
            };
        }
        let span = self.spans.get(span);
        let (start, end) = match (self.is_read, window.strand) {
            (true, _) => (window.start, window.end),
            (false, Strand::Forward) => (window.start + span.start, window.start + span.end),
            (false, Strand::Reverse) => (window.end - span.end, window.end - span.start),
        };
        Place {
            start,
            end,
            n_bases: span.end - span.start,
            n_ambiguous: self.tokens.n_ambiguous(span.start as usize..span.end as usize),
            n_soft_masked: window.soft_mask.count_in(&span),
        }
    }
}

/// The vectors of a window and of its reverse complement, `[spans, width]` each, as one. The spans of the reverse complement
/// are in reverse order.
pub(super) fn join(strands: Strands, forward: &[f32], reverse: &[f32], width: usize) -> Vec<f32> {
    let pairs = forward.chunks_exact(width).zip(reverse.chunks_exact(width).rev());
    match strands {
        Strands::Forward => forward.to_vec(),
        Strands::Average => pairs.flat_map(|(f, r)| f.iter().zip(r).map(|(f, r)| mean(*f, *r))).collect(),
        Strands::Concat => pairs.flat_map(|(f, r)| f.iter().chain(r).copied()).collect(),
    }
}

fn mean(a: f32, b: f32) -> f32 {
    ((f64::from(a) + f64::from(b)) / 2.0) as f32
}
