//! The writer of the table.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::batch::ScoreBatch;
use super::{ScoreLayout, ScoreRow};
use crate::destination::Destination;
use crate::error::TableError;
use crate::footer::Metadata;
use crate::options::WriteOptions;
use crate::slices::{Limits, SLICE_TEXT};
use crate::writer::{Opened, TableWriter, Written};

/// Rows of a row group, unless asked for otherwise.
const GROUP_ROWS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
/// Rows handed to the encoder at once; fewer where alleles are long.
pub(crate) const SLICE_ROWS: usize = 1_024;
/// Bytes of the longest text: with what else there is in its page it stays below the 2 GiB that a page can hold.
const LONGEST_TEXT: usize = 1 << 30;

/// Writes the table of `score` as Parquet.
///
/// ```
/// use longstrand_table::{Destination, Opened, ScoreLayout, ScoreRow, ScoreWriter, StrandScores, WriteOptions};
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
///     end: Some(43_044_346),
///     reference: "C",
///     alternate: "T",
///     id: None,
///     variant_type: "snv",
///     values: &[StrandScores { score: Some(-1.5), forward: Some(-1.25), reverse: Some(-1.75) }],
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
    path: PathBuf,
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
            Opened::Writing(table) => Opened::Writing(Self { path: destination.path().to_path_buf(), table, batch }),
            Opened::Complete(written) => Opened::Complete(written),
        })
    }

    /// Appends a row. Memory stays below one row group, encoded.
    ///
    /// # Errors
    ///
    /// - A part cannot be written.
    /// - A text is longer than 1 GiB.
    ///
    /// # Panics
    ///
    /// If the row has not one value for each score of the layout, or a coordinate does not fit 63 bits.
    pub fn write(&mut self, row: &ScoreRow<'_>) -> Result<(), TableError> {
        check_texts(row, LONGEST_TEXT, &self.path)?;
        if !self.batch.has_room(row, &Limits { rows: SLICE_ROWS, text: SLICE_TEXT }) {
            self.table.write(self.batch.take())?;
        }
        self.batch.push(row);
        Ok(())
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

fn check_texts(row: &ScoreRow<'_>, longest: usize, path: &Path) -> Result<(), TableError> {
    match row.texts().into_iter().find(|(_, text)| text.len() > longest) {
        None => Ok(()),
        Some((column, text)) => Err(TableError::LongText {
            path: path.to_path_buf(),
            locus: format!("{}:{}", shortened(row.contig), row.position),
            column,
            expected: longest,
            found: text.len(),
        }),
    }
}

/// The first letters of a name, which may itself be what is too long.
fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_told() {
        let row = |alternate| ScoreRow {
            contig: "chr1",
            position: 5,
            end: Some(5),
            reference: "A",
            alternate,
            id: None,
            variant_type: "insertion",
            values: &[],
            n_ambiguous: None,
            window: None,
            reason: None,
        };
        assert!(check_texts(&row("ACGTACGTA"), 9, Path::new("out.parquet")).is_ok());
        let error = check_texts(&row("ACGTACGTAC"), 9, Path::new("out.parquet")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "out.parquet: chr1:5: expected a text of at most 9 bytes in the column alt, found 10"
        );
    }
}
