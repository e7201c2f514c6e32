//! The key/value metadata in a file's footer, written and read back.
//!
//! Pairs are in this order: the identity, the Arrow schema, where the part stands, and, in the last part or a whole
//! table, [`COMPLETE`] followed by what is known only at the end.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_schema::Schema;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowSchemaConverter, parquet_to_arrow_schema};
use parquet::file::metadata::{KeyValue, ParquetMetaData, ParquetMetaDataReader};
use parquet::schema::types::SchemaDescriptor;

use crate::error::TableError;

/// Ordered key/value pairs.
pub type Metadata = Vec<(String, String)>;

/// The key that says, with the value `true`, that no row of the table is missing (behind this part).
pub const COMPLETE: &str = "longstrand.complete";

/// The keys, behind the identity, of how rows are grouped.
pub(crate) const ROWS_PER_GROUP: &str = "longstrand.rows_per_group";
pub(crate) const ROWS_PER_PART: &str = "longstrand.rows_per_part";

const PART: &str = "longstrand.part";
const FIRST_ROW: &str = "longstrand.first_row";

/// A file's footer.
#[derive(Debug)]
pub(crate) struct Footer {
    path: PathBuf,
    metadata: ParquetMetaData,
}

impl Footer {
    /// Reads the footer of a Parquet file.
    pub(crate) fn read(path: &Path) -> Result<Self, TableError> {
        let file = File::open(path).map_err(TableError::io("open", path))?;
        let metadata =
            ParquetMetaDataReader::new().parse_and_finish(&file).map_err(TableError::parquet("read", path))?;
        Ok(Self { path: path.to_path_buf(), metadata })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The columns, without the pairs.
    pub(crate) fn arrow_schema(&self) -> Result<Schema, TableError> {
        let file = self.metadata.file_metadata();
        let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata());
        schema.map(|schema| Schema::new(schema.fields)).map_err(TableError::parquet("read", &self.path))
    }

    /// What the file was written under, and how its rows are grouped.
    pub(crate) fn identity(&self) -> Metadata {
        self.pairs().take_while(|(key, _)| *key != ARROW_SCHEMA_META_KEY).map(owned).collect()
    }

    /// The table's row that a part begins with, 0-based; none of a single file.
    pub(crate) fn first_row(&self) -> Option<u64> {
        self.value(FIRST_ROW)?.parse().ok()
    }

    /// What follows [`COMPLETE`].
    pub(crate) fn end(&self) -> Metadata {
        self.tail().into_iter().skip(1).collect()
    }

    /// Rows of the file.
    pub(crate) fn rows(&self) -> u64 {
        self.metadata.file_metadata().num_rows().unsigned_abs()
    }

    /// Row groups and columns of the file.
    pub(crate) fn into_metadata(self) -> ParquetMetaData {
        self.metadata
    }

    /// Whether the table ends with this file.
    pub(crate) fn is_complete(&self) -> bool {
        self.value(COMPLETE) == Some("true")
    }

    /// [`COMPLETE`] and what follows it.
    pub(crate) fn tail(&self) -> Metadata {
        self.pairs().skip_while(|(key, _)| *key != COMPLETE).map(owned).collect()
    }

    /// All pairs but the Arrow schema.
    pub(crate) fn metadata(&self) -> Metadata {
        self.pairs().filter(|(key, _)| *key != ARROW_SCHEMA_META_KEY).map(owned).collect()
    }

    /// An error unless the file has the columns of `schema` and was written under `identity`.
    pub(crate) fn check_origin(&self, schema: &Schema, identity: &Metadata) -> Result<(), TableError> {
        let found = self.identity();
        if let Some(key) = first_difference(identity, &found) {
            let value_in =
                |pairs: &Metadata| pairs.iter().find(|(other, _)| *other == key).map(|(_, value)| value.clone());
            let (expected, found) = (value_in(identity), value_in(&found));
            return Err(TableError::Differs { path: self.path.clone(), key, expected, found });
        }
        let expected = ArrowSchemaConverter::new().convert(schema).map_err(TableError::parquet("read", &self.path))?;
        let found = self.metadata.file_metadata().schema_descr();
        match expected.root_schema() == found.root_schema() {
            true => Ok(()),
            false => {
                let (expected, found) = (columns(&expected), columns(found));
                Err(TableError::Columns { path: self.path.clone(), expected, found })
            }
        }
    }

    /// An error unless the part begins with the table's row `first_row` (0-based) and, if it is not the last, holds
    /// `rows_per_part` rows.
    pub(crate) fn check_place(&self, first_row: u64, rows_per_part: u64) -> Result<(), TableError> {
        let wrong = |what, expected, found| Err(TableError::Rows { path: self.path.clone(), what, expected, found });
        let found = self.first_row();
        if found != Some(first_row) {
            return wrong("first row", first_row, found);
        }
        if !self.is_complete() && self.rows() != rows_per_part {
            return wrong("rows", rows_per_part, Some(self.rows()));
        }
        Ok(())
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.metadata.file_metadata().key_value_metadata().into_iter().flatten();
        pairs.map(|pair| (pair.key.as_str(), pair.value.as_deref().unwrap_or_default()))
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.pairs().find(|(other, _)| *other == key).map(|(_, value)| value)
    }
}

/// The pairs that say where a part stands: its number and the table's row that it begins with, both 0-based.
pub(crate) fn place(part: u64, first_row: u64) -> Metadata {
    vec![(PART.into(), part.to_string()), (FIRST_ROW.into(), first_row.to_string())]
}

/// [`COMPLETE`] and the pairs that are known only at the end.
pub(crate) fn tail(end: Metadata) -> Metadata {
    std::iter::once((COMPLETE.into(), "true".into())).chain(end).collect()
}

/// The pair as Parquet has it.
pub(crate) fn key_value((key, value): &(String, String)) -> KeyValue {
    KeyValue::new(key.clone(), value.clone())
}

/// Names and types of columns, as in "start INT64".
fn columns(schema: &SchemaDescriptor) -> String {
    let columns = schema.columns().iter();
    let shown: Vec<String> = columns.map(|column| format!("{} {}", column.path(), column.physical_type())).collect();
    shown.join(", ")
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_string(), value.to_string())
}

/// The key of the first place in which two lists of pairs differ.
fn first_difference(expected: &Metadata, found: &Metadata) -> Option<String> {
    let longer = if expected.len() >= found.len() { expected } else { found };
    let place = (0..longer.len()).find(|&i| expected.get(i) != found.get(i))?;
    Some(longer[place].0.clone())
}
