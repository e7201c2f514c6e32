//! How columns are encoded.
//!
//! Everything is compressed with zstd 1: higher levels gain little on numbers and cost much. Vectors of f32 and
//! scores are BYTE_STREAM_SPLIT, which lays the bytes of equal weight side by side for the compressor; vectors of f16
//! are PLAIN, since DuckDB does not read that split for them. Text repeats and gets a dictionary; coordinates and counts
//! run in steps and get DELTA_BINARY_PACKED. Statistics are kept for the keys alone, a row group at a time.

use arrow_schema::Schema;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::errors::Result;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnDescriptor;

use crate::footer::{Metadata, key_value};

/// The properties of a file with these columns, row groups of `rows_per_group` rows and a footer that begins with
/// `identity`.
pub(crate) fn properties(schema: &Schema, identity: &Metadata, rows_per_group: usize) -> Result<WriterProperties> {
    let columns = ArrowSchemaConverter::new().convert(schema)?;
    let general = WriterProperties::builder()
        .set_created_by(concat!("longstrand version ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(Some(rows_per_group))
        .set_key_value_metadata(Some(identity.iter().map(key_value).collect()));
    Ok(columns.columns().iter().fold(general, |builder, column| encode(builder, column)).build())
}

fn encode(builder: WriterPropertiesBuilder, column: &ColumnDescriptor) -> WriterPropertiesBuilder {
    let path = column.path().clone();
    let (encoding, is_key) = match column.physical_type() {
        Type::BYTE_ARRAY => return builder.set_column_dictionary_enabled(path, true),
        Type::FLOAT | Type::DOUBLE => (Encoding::BYTE_STREAM_SPLIT, false),
        Type::INT32 | Type::INT64 => (Encoding::DELTA_BINARY_PACKED, true),
        _ => (Encoding::PLAIN, false),
    };
    let statistics = if is_key { EnabledStatistics::Chunk } else { EnabledStatistics::None };
    builder
        .set_column_dictionary_enabled(path.clone(), false)
        .set_column_encoding(path.clone(), encoding)
        .set_column_statistics_enabled(path, statistics)
}
