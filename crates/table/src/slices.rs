//! Batches of any size in, slices of a fixed number of rows out.

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;

/// Rows that wait until they fill a slice.
///
/// The encoder looks for page ends once a call, so pages are a function of how rows are handed over. Handing them over
/// on a fixed grid makes the file's bytes a function of the rows alone.
#[derive(Debug)]
pub(crate) struct Slices {
    schema: SchemaRef,
    rows_per_slice: usize,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
}

impl Slices {
    /// Slices of `rows_per_slice` rows, which is at least 1.
    pub(crate) fn new(schema: SchemaRef, rows_per_slice: usize) -> Self {
        Self { schema, rows_per_slice: rows_per_slice.max(1), waiting: Vec::new(), waiting_rows: 0 }
    }

    /// Takes rows off the front of `batch` up to the end of the current slice, and returns the slice if that filled it.
    pub(crate) fn fill(&mut self, batch: &mut RecordBatch) -> Result<Option<RecordBatch>, ArrowError> {
        let rows = batch.num_rows().min(self.rows_per_slice - self.waiting_rows);
        self.waiting.push(batch.slice(0, rows));
        self.waiting_rows += rows;
        *batch = batch.slice(rows, batch.num_rows() - rows);
        match self.waiting_rows == self.rows_per_slice {
            true => self.take(),
            false => Ok(None),
        }
    }

    /// The rows that wait, if any: the last, short slice.
    pub(crate) fn take(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.waiting_rows == 0 {
            return Ok(None);
        }
        let slice = match self.waiting.as_slice() {
            [whole] => whole.clone(),
            pieces => concat_batches(&self.schema, pieces)?,
        };
        self.waiting.clear();
        self.waiting_rows = 0;
        Ok(Some(slice))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, cast::AsArray, types::Int64Type};
    use arrow_schema::{DataType, Field, Schema};

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
}
