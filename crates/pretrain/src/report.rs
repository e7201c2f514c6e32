//! What a run was like, to look at: `loss.svg` and `report.html`, made from the files in its folder.
//!
//! ```text
//! metrics.jsonl ┐                ┌ loss.svg       the loss by step
//! config.toml   ┼─ Record ─ charts ┤
//! run.json      ┘                └ report.html    one file: charts, validations, settings, data; no scripts, no network
//! ```
//!
//! Both can be made at any time: of a run that goes on, of one that was stopped, of one that has not taken a step.

mod chart;
mod error;
mod figures;
mod page;
mod record;
mod series;
mod text;
mod ticks;

use std::path::{Path, PathBuf};

use longstrand_table::{Existing, write_text};

pub use error::ReportError;
pub use record::Record;

/// The loss curve's name in a run's folder.
pub const LOSS: &str = "loss.svg";
/// The report's name in a run's folder.
pub const REPORT: &str = "report.html";

/// Writes `loss.svg` and `report.html` into a run's folder, in the place of earlier ones. Returns the report's path.
///
/// # Errors
///
/// - the folder has no `config.toml`, or it is none
/// - a line of `metrics.jsonl` is none
/// - a file cannot be read or written
pub fn write(folder: &Path) -> Result<PathBuf, ReportError> {
    let record = Record::read(folder)?;
    write_text(&folder.join(LOSS), &record.loss_svg(), Existing::Replace)?;
    let report = folder.join(REPORT);
    write_text(&report, &record.html(), Existing::Replace)?;
    Ok(report)
}

#[cfg(test)]
mod tests;
