//! A small table that is held in memory as a whole: measures, predictions.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::destination::Destination;
use crate::error::TableError;
use crate::footer::Metadata;
use crate::options::{Existing, RowCounts};
use crate::writer::{Opened, TableWriter, Written};

/// Rows of a row group.
const ROWS_PER_GROUP: usize = 1 << 16;

/// The values of a column; a missing one is none.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Whole numbers.
    Integers(Vec<Option<i64>>),
    /// Numbers.
    Numbers(Vec<Option<f64>>),
    /// Texts.
    Texts(Vec<Option<String>>),
}

/// Columns of equal length, each with a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    columns: Vec<(String, Values)>,
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Integers(values) => values.len(),
            Self::Numbers(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Integers(_) => DataType::Int64,
            Self::Numbers(_) => DataType::Float64,
            Self::Texts(_) => DataType::Utf8,
        }
    }

    fn array(&self) -> ArrayRef {
        match self {
            Self::Integers(values) => Arc::new(Int64Array::from(values.clone())),
            Self::Numbers(values) => Arc::new(Float64Array::from(values.clone())),
            Self::Texts(values) => Arc::new(StringArray::from(values.clone())),
        }
    }

    fn write(&self, row: usize, text: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Integers(values) => values[row].map_or(Ok(()), |value| write!(text, "{value}")),
            Self::Numbers(values) => values[row].map_or(Ok(()), |value| write!(text, "{value}")),
            Self::Texts(values) => {
                let value = values[row].as_deref().unwrap_or_default();
                text.extend(value.chars().map(|c| if c.is_control() { ' ' } else { c }));
                Ok(())
            }
        };
    }
}

impl Frame {
    /// Adds a column.
    ///
    /// # Panics
    ///
    /// If it is not as long as those before it.
    pub fn push(&mut self, name: impl Into<String>, values: Values) {
        let name = name.into();
        if let Some((first, other)) = self.columns.first() {
            assert_eq!(values.len(), other.len(), "values of {name}, of which there are as many as of {first}");
        }
        self.columns.push((name, values));
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, values)| values.len())
    }

    /// Writes the table as Parquet, whole or not at all.
    ///
    /// # Errors
    ///
    /// - the output exists and is not to be replaced, or cannot be written
    pub fn write_parquet(
        &self,
        destination: &Destination,
        existing: Existing,
        identity: Metadata,
    ) -> Result<Written, TableError> {
        let schema = self.schema();
        let counts = RowCounts { per_group: ROWS_PER_GROUP, per_part: u64::MAX, per_slice: ROWS_PER_GROUP };
        match TableWriter::open(destination, schema.clone(), counts, existing, identity)? {
            Opened::Complete(written) => Ok(written),
            Opened::Writing(mut writer) => {
                let arrays = self.columns.iter().map(|(_, values)| values.array()).collect();
                let batch = RecordBatch::try_new(schema, arrays).expect("columns follow the schema made of them");
                writer.write(batch)?;
                writer.finish(Metadata::new())
            }
        }
    }

    /// The table as tab-separated text: a line of names, then one for each row. A missing value is an empty field.
    pub fn to_tsv(&self) -> String {
        let mut text = self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("\t");
        text.push('\n');
        for row in 0..self.rows() {
            for (column, (_, values)) in self.columns.iter().enumerate() {
                if column > 0 {
                    text.push('\t');
                }
                values.write(row, &mut text);
            }
            text.push('\n');
        }
        text
    }

    fn schema(&self) -> SchemaRef {
        let field = |(name, values): &(String, Values)| Field::new(name, values.data_type(), true);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn frame() -> Frame {
        let mut frame = Frame::default();
        frame.push("class", Values::Texts(vec![Some("all".into()), None, Some("a\tb".into())]));
        frame.push("targets", Values::Integers(vec![Some(3), Some(-1), None]));
        frame.push("loss", Values::Numbers(vec![Some(1.25), None, Some(1e-300)]));
        frame
    }

    #[test]
    fn text_has_an_empty_field_where_a_value_is_missing() {
        assert_eq!(frame().to_tsv(), format!("class\ttargets\tloss\nall\t3\t1.25\n\t-1\t\na b\t\t{}\n", 1e-300));
        assert_eq!((Frame::default().rows(), Frame::default().to_tsv()), (0, "\n".into()));
    }

    #[test]
    fn parquet_gives_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frame.parquet");
        let identity = vec![("longstrand.command".to_owned(), "evaluate".to_owned())];
        let write = |existing| frame().write_parquet(&Destination::from_path(&path), existing, identity.clone());
        assert_eq!(write(Existing::Refuse).unwrap().rows, 3);
        assert!(write(Existing::Refuse).is_err());
        write(Existing::Replace).unwrap();
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap().build().unwrap();
        let batch = reader.next().unwrap().unwrap();
        assert_eq!(batch.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("all"), None, Some("a\tb")]);
        assert_eq!(batch.column(1).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(3), Some(-1), None]);
        assert_eq!(batch.column(2).as_primitive::<Float64Type>().value(2), 1e-300);
        assert!(batch.column(2).is_null(1));
    }

    #[test]
    #[should_panic(expected = "values of loss")]
    fn columns_of_two_lengths_are_refused() {
        let mut frame = frame();
        frame.push("loss", Values::Numbers(vec![None]));
    }
}
