//! Rows on their way to the writer, a column at a time.

use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;

use super::{ScoreLayout, ScoreRow};
use crate::slices::{Fill, Limits};

/// The columns of rows that go to the encoder together.
#[derive(Debug)]
pub(super) struct ScoreBatch {
    schema: SchemaRef,
    contig: StringBuilder,
    pos: Int64Builder,
    end: Int64Builder,
    reference: StringBuilder,
    alternate: StringBuilder,
    id: StringBuilder,
    variant_type: StringBuilder,
    /// `[scores · 3]`: a score, its forward and its reverse value.
    scores: Vec<Float64Builder>,
    n_ambiguous: Int64Builder,
    window_start: Int64Builder,
    window_end: Int64Builder,
    reason: StringBuilder,
    fill: Fill,
}

impl ScoreBatch {
    pub(super) fn new(layout: &ScoreLayout) -> Self {
        Self {
            schema: Arc::new(layout.schema()),
            contig: StringBuilder::new(),
            pos: Int64Builder::new(),
            end: Int64Builder::new(),
            reference: StringBuilder::new(),
            alternate: StringBuilder::new(),
            id: StringBuilder::new(),
            variant_type: StringBuilder::new(),
            scores: (0..3 * layout.scores().len()).map(|_| Float64Builder::new()).collect(),
            n_ambiguous: Int64Builder::new(),
            window_start: Int64Builder::new(),
            window_end: Int64Builder::new(),
            reason: StringBuilder::new(),
            fill: Fill::default(),
        }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Whether a row goes into the same slice as those before it.
    pub(super) fn has_room(&self, row: &ScoreRow<'_>, limits: &Limits) -> bool {
        self.fill.has_room(text_bytes(row), limits)
    }

    pub(super) fn push(&mut self, row: &ScoreRow<'_>) {
        assert_eq!(3 * row.values.len(), self.scores.len(), "columns of scores in a row");
        self.contig.append_value(row.contig);
        self.pos.append_value(signed(row.position));
        self.end.append_option(row.end.map(signed));
        self.reference.append_value(row.reference);
        self.alternate.append_value(row.alternate);
        self.id.append_option(row.id);
        self.variant_type.append_value(row.variant_type);
        for (column, value) in self.scores.iter_mut().zip(row.values.iter().flat_map(|strands| strands.values())) {
            column.append_option(value);
        }
        self.n_ambiguous.append_option(row.n_ambiguous.map(signed));
        self.window_start.append_option(row.window.as_ref().map(|window| signed(window.start)));
        self.window_end.append_option(row.window.as_ref().map(|window| signed(window.end)));
        self.reason.append_option(row.reason);
        self.fill.add(text_bytes(row));
    }

    /// The rows so far; none are left.
    pub(super) fn take(&mut self) -> RecordBatch {
        self.fill = Fill::default();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.contig.finish()),
            Arc::new(self.pos.finish()),
            Arc::new(self.end.finish()),
            Arc::new(self.reference.finish()),
            Arc::new(self.alternate.finish()),
            Arc::new(self.id.finish()),
            Arc::new(self.variant_type.finish()),
        ];
        columns.extend(self.scores.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.extend([&mut self.n_ambiguous, &mut self.window_start, &mut self.window_end].map(finished));
        columns.push(Arc::new(self.reason.finish()));
        RecordBatch::try_new(self.schema(), columns).expect("columns follow the layout's schema")
    }
}

fn text_bytes(row: &ScoreRow<'_>) -> usize {
    row.texts().iter().map(|(_, text)| text.len()).sum()
}

fn finished(column: &mut Int64Builder) -> ArrayRef {
    Arc::new(column.finish())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).expect("coordinates and counts of bases fit 63 bits")
}
