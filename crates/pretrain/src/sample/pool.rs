//! All windows of one length that may be taken, numbered.

use longstrand_seq::Interval;

use super::SampleError;
use crate::{
    regions::Regions,
    source::Sources,
    split::{Area, ROW},
};

/// The windows of one length.
#[derive(Clone, Debug)]
pub struct Pool {
    length: u64,
    len: u64,
    windows: Numbered,
    summary: PoolSummary,
}

/// What a pool has, for the plan of a run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PoolSummary {
    /// The length of a window in bases.
    pub length: u64,
    /// How many windows there are; those of neighbouring starts overlap.
    pub n_windows: u64,
    /// Intervals (or rows) that hold a window.
    pub intervals: u64,
    /// Bases of these intervals.
    pub bases: u64,
    /// Contigs without any window: they are too short, or what may be taken of them is.
    pub skipped_contigs: u64,
    /// Intervals that are shorter than a window.
    pub skipped_intervals: u64,
    /// Bases of the intervals skipped.
    pub skipped_bases: u64,
}

#[derive(Clone, Debug)]
enum Numbered {
    /// Any start inside an interval, with the number of windows before each interval.
    Starts { intervals: Vec<Interval>, before: Vec<u64> },
    /// Windows side by side from the start of rows: contig, start and the contig's length.
    Rows { rows: Vec<(usize, u64, u64)>, within: Regions },
}

impl Pool {
    /// The windows of `length` bases in an area.
    ///
    /// # Errors
    ///
    /// - there is none
    /// - the area has rows, and the length does not divide [`ROW`]
    pub fn new(area: &Area, sources: &Sources, length: u64) -> Result<Self, SampleError> {
        if length == 0 {
            return Err(SampleError::NoWindow { length, bases: 0 });
        }
        let pool = match area {
            Area::Inside(regions) => Self::starts(regions, sources.n_contigs(), length),
            Area::Rows { .. } if !ROW.is_multiple_of(length) => return Err(SampleError::RowLength { length }),
            Area::Rows { rows, within } => Self::rows(rows, within, sources, length),
        };
        if pool.len == 0 { Err(SampleError::NoWindow { length, bases: pool.summary.skipped_bases }) } else { Ok(pool) }
    }

    /// The length of a window in bases.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many windows there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no window: never.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What it has.
    pub fn summary(&self) -> PoolSummary {
        self.summary
    }

    /// The window of an ordinal below [`Self::len`]; `None` for one that may not be taken, which rows alone have.
    pub fn get(&self, ordinal: u64) -> Option<Interval> {
        match &self.windows {
            Numbered::Starts { intervals, before } => {
                let i = before.partition_point(|&before| before <= ordinal).checked_sub(1)?;
                let start = intervals[i].start + (ordinal - before[i]);
                Some(Interval { contig: intervals[i].contig, start, end: start + self.length })
            }
            Numbered::Rows { rows, within } => {
                let shifts = ROW / self.length;
                let &(contig, start, end_of_contig) = rows.get((ordinal / shifts) as usize)?;
                let end = (start + (ordinal % shifts + 1) * self.length).min(end_of_contig);
                let window = Interval { contig, start: end.checked_sub(self.length)?, end };
                within.holds(&window).then_some(window)
            }
        }
    }

    fn starts(regions: &Regions, n_contigs: usize, length: u64) -> Self {
        let mut summary = PoolSummary { length, ..PoolSummary::default() };
        let mut is_used = vec![false; n_contigs];
        let (mut intervals, mut before) = (Vec::new(), Vec::new());
        for interval in regions.iter() {
            if interval.len() < length {
                summary.skipped_intervals += 1;
                summary.skipped_bases += interval.len();
                continue;
            }
            before.push(summary.n_windows);
            summary.n_windows += interval.len() - length + 1;
            summary.bases += interval.len();
            is_used[interval.contig] = true;
            intervals.push(interval);
        }
        summary.intervals = intervals.len() as u64;
        summary.skipped_contigs = is_used.iter().filter(|&&used| !used).count() as u64;
        Self { length, len: summary.n_windows, windows: Numbered::Starts { intervals, before }, summary }
    }

    fn rows(rows: &[(usize, u64)], within: &Regions, sources: &Sources, length: u64) -> Self {
        let mut summary = PoolSummary { length, ..PoolSummary::default() };
        let mut is_used = vec![false; sources.n_contigs()];
        let mut kept = Vec::with_capacity(rows.len());
        for &(contig, start) in rows {
            let end = sources.length(contig);
            if end < length {
                summary.skipped_intervals += 1;
                summary.skipped_bases += end - start;
                continue;
            }
            summary.bases += ROW.min(end - start);
            is_used[contig] = true;
            kept.push((contig, start, end));
        }
        summary.intervals = kept.len() as u64;
        summary.n_windows = summary.intervals * (ROW / length);
        summary.skipped_contigs = is_used.iter().filter(|&&used| !used).count() as u64;
        Self { length, len: summary.n_windows, windows: Numbered::Rows { rows: kept, within: within.clone() }, summary }
    }
}
