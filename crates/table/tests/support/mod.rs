//! A small table with values that say which row they belong to.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use longstrand_table::{
    Destination, EmbeddingLayout, EmbeddingRow, EmbeddingRows, EmbeddingWriter, Existing, Metadata, Opened, Precision,
    Strand, TableError, WriteOptions, Written,
};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

pub(crate) const WIDTH: usize = 8;

pub(crate) fn layout(precision: Precision) -> EmbeddingLayout {
    EmbeddingLayout { width: NonZeroUsize::new(WIDTH).unwrap(), precision, soft_masked: true, binned: true }
}

pub(crate) fn vector(row: u64) -> [f32; WIDTH] {
    std::array::from_fn(|i| (row as f32 * 0.37 + i as f32).sin())
}

/// A row of 1,024 bases without a vector.
pub(crate) fn window(row: u64, name: &str) -> EmbeddingRow<'_> {
    EmbeddingRow {
        name,
        contig: if row < 20 { "chr20" } else { "chr21" },
        start: row * 1024,
        end: (row + 1) * 1024,
        strand: if row.is_multiple_of(2) { Strand::Forward } else { Strand::Reverse },
        layer: "last",
        bin: row % 4,
        n_bases: 1024,
        n_ambiguous: row % 3,
        n_soft_masked: row % 5,
        embedding: &[],
    }
}

/// The rows of a half-open range.
pub(crate) fn rows(layout: EmbeddingLayout, range: std::ops::Range<u64>) -> EmbeddingRows {
    let mut rows = EmbeddingRows::new(layout);
    for row in range {
        let name = format!("window{row}");
        rows.push(&EmbeddingRow { embedding: &vector(row), ..window(row, &name) });
    }
    rows
}

pub(crate) fn options(existing: Existing) -> WriteOptions {
    WriteOptions { rows_per_group: NonZeroUsize::new(7), rows_per_part: NonZeroUsize::new(10), existing }
}

pub(crate) fn identity() -> Metadata {
    vec![("longstrand.version".into(), "0.1.0".into()), ("longstrand.window".into(), "1024".into())]
}

pub(crate) fn end() -> Metadata {
    vec![("longstrand.windows".into(), "33".into())]
}

pub(crate) fn try_open(to: &Destination, existing: Existing) -> Result<Opened<EmbeddingWriter>, TableError> {
    EmbeddingWriter::open(to, layout(Precision::F32), &options(existing), identity())
}

pub(crate) fn open(to: &Destination, existing: Existing) -> EmbeddingWriter {
    match try_open(to, existing).unwrap() {
        Opened::Writing(writer) => writer,
        Opened::Complete(written) => panic!("complete already: {written:?}"),
    }
}

/// Writes rows `writer.rows_before()..33` in batches of `batch` rows.
pub(crate) fn write_all(mut writer: EmbeddingWriter, batch: u64) -> Written {
    let mut from = writer.rows_before();
    while from < 33 {
        let to = (from + batch).min(33);
        writer.write(rows(layout(Precision::F32), from..to)).unwrap();
        from = to;
    }
    writer.finish(end()).unwrap()
}

pub(crate) fn footer(path: &Path) -> ParquetMetaData {
    ParquetMetaDataReader::new().parse_and_finish(&File::open(path).unwrap()).unwrap()
}

pub(crate) fn pairs(path: &Path) -> Metadata {
    let footer = footer(path);
    let pairs = footer.file_metadata().key_value_metadata().unwrap();
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone().unwrap())).collect()
}

pub(crate) fn keys(path: &Path) -> Vec<String> {
    pairs(path).into_iter().map(|(key, _)| key).collect()
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Copies the files of a folder, as they are at this moment, to a new folder.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for name in names(from) {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

pub(crate) fn file(folder: &Path) -> (PathBuf, Destination) {
    let path = folder.join("out.parquet");
    (path.clone(), Destination::File(path))
}

/// Numbers that look like chance and are the same in every run (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between -4 and 4, at any precision.
    pub(crate) fn number(&mut self) -> f64 {
        (self.bits() as f64 / u64::MAX as f64 - 0.5) * 8.0
    }
}

/// What a Python program prints, given `arguments`; `None` if the module that it needs is not there, which is a failure
/// when `LONGSTRAND_REQUIRE_PYTHON` is 1.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn check_with_python(module: &str, program: &str, arguments: &[&Path]) -> Option<String> {
    let python = |program: &str| Command::new("python3").args(["-c", program]).args(arguments).output();
    if !python(&format!("import {module}")).is_ok_and(|output| output.status.success()) {
        let required = std::env::var_os("LONGSTRAND_REQUIRE_PYTHON").is_some_and(|value| value == "1");
        assert!(!required, "LONGSTRAND_REQUIRE_PYTHON is 1 and python3 cannot import {module}");
        eprintln!("skipped: python3 cannot import {module}");
        return None;
    }
    let output = python(program).unwrap();
    assert!(output.status.success(), "{module}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
