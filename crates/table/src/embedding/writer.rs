//! The writer of the table.

use std::sync::Arc;

use super::{EmbeddingLayout, EmbeddingRows};
use crate::destination::Destination;
use crate::error::TableError;
use crate::footer::Metadata;
use crate::options::WriteOptions;
use crate::writer::{Opened, TableWriter, Written};

/// Writes the table of `embed`.
///
/// ```
/// use std::num::NonZeroUsize;
/// use longstrand_table::{
///     Destination, EmbeddingLayout, EmbeddingRow, EmbeddingRows, EmbeddingWriter, Opened, Precision, Strand, WriteOptions,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let to = Destination::File(folder.path().join("out.parquet"));
/// let layout =
///     EmbeddingLayout { width: NonZeroUsize::new(2).unwrap(), precision: Precision::F32, soft_masked: false, binned: false };
/// let identity = vec![("longstrand.window".to_string(), "1024".to_string())];
/// let Opened::Writing(mut writer) = EmbeddingWriter::open(&to, layout, &WriteOptions::default(), identity)? else {
///     return Ok(());
/// };
/// let mut rows = EmbeddingRows::new(layout);
/// rows.push(&EmbeddingRow {
///     name: "chr20:0-1024",
///     contig: "chr20",
///     start: 0,
///     end: 1024,
///     strand: Strand::Forward,
///     layer: "last",
///     bin: 0,
///     n_bases: 1024,
///     n_ambiguous: 0,
///     n_soft_masked: 0,
///     embedding: &[0.5, -0.25],
/// });
/// writer.write(rows)?;
/// let written = writer.finish(vec![("longstrand.windows".into(), "1".into())])?;
/// assert_eq!(written.rows, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct EmbeddingWriter {
    table: TableWriter,
}

impl EmbeddingWriter {
    /// Prepares the output, or finds that an earlier run has finished it.
    ///
    /// `identity` goes to the front of the footer, followed by the rows of a row group and of a part.
    ///
    /// # Errors
    ///
    /// - The output exists, or parts of it do, and `options` do not say what to do about them.
    /// - What exists cannot be resumed: another identity, other columns, a part missing or damaged.
    /// - The folder is missing or cannot be written to, or another process writes the same output.
    pub fn open(
        destination: &Destination,
        layout: EmbeddingLayout,
        options: &WriteOptions,
        identity: Metadata,
    ) -> Result<Opened<Self>, TableError> {
        let rows_per_group = options.rows_per_group.unwrap_or_else(|| layout.rows_per_group());
        let opened = TableWriter::open(
            destination,
            Arc::new(layout.schema()),
            options.row_counts(destination, rows_per_group, layout.rows_per_slice()),
            options.existing,
            identity,
        )?;
        Ok(match opened {
            Opened::Writing(table) => Opened::Writing(Self { table }),
            Opened::Complete(written) => Opened::Complete(written),
        })
    }

    /// Rows that an earlier run has left in whole parts: the first so many rows are not to be written again.
    pub fn rows_before(&self) -> u64 {
        self.table.rows_before()
    }

    /// Appends rows. Memory stays below one row group, encoded, and what `rows` holds.
    ///
    /// # Errors
    ///
    /// When a part cannot be written.
    pub fn write(&mut self, rows: EmbeddingRows) -> Result<(), TableError> {
        self.table.write(rows.into_batch())
    }

    /// Writes what is left, adds `end` to the footer and gives the output its name.
    ///
    /// # Errors
    ///
    /// When a part or the whole file cannot be written. Whole parts stay, so that the run can be resumed.
    pub fn finish(self, end: Metadata) -> Result<Written, TableError> {
        self.table.finish(end)
    }
}
