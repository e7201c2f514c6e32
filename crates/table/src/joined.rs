//! Whole tables, read again and put together.
//!
//! Rows are decoded and encoded anew on the grid of a table that was written at once, so that its bytes are the same:
//! row groups as they are would end where each table ends.

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::{ParquetError, Result as ParquetResult};

use crate::destination::{Destination, part_indices, part_path};
use crate::embedding::SLICE_BYTES;
use crate::error::TableError;
use crate::footer::{Footer, Metadata, ROWS_PER_GROUP, ROWS_PER_PART};
use crate::options::WriteOptions;
use crate::score::SLICE_ROWS;
use crate::writer::{Opened, TableWriter, Written};

/// A table that an earlier run has written, of which no row is missing.
#[derive(Debug)]
pub struct WholeTable {
    path: PathBuf,
    files: Vec<PathBuf>,
    schema: SchemaRef,
    identity: Metadata,
    end: Metadata,
    rows_per_group: NonZeroUsize,
    rows: u64,
}

impl WholeTable {
    /// Reads the footers of a file, or of all parts in a folder.
    ///
    /// # Errors
    ///
    /// - a file cannot be read, is cut off or is not Parquet;
    /// - it is not a table of this program, or only a part of one: one of a folder's files, or what a stopped run has left.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let files = files(path)?;
        let footers = files.iter().map(|file| Footer::read(file)).collect::<Result<Vec<_>, _>>()?;
        let (Some(first), Some(last)) = (footers.first(), footers.last()) else {
            return unfit(path, "a folder of parts part-00000.parquet and so on", "none of them");
        };
        check_row(path, &footers)?;
        if !last.is_complete() {
            return unfit(path, "a table that Longstrand wrote, whole", "one that does not say that it is");
        }
        let identity = first.identity();
        let rows_per_group = identity.iter().find(|(key, _)| key == ROWS_PER_GROUP);
        let Some(rows_per_group) = rows_per_group.and_then(|(_, rows)| rows.parse().ok()) else {
            return unfit(path, "the rows of a row group in the footer", "none");
        };
        Ok(Self {
            path: path.to_path_buf(),
            schema: Arc::new(first.arrow_schema()?),
            identity: identity.into_iter().filter(|(key, _)| key != ROWS_PER_PART).collect(),
            end: last.end(),
            rows_per_group,
            rows: footers.iter().map(Footer::rows).sum(),
            files,
        })
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it was written under, and the rows of a row group.
    pub fn identity(&self) -> &Metadata {
        &self.identity
    }

    /// What its run knew only at the end.
    pub fn end(&self) -> &Metadata {
        &self.end
    }

    /// Its rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

/// Writes the rows of tables, which have the same columns and row groups, one table after another as one.
///
/// `identity` is as [`WholeTable::identity`] gives it. `advanced` is told how many rows are written and may break off: then
/// there is no table, and what is whole of it stays, to be resumed.
///
/// # Errors
///
/// - a table cannot be read, or has other columns than the first;
/// - the output exists, or parts of it do, and `options` do not say what to do about them, or it cannot be written.
///
/// # Panics
///
/// If there is no table.
pub fn join_tables(
    tables: &[WholeTable],
    to: &Destination,
    options: &WriteOptions,
    identity: Metadata,
    end: Metadata,
    advanced: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<Written>, TableError> {
    let first = &tables[0];
    if let Some(other) = tables.iter().find(|table| table.schema != first.schema) {
        let expected = format!("the columns {} as in {}", columns(&first.schema), first.path.display());
        return unfit(&other.path, &expected, &columns(&other.schema));
    }
    let per_slice = rows_per_slice(&first.schema);
    let counts = options.row_counts(to, options.rows_per_group.unwrap_or(first.rows_per_group), per_slice);
    let identity = identity.into_iter().filter(|(key, _)| key != ROWS_PER_GROUP).collect();
    let mut writer = match TableWriter::open(to, first.schema.clone(), counts, options.existing, identity)? {
        Opened::Writing(writer) => writer,
        Opened::Complete(written) => return Ok(Some(written)),
    };
    let mut done = writer.rows_before();
    let mut skip = done;
    for file in tables.iter().flat_map(|table| &table.files) {
        let rows = Footer::read(file)?.rows();
        let skipped = skip.min(rows);
        skip -= skipped;
        for batch in batches(file, &first.schema, skipped, per_slice).map_err(TableError::parquet("read", file))? {
            let batch = batch.map_err(TableError::parquet("read", file))?;
            done += batch.num_rows() as u64;
            writer.write(batch)?;
            if advanced(done).is_break() {
                return Ok(None);
            }
        }
    }
    writer.finish(end).map(Some)
}

/// The files of a table.
fn files(path: &Path) -> Result<Vec<PathBuf>, TableError> {
    match path.is_dir() {
        true => Ok(part_indices(path)?.into_iter().map(|index| part_path(path, index)).collect()),
        false => Ok(vec![path.to_path_buf()]),
    }
}

/// An error unless the files are a table in one file, or parts of one folder without a gap.
fn check_row(path: &Path, footers: &[Footer]) -> Result<(), TableError> {
    let mut first_row = 0;
    for footer in footers {
        match (path.is_dir(), footer.first_row()) {
            (false, None) => {}
            (false, Some(_)) => return unfit(path, "a whole table", "a part of one: its folder is what to name"),
            (true, found) if found != Some(first_row) || footer.identity() != footers[0].identity() => {
                let expected = format!("the part of its folder's table that begins with row {first_row}");
                return unfit(footer.path(), &expected, "another");
            }
            (true, _) => {}
        }
        first_row += footer.rows();
    }
    Ok(())
}

/// The rows of a file behind the first `skipped`.
fn batches(
    file: &Path,
    schema: &SchemaRef,
    skipped: u64,
    size: usize,
) -> ParquetResult<impl Iterator<Item = ParquetResult<RecordBatch>>> {
    let skipped = usize::try_from(skipped).map_err(|error| ParquetError::External(error.into()))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?.with_batch_size(size);
    let schema = schema.clone();
    // The batches' own schema has the footer's pairs in it.
    let bare = move |batch: RecordBatch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
    Ok(reader.with_offset(skipped).build()?.map(move |batch| Ok(bare(batch?)?)))
}

/// Rows that the table's own writer hands to the encoder at once.
fn rows_per_slice(schema: &Schema) -> usize {
    let vector = schema.fields().iter().find_map(|field| match field.data_type() {
        DataType::FixedSizeList(element, width) => {
            Some(element.data_type().primitive_width()? * usize::try_from(*width).ok()?)
        }
        _ => None,
    });
    vector.map_or(SLICE_ROWS, |bytes| (SLICE_BYTES / bytes.max(1)).max(1))
}

/// Names of columns and their types.
fn columns(schema: &Schema) -> String {
    let shown: Vec<_> = schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    shown.join(", ")
}

fn unfit<T>(path: &Path, expected: &str, found: &str) -> Result<T, TableError> {
    Err(TableError::Unfit { path: path.to_path_buf(), expected: expected.into(), found: found.into() })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::ops::Range;

    use super::*;
    use crate::options::Existing;
    use crate::score::{ScoreLayout, ScoreRow, ScoreWriter, StrandScores};

    fn options(existing: Existing) -> WriteOptions {
        WriteOptions { rows_per_group: NonZeroUsize::new(3), existing, ..WriteOptions::default() }
    }

    fn identity() -> Metadata {
        vec![("longstrand.command".into(), "test".into())]
    }

    fn write(path: &Path, positions: Range<u64>) {
        let to = Destination::from_path(path);
        let layout = ScoreLayout::new(["masked"]);
        let opened = ScoreWriter::open(&to, &layout, &options(Existing::Refuse), identity()).unwrap();
        let Opened::Writing(mut writer) = opened else { panic!("{} is new", path.display()) };
        for position in positions {
            let score = StrandScores { score: Some(position as f64), forward: None, reverse: None };
            let row = ScoreRow {
                contig: "1",
                position,
                end: Some(position),
                reference: "C",
                alternate: "T",
                id: None,
                variant_type: "snv",
                values: &[score],
                n_ambiguous: Some(0),
                window: None,
                reason: Some("no_end").filter(|_| position % 2 == 0),
            };
            writer.write(&row).unwrap();
        }
        writer.finish(vec![("longstrand.alleles".into(), "all".into())]).unwrap();
    }

    #[test]
    fn a_join_that_is_stopped_goes_on_to_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (whole, joined) in [("whole.parquet", "joined.parquet"), ("whole", "joined")] {
            let parts = [1, 2, 3].map(|part| path(&format!("{joined}_{part}.parquet")));
            write(&path(whole), 0..31);
            write(&parts[0], 0..17);
            write(&parts[1], 17..17);
            write(&parts[2], 17..31);
            let tables = parts.each_ref().map(|part| WholeTable::open(part).unwrap());
            let to = Destination::from_path(path(joined));
            let join = |existing, most: u64| {
                let mut advanced = |done| if done < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
                let (identity, end) = (tables[0].identity().clone(), tables[0].end().clone());
                join_tables(&tables, &to, &options(existing), identity, end, &mut advanced).unwrap()
            };
            assert_eq!(join(Existing::Refuse, 10), None);
            assert!(to.has_parts());
            assert_eq!(join(Existing::Resume, u64::MAX).unwrap().rows, 31);
            assert_eq!(join(Existing::Resume, 0).unwrap().rows, 31);
            let files = files(&path(whole)).unwrap();
            for (expected, found) in files.iter().zip(super::files(&path(joined)).unwrap()) {
                assert!(fs::read(expected).unwrap() == fs::read(&found).unwrap(), "{}", found.display());
            }
        }
    }

    #[test]
    fn what_is_no_whole_table_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let told = |name: &str| WholeTable::open(&path(name)).unwrap_err().to_string();
        write(&path("parts"), 0..31);
        assert_eq!(WholeTable::open(&path("parts")).unwrap().rows(), 31);
        assert!(told("parts/part-00002.parquet").ends_with("found a part of one: its folder is what to name"));
        fs::remove_file(path("parts/part-00002.parquet")).unwrap();
        assert!(
            told("parts")
                .ends_with("expected a table that Longstrand wrote, whole, found one that does not say that it is")
        );
        fs::remove_file(path("parts/part-00000.parquet")).unwrap();
        assert!(
            told("parts").contains("expected the part of its folder's table that begins with row 0"),
            "{}",
            told("parts")
        );
        fs::remove_file(path("parts/part-00001.parquet")).unwrap();
        assert!(told("parts").contains("found none of them"));
    }
}
