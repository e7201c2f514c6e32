//! The table of `score` as text: a line of column names, then one line for each allele.
//!
//! Columns are those of the Parquet table, separated by tabs. A missing value is an empty field, which pandas, Polars,
//! DuckDB and R take for missing in a column of numbers without being told. Numbers are written with the fewest digits
//! that read back as the same 64 bits. Nothing is quoted: a tab or a line break inside a text becomes a space.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use crate::error::TableError;
use crate::options::Existing;
use crate::score::{ScoreLayout, ScoreRow};
use crate::text_file::TextFile;
use crate::writer::Written;

/// Writes the table of `score` as tab-separated text. The file takes its name when it is whole.
///
/// ```
/// use longstrand_table::{Existing, ScoreLayout, ScoreRow, StrandScores, TsvWriter};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("scores.tsv");
/// let mut writer = TsvWriter::create(&path, &ScoreLayout::new(["masked"]), Existing::Refuse)?;
/// writer.write(&ScoreRow {
///     contig: "17",
///     position: 43_044_346,
///     end: Some(43_044_346),
///     reference: "C",
///     alternate: "T",
///     id: None,
///     variant_type: "snv",
///     values: &[StrandScores { score: Some(-0.1), forward: Some(-0.1), reverse: None }],
///     n_ambiguous: Some(0),
///     window: Some(43_043_833..43_044_857),
///     reason: None,
/// })?;
/// assert_eq!(writer.finish()?.rows, 1);
/// let text = std::fs::read_to_string(&path)?;
/// assert_eq!(text.lines().nth(1), Some("17\t43044346\t43044346\tC\tT\t\tsnv\t-0.1\t-0.1\t\t0\t43043833\t43044857\t"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TsvWriter {
    out: TextFile,
    scores: usize,
    rows: u64,
    /// The line being put together.
    line: String,
}

impl TsvWriter {
    /// Begins a file, bgzip if its name ends in `.gz`.
    ///
    /// A file cannot be resumed: what stands there gives way under [`Existing::Replace`] alone.
    ///
    /// # Errors
    ///
    /// - The file exists and is not to be replaced, or is a folder, a pipe, a device or a socket.
    /// - The folder is missing or cannot be written to.
    pub fn create(path: &Path, layout: &ScoreLayout, existing: Existing) -> Result<Self, TableError> {
        Self::begin(TextFile::create(path, existing)?, layout)
    }

    /// Begins a table on a stream, which messages call `name`, as in "standard output".
    ///
    /// # Errors
    ///
    /// When the stream cannot be written to.
    pub fn stream(stream: impl Write + Send + 'static, name: &str, layout: &ScoreLayout) -> Result<Self, TableError> {
        Self::begin(TextFile::stream(stream, name), layout)
    }

    fn begin(mut out: TextFile, layout: &ScoreLayout) -> Result<Self, TableError> {
        let mut line = String::new();
        for column in layout.columns() {
            push_text(&mut line, &column);
        }
        end_line(&mut line);
        out.append(line.as_bytes())?;
        Ok(Self { out, scores: layout.scores().len(), rows: 0, line })
    }

    /// Appends a row.
    ///
    /// # Errors
    ///
    /// When the file or the stream cannot be written to.
    ///
    /// # Panics
    ///
    /// If the row has not one value for each score of the layout.
    pub fn write(&mut self, row: &ScoreRow<'_>) -> Result<(), TableError> {
        assert_eq!(row.values.len(), self.scores, "scores in a row");
        self.line.clear();
        push_row(&mut self.line, row);
        self.rows += 1;
        self.out.append(self.line.as_bytes())
    }

    /// Writes what is left and gives a file its name. For a stream, `bytes` are those sent.
    ///
    /// # Errors
    ///
    /// When the file or the stream cannot be written to.
    pub fn finish(self) -> Result<Written, TableError> {
        Ok(Written { rows: self.rows, bytes: self.out.finish()?, files: 1 })
    }
}

fn push_row(line: &mut String, row: &ScoreRow<'_>) {
    push_text(line, row.contig);
    push_count(line, Some(row.position));
    push_count(line, row.end);
    push_text(line, row.reference);
    push_text(line, row.alternate);
    push_text(line, row.id.unwrap_or_default());
    push_text(line, row.variant_type);
    for value in row.values.iter().flat_map(|strands| strands.values()) {
        push_score(line, value);
    }
    push_count(line, row.n_ambiguous);
    push_count(line, row.window.as_ref().map(|window| window.start));
    push_count(line, row.window.as_ref().map(|window| window.end));
    push_text(line, row.reason.unwrap_or_default());
    end_line(line);
}

fn push_text(line: &mut String, text: &str) {
    line.extend(text.chars().map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c }));
    line.push('\t');
}

fn push_count(line: &mut String, value: Option<u64>) {
    if let Some(value) = value {
        write!(line, "{value}").expect("a string takes all");
    }
    line.push('\t');
}

/// The fewest digits that read back as the same number; an exponent for the very small and the very large.
fn push_score(line: &mut String, value: Option<f64>) {
    if let Some(value) = value {
        write!(line, "{value:?}").expect("a string takes all");
    }
    line.push('\t');
}

/// Puts a line break where the tab behind the last field is.
fn end_line(line: &mut String) {
    line.pop();
    line.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(value: f64) -> String {
        let mut line = String::new();
        push_score(&mut line, Some(value));
        line.trim_end().to_string()
    }

    #[test]
    fn scores_are_short_and_read_back() {
        assert_eq!(score(0.1), "0.1");
        assert_eq!(score(-3.0), "-3.0");
        assert_eq!(score(1e-300), "1e-300");
        assert_eq!(score(f64::NEG_INFINITY), "-inf");
        for value in [1.0 / 3.0, f64::MIN_POSITIVE, f64::MAX, -12.345_678_901_234_567] {
            assert_eq!(score(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }

    #[test]
    fn separators_inside_a_text_become_spaces() {
        let mut line = String::new();
        push_text(&mut line, "a\tb\r\nc\"");
        assert_eq!(line, "a b  c\"\t");
    }
}
