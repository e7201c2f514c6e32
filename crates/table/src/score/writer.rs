//! The writer of the table.

use std::num::NonZeroUsize;

use super::batch::ScoreBatch;
use super::{ScoreLayout, ScoreRow};
use crate::destination::Destination;
use crate::error::TableError;
use crate::footer::Metadata;
use crate::options::WriteOptions;
use crate::writer::{Opened, TableWriter, Written};

/// Rows of a row group, unless asked for otherwise.
const GROUP_ROWS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
/// Rows handed to the encoder at once: few enough that long alleles stay far from the 2 GiB of text that a batch can hold.
const SLICE_ROWS: usize = 1_024;

/// Writes the table of `score` as Parquet.
///
/// ```
/// use longstrand_table::{Destination, Opened, ScoreLayout, ScoreRow, ScoreWriter, Strands, WriteOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let to = Destination::File(folder.path().join("scores.parquet"));
/// let layout = ScoreLayout::new(["masked"]);
/// let Opened::Writing(mut writer) = ScoreWriter::open(&to, &layout, &WriteOptions::default(), vec![])? else {
///     return Ok(());
/// };
/// writer.write(&ScoreRow {
///     contig: "17",
///     position: 43_044_346,
///     reference: "C",
///     alternate: "T",
///     id: None,
///     variant_type: "snv",
///     values: &[Strands { score: Some(-1.5), forward: Some(-1.25), reverse: Some(-1.75) }],
///     n_ambiguous: Some(0),
///     window: Some(43_043_833..43_044_857),
///     reason: None,
/// })?;
/// let written = writer.finish(vec![("longstrand.alleles".into(), "1".into())])?;
/// assert_eq!(written.rows, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ScoreWriter {
    table: TableWriter,
    batch: ScoreBatch,
}

impl ScoreWriter {
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
        layout: &ScoreLayout,
        options: &WriteOptions,
        identity: Metadata,
    ) -> Result<Opened<Self>, TableError> {
        let batch = ScoreBatch::new(layout);
        let rows_per_group = options.rows_per_group.unwrap_or(GROUP_ROWS);
        let opened = TableWriter::open(
            destination,
            batch.schema(),
            options.row_counts(destination, rows_per_group, SLICE_ROWS),
            options.existing,
            identity,
        )?;
        Ok(match opened {
            Opened::Writing(table) => Opened::Writing(Self { table, batch }),
            Opened::Complete(written) => Opened::Complete(written),
        })
    }

    /// Rows that an earlier run has left in whole parts: the first so many rows are not to be written again.
    pub fn rows_before(&self) -> u64 {
        self.table.rows_before()
    }

    /// Appends a row. Memory stays below one row group, encoded.
    ///
    /// # Errors
    ///
    /// When a part cannot be written.
    ///
    /// # Panics
    ///
    /// If the row has not one value for each score of the layout, or a coordinate does not fit 63 bits.
    pub fn write(&mut self, row: &ScoreRow<'_>) -> Result<(), TableError> {
        self.batch.push(row);
        match self.batch.rows() == SLICE_ROWS {
            true => self.table.write(self.batch.take()),
            false => Ok(()),
        }
    }

    /// Writes what is left, adds `end` to the footer and gives the output its name.
    ///
    /// # Errors
    ///
    /// When a part or the whole file cannot be written. Whole parts stay, so that the run can be resumed.
    pub fn finish(mut self, end: Metadata) -> Result<Written, TableError> {
        self.table.write(self.batch.take())?;
        self.table.finish(end)
    }
}
