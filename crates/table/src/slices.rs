//! Batches of any size in, slices of a fixed number of rows out.

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use arrow_select::concat::concat_batches;

/// Bytes of text from which on a slice ends early: a column of it, and a page of Parquet, must stay below 2 GiB.
pub(crate) const SLICE_TEXT: usize = 64 << 20;

/// How far a slice goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) rows: usize,
    /// Bytes of text, which only a slice of a single row passes.
    pub(crate) text: usize,
}

/// How full a slice is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fill {
    pub(crate) rows: usize,
    text: usize,
}

impl Fill {
    /// Whether a row with so many bytes of text still belongs to the slice.
    pub(crate) fn has_room(&self, text: usize, limits: &Limits) -> bool {
        self.rows == 0 || self.rows < limits.rows && text <= limits.text.saturating_sub(self.text)
    }

    pub(crate) fn add(&mut self, text: usize) {
        self.rows += 1;
        self.text += text;
    }
}

/// Rows that wait until they fill a slice.
///
/// The encoder looks for page ends once a call, so pages are a function of how rows are handed over. Handing them over
/// on a grid that depends on the rows alone makes the file's bytes a function of the rows alone.
#[derive(Debug)]
pub(crate) struct Slices {
    schema: SchemaRef,
    limits: Limits,
    waiting: Vec<RecordBatch>,
    fill: Fill,
}

impl Slices {
    /// Slices of `rows_per_slice` rows, which is at least 1, or of fewer where texts are long.
    pub(crate) fn new(schema: SchemaRef, rows_per_slice: usize) -> Self {
        Self::with_limits(schema, Limits { rows: rows_per_slice.max(1), text: SLICE_TEXT })
    }

    fn with_limits(schema: SchemaRef, limits: Limits) -> Self {
        Self { schema, limits, waiting: Vec::new(), fill: Fill::default() }
    }

    /// Takes rows off the front of `batch` up to the end of the current slice, and returns the slice if it ends there.
    pub(crate) fn fill(&mut self, batch: &mut RecordBatch) -> Result<Option<RecordBatch>, ArrowError> {
        let texts = texts(batch);
        let mut rows = 0;
        let is_ended = loop {
            if self.fill.rows == self.limits.rows {
                break true;
            }
            if rows == batch.num_rows() {
                break false;
            }
            let text = texts.iter().map(|column| column.value_length(rows) as usize).sum();
            if !self.fill.has_room(text, &self.limits) {
                break true;
            }
            self.fill.add(text);
            rows += 1;
        };
        if rows > 0 {
            self.waiting.push(batch.slice(0, rows));
            *batch = batch.slice(rows, batch.num_rows() - rows);
        }
        if is_ended { self.take() } else { Ok(None) }
    }

    /// The rows that wait, if any: the last, short slice.
    pub(crate) fn take(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let slice = match self.waiting.as_slice() {
            [] => return Ok(None),
            [whole] => whole.clone(),
            pieces => concat_batches(&self.schema, pieces)?,
        };
        self.waiting.clear();
        self.fill = Fill::default();
        Ok(Some(slice))
    }
}

/// The columns of text.
fn texts(batch: &RecordBatch) -> Vec<StringArray> {
    let columns = batch.columns().iter().filter(|column| *column.data_type() == DataType::Utf8);
    columns.map(|column| column.as_string::<i32>().clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, types::Int64Type};
    use arrow_schema::{Field, Schema};

    use super::*;

    fn slices_of(batches: &[usize]) -> Vec<Vec<i64>> {
        let schema = Arc::new(Schema::new(vec![Field::new("row", DataType::Int64, false)]));
        let mut slices = Slices::new(schema.clone(), 4);
        let mut out = Vec::new();
        let mut next = 0;
        for &rows in batches {
            let values = Int64Array::from_iter_values(next..next + rows as i64);
            next += rows as i64;
            let mut batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(values)]).unwrap();
            while batch.num_rows() > 0 {
                out.extend(slices.fill(&mut batch).unwrap());
            }
        }
        out.extend(slices.take().unwrap());
        out.iter().map(|slice| slice.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn the_grid_does_not_depend_on_the_batches() {
        let expected = vec![vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]];
        for batches in [vec![10], vec![1; 10], vec![3, 0, 7], vec![4, 4, 2]] {
            assert_eq!(slices_of(&batches), expected, "{batches:?}");
        }
        assert!(slices_of(&[]).is_empty());
    }

    /// The lengths of the texts of each slice.
    fn cut(lengths: &[usize], batches: &[usize], limits: Limits) -> Vec<Vec<i32>> {
        let schema = Arc::new(Schema::new(["a", "b"].map(|name| Field::new(name, DataType::Utf8, true)).to_vec()));
        let texts: Vec<String> = lengths.iter().map(|&length| "x".repeat(length)).collect();
        let column = StringArray::from_iter_values(&texts);
        let empty = StringArray::from(vec![None::<&str>; lengths.len()]);
        let all = RecordBatch::try_new(schema.clone(), vec![Arc::new(column), Arc::new(empty)]).unwrap();
        let mut slices = Slices::with_limits(schema, limits);
        let (mut out, mut from) = (Vec::new(), 0);
        for &rows in batches {
            let mut batch = all.slice(from, rows);
            from += rows;
            while batch.num_rows() > 0 {
                out.extend(slices.fill(&mut batch).unwrap());
            }
        }
        assert_eq!(from, lengths.len());
        out.extend(slices.take().unwrap());
        let lengths =
            |slice: &RecordBatch| texts_of(slice).iter().map(|text| text.map_or(0, |text| text.len() as i32)).collect();
        out.iter().map(lengths).collect()
    }

    fn texts_of(slice: &RecordBatch) -> StringArray {
        slice.column(0).as_string::<i32>().clone()
    }

    #[test]
    fn long_texts_end_a_slice_early() {
        let lengths = [3, 3, 4, 1, 25, 9, 1, 1, 0, 0, 0, 10, 0];
        let expected: Vec<Vec<i32>> = vec![vec![3, 3, 4], vec![1], vec![25], vec![9, 1], vec![1, 0, 0, 0], vec![10, 0]];
        for batches in [vec![13], vec![1; 13], vec![4, 1, 8], vec![5, 5, 3], vec![2, 11]] {
            assert_eq!(cut(&lengths, &batches, Limits { rows: 4, text: 10 }), expected, "{batches:?}");
        }
    }
}
