//! One file out of parts, row group by row group, without decoding a page.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use crate::destination::part_path;
use crate::error::TableError;
use crate::footer::{Footer, key_value};
use crate::options::Existing;
use crate::whole_file::NewFile;

/// Writes parts `0..parts` of `folder` as the file `path`. The tail of the last part's footer becomes the file's.
/// Returns the file's size in bytes.
pub(crate) fn stitch(
    folder: &Path,
    parts: u64,
    path: &Path,
    schema: SchemaRef,
    properties: WriterProperties,
    existing: Existing,
) -> std::result::Result<u64, TableError> {
    let file = NewFile::create_in(folder, path, existing)?;
    let (mut writer, _) = ArrowWriter::try_new(file.handle()?, schema, Some(properties))
        .and_then(ArrowWriter::into_serialized_writer)
        .map_err(TableError::parquet("write", path))?;
    for index in 0..parts {
        let part = part_path(folder, index);
        let footer = Footer::read(&part)?;
        if index + 1 == parts {
            footer.tail().iter().for_each(|pair| writer.append_key_value_metadata(key_value(pair)));
        }
        let source = File::open(&part).map_err(TableError::io("open", &part))?;
        for group in footer.into_metadata().row_groups() {
            copy_group(&mut writer, &source, group).map_err(TableError::parquet("write", path))?;
        }
    }
    writer.finish().map_err(TableError::parquet("write", path))?;
    file.seal()
}

fn copy_group<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    source: &File,
    group: &RowGroupMetaData,
) -> Result<()> {
    let rows = group.num_rows().unsigned_abs();
    let mut copy = writer.next_row_group()?;
    for column in group.columns() {
        copy.append_column(source, closed(column, rows))?;
    }
    copy.close().map(drop)
}

fn closed(column: &ColumnChunkMetaData, rows: u64) -> ColumnCloseResult {
    ColumnCloseResult {
        bytes_written: column.compressed_size().unsigned_abs(),
        rows_written: rows,
        metadata: column.clone(),
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    }
}
