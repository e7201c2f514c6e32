//! What is written is what is read, in the encodings that the documentation promises.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs::File;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Int64Type};
use arrow_schema::DataType;
use longstrand_table::{EmbeddingWriter, Existing, Opened, Precision};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::ColumnChunkMetaData;
use support::*;

fn read(path: &std::path::Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

fn write(folder: &std::path::Path, precision: Precision) -> std::path::PathBuf {
    let (path, to) = file(folder);
    let Opened::Writing(mut writer) =
        EmbeddingWriter::open(&to, layout(precision), &options(Existing::Refuse), identity()).unwrap()
    else {
        panic!("nothing is there yet")
    };
    writer.write(rows(layout(precision), 0..33)).unwrap();
    let written = writer.finish(end()).unwrap();
    assert_eq!((written.rows, written.files), (33, 1));
    assert_eq!(written.bytes, path.metadata().unwrap().len());
    path
}

fn column<'a>(chunks: &'a [ColumnChunkMetaData], name: &str) -> &'a ColumnChunkMetaData {
    chunks.iter().find(|chunk| chunk.column_path().parts()[0] == name).unwrap()
}

#[test]
fn every_column_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let batches = read(&write(folder.path(), Precision::F32));
    let names: Vec<_> = batches[0].schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(
        names,
        [
            "name",
            "contig",
            "start",
            "end",
            "strand",
            "layer",
            "bin",
            "n_bases",
            "n_ambiguous",
            "n_soft_masked",
            "embedding"
        ]
    );
    let mut row = 0;
    for batch in &batches {
        for i in 0..batch.num_rows() {
            let text = |name: &str| batch[name].as_string::<i32>().value(i).to_string();
            let number = |name: &str| batch[name].as_primitive::<Int64Type>().value(i) as u64;
            assert_eq!(text("name"), format!("window{row}"));
            assert_eq!(text("contig"), if row < 20 { "chr20" } else { "chr21" });
            assert_eq!((number("start"), number("end")), (row * 1024, row * 1024 + 1024));
            assert_eq!(text("strand"), if row % 2 == 0 { "+" } else { "-" });
            assert_eq!(text("layer"), "last");
            assert_eq!(number("bin"), row % 4);
            assert_eq!((number("n_bases"), number("n_ambiguous"), number("n_soft_masked")), (1024, row % 3, row % 5));
            let embedding = batch["embedding"].as_fixed_size_list().value(i);
            assert_eq!(embedding.as_primitive::<Float32Type>().values(), &vector(row));
            row += 1;
        }
    }
    assert_eq!(row, 33);
}

#[test]
fn f16_vectors_are_rounded_to_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let batches = read(&write(folder.path(), Precision::F16));
    let lists = batches[0]["embedding"].as_fixed_size_list();
    assert_eq!(lists.value_type(), DataType::Float16);
    let expected = vector(5).map(half::f16::from_f32);
    assert_eq!(lists.value(5).as_primitive::<Float16Type>().values(), &expected);
}

#[test]
fn encodings_are_as_documented() {
    for (precision, encoding) in [(Precision::F32, Encoding::BYTE_STREAM_SPLIT), (Precision::F16, Encoding::PLAIN)] {
        let folder = tempfile::tempdir().unwrap();
        let footer = footer(&write(folder.path(), precision));
        let groups: Vec<_> = footer.row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [7, 7, 7, 7, 5]);
        for group in footer.row_groups() {
            let chunks = group.columns();
            assert!(chunks.iter().all(|chunk| matches!(chunk.compression(), Compression::ZSTD(_))));
            let embedding = column(chunks, "embedding");
            assert!(embedding.encodings().any(|found| found == encoding));
            assert!(embedding.dictionary_page_offset().is_none());
            assert!(embedding.statistics().is_none());
            for text in ["name", "contig", "strand", "layer"] {
                assert!(column(chunks, text).dictionary_page_offset().is_some(), "{text}");
            }
            let start = column(chunks, "start");
            assert!(start.encodings().any(|found| found == Encoding::DELTA_BINARY_PACKED));
            assert!(start.statistics().unwrap().min_bytes_opt().is_some());
        }
    }
}

#[test]
fn the_footer_holds_identity_then_schema_then_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), Precision::F32);
    let expected = [
        "longstrand.version",
        "longstrand.window",
        "longstrand.rows_per_group",
        "ARROW:schema",
        "longstrand.complete",
        "longstrand.windows",
    ];
    assert_eq!(keys(&path), expected);
    assert_eq!(footer(&path).file_metadata().created_by(), Some("longstrand version 0.1.0"));
}

#[test]
fn a_table_without_rows_is_a_valid_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = file(folder.path());
    assert_eq!(open(&to, Existing::Refuse).finish(end()).unwrap().rows, 0);
    assert_eq!(footer(&path).file_metadata().num_rows(), 0);
    assert!(read(&path).is_empty());
}
