//! Tables that the program wrote, read back.

use std::{collections::BTreeMap, fs, fs::File, path::Path, path::PathBuf};

use arrow_array::{
    Array, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{Float16Type, Float32Type},
};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the window, interval or read.
    pub name: String,
    /// Contig.
    pub contig: String,
    /// First base, 0-based.
    pub start: i64,
    /// One past the last base, 0-based.
    pub end: i64,
    /// `+` or `-`.
    pub strand: String,
    /// Where it was read.
    pub layer: String,
    /// Bases that were pooled.
    pub n_bases: i64,
    /// Those of them that are none of A, C, G, T.
    pub n_ambiguous: i64,
    /// The vector.
    pub embedding: Vec<f32>,
}

/// The rows of a file, or of a folder of parts.
pub fn rows(output: &Path) -> Vec<Row> {
    files(output).iter().flat_map(|file| open(file).flat_map(|batch| batch_rows(&batch.expect("a batch")))).collect()
}

/// A column of numbers.
pub fn numbers(output: &Path, name: &str) -> Vec<i64> {
    let mut values = Vec::new();
    for file in files(output) {
        for batch in open(&file) {
            values.extend_from_slice(column::<Int64Array>(&batch.expect("a batch"), name).values());
        }
    }
    values
}

/// What a file's footer says under the names that begin with `longstrand.`.
pub fn metadata(file: &Path) -> BTreeMap<String, String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file).expect("a file")).expect("Parquet");
    let pairs = builder.metadata().file_metadata().key_value_metadata().expect("metadata").clone();
    pairs.into_iter().filter_map(|pair| Some((pair.key, pair.value?))).collect()
}

fn files(output: &Path) -> Vec<PathBuf> {
    if output.is_file() {
        return vec![output.into()];
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(output).expect("an output").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn open(file: &Path) -> ParquetRecordBatchReader {
    let file = File::open(file).expect("a file");
    ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("Parquet")
}

fn column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &str) -> &'a A {
    let column = batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
    column.as_any().downcast_ref().unwrap_or_else(|| panic!("{name} is {:?}", column.data_type()))
}

fn batch_rows(batch: &RecordBatch) -> Vec<Row> {
    let text = |name: &str, i: usize| column::<StringArray>(batch, name).value(i).to_string();
    let number = |name: &str, i: usize| column::<Int64Array>(batch, name).value(i);
    let vectors: &FixedSizeListArray = column(batch, "embedding");
    (0..batch.num_rows())
        .map(|i| Row {
            name: text("name", i),
            contig: text("contig", i),
            start: number("start", i),
            end: number("end", i),
            strand: text("strand", i),
            layer: text("layer", i),
            n_bases: number("n_bases", i),
            n_ambiguous: number("n_ambiguous", i),
            embedding: vector(&vectors.value(i)),
        })
        .collect()
}

fn vector(values: &dyn Array) -> Vec<f32> {
    match values.as_any().downcast_ref::<Float32Array>() {
        Some(_) => values.as_primitive::<Float32Type>().values().to_vec(),
        None => values.as_primitive::<Float16Type>().values().iter().map(|x| x.to_f32()).collect(),
    }
}
