//! Parts of a table: the one being written, and those that an earlier run has left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::destination::{part_indices, part_path};
use crate::error::TableError;
use crate::footer::{Footer, Metadata, key_value, place};
use crate::options::Existing;
use crate::slices::Slices;
use crate::whole_file::NewFile;

/// A part that is being written under a temporary name. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct OpenPart {
    path: PathBuf,
    file: NewFile,
    writer: ArrowWriter<File>,
    slices: Slices,
    rows: u64,
}

impl OpenPart {
    /// Begins part `index` of the folder with the table's row `first_row`, both 0-based.
    pub(crate) fn create(
        folder: &Path,
        index: u64,
        first_row: u64,
        slices: Slices,
        schema: SchemaRef,
        properties: WriterProperties,
        existing: Existing,
    ) -> Result<Self, TableError> {
        let path = part_path(folder, index);
        let file = NewFile::create_in(folder, &path, existing)?;
        let mut writer = ArrowWriter::try_new(file.handle()?, schema, Some(properties))
            .map_err(TableError::parquet("write", &path))?;
        for pair in place(index, first_row) {
            writer.append_key_value_metadata(key_value(&pair));
        }
        Ok(Self { path, file, writer, slices, rows: 0 })
    }

    /// Rows written so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Appends all rows of the batch.
    pub(crate) fn write(&mut self, mut batch: RecordBatch) -> Result<(), TableError> {
        self.rows += batch.num_rows() as u64;
        while batch.num_rows() > 0 {
            let filled = self.slices.fill(&mut batch).map_err(|error| self.failed(error.into()))?;
            if let Some(slice) = filled {
                self.encode(&slice)?;
            }
        }
        Ok(())
    }

    /// Ends the part with `tail` in its footer and gives it its name. Returns its size in bytes.
    pub(crate) fn seal(mut self, tail: &Metadata) -> Result<u64, TableError> {
        if let Some(slice) = self.slices.take().map_err(|error| self.failed(error.into()))? {
            self.encode(&slice)?;
        }
        for pair in tail {
            self.writer.append_key_value_metadata(key_value(pair));
        }
        self.writer.finish().map_err(TableError::parquet("write", &self.path))?;
        self.file.seal()
    }

    fn encode(&mut self, slice: &RecordBatch) -> Result<(), TableError> {
        self.writer.write(slice).map_err(TableError::parquet("write", &self.path))
    }

    fn failed(&self, error: parquet::errors::ParquetError) -> TableError {
        TableError::parquet("write", &self.path)(error)
    }
}

/// What an earlier run has left in a folder.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Whole parts.
    pub(crate) parts: u64,
    /// Their rows.
    pub(crate) rows: u64,
    /// Whether no row is missing behind them.
    pub(crate) complete: bool,
}

/// Reads the footers of a folder's parts and checks that they are the beginning of this very table.
pub(crate) fn find(
    folder: &Path,
    schema: &SchemaRef,
    identity: &Metadata,
    rows_per_part: u64,
) -> Result<Found, TableError> {
    let mut found = Found::default();
    for index in part_indices(folder)? {
        let path = part_path(folder, found.parts);
        if index != found.parts {
            return Err(TableError::MissingPart(path));
        }
        let footer = Footer::read(&path)?;
        footer.check_origin(schema, identity)?;
        footer.check_place(found.rows, rows_per_part)?;
        found.parts += 1;
        found.rows += footer.rows();
        found.complete = footer.is_complete();
    }
    Ok(found)
}

/// Removes the parts of a folder, the last one first, so that what a kill leaves is never taken for a whole table.
pub(crate) fn remove(folder: &Path) -> Result<(), TableError> {
    part_indices(folder)?.into_iter().rev().try_for_each(|index| remove_part(&part_path(folder, index)))
}

/// Removes a part that may be gone already.
fn remove_part(path: &Path) -> Result<(), TableError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(TableError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
