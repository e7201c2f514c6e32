//! How a table is written, and what gives way to it.

use std::num::NonZeroUsize;

use crate::destination::Destination;

/// Row groups of a part in a folder of parts, unless asked for otherwise.
const GROUPS_PER_PART: usize = 4;

/// What to do about an output, or parts of it, that exist already.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Existing {
    /// Refuse to write.
    #[default]
    Refuse,
    /// Go on behind the parts that an earlier run under the same identity has left; begin if there are none.
    Resume,
    /// Begin anew. A file gives way when the new one takes its name. The parts in a folder (files named
    /// `part-NNNNN.parquet`, and nothing else) give way when the first new part is whole: a run that fails before
    /// that loses nothing.
    Replace,
}

/// How a table is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// Rows of a row group; by default 64 MiB of vectors, at most 2,048 rows, or 65,536 rows of scores. For a single
    /// file this is also what a killed run may lose.
    pub rows_per_group: Option<NonZeroUsize>,
    /// Rows of a part in a folder of parts; by default four row groups. Of no effect for a single file.
    pub rows_per_part: Option<NonZeroUsize>,
    /// What to do about an output that exists.
    pub existing: Existing,
}

impl WriteOptions {
    pub(crate) fn row_counts(
        &self,
        to: &Destination,
        rows_per_group: NonZeroUsize,
        rows_per_slice: usize,
    ) -> RowCounts {
        let rows_per_group = rows_per_group.get();
        let rows_per_part = match to {
            Destination::File(_) => rows_per_group,
            Destination::Folder(_) => {
                self.rows_per_part.map_or(rows_per_group.saturating_mul(GROUPS_PER_PART), NonZeroUsize::get)
            }
        };
        RowCounts { per_slice: rows_per_slice, per_group: rows_per_group, per_part: rows_per_part as u64 }
    }
}

/// How rows are grouped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowCounts {
    /// Of a slice, handed to the encoder at once.
    pub(crate) per_slice: usize,
    /// Of a row group.
    pub(crate) per_group: usize,
    /// Of a part.
    pub(crate) per_part: u64,
}
