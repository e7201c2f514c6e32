mod error;

use std::ops::Range;

pub use self::error::PlanError;
use super::{Partial, Shard, WindowOptions, WindowSize, tiling::Tiling};
use crate::{bed::BedRecord, contig::Contigs, region::Interval, strand::Strand};

/// Bases of the largest window that is padded: more than any contig, so that a slip of the keyboard does not ask for memory.
const LARGEST_PADDED: u64 = 1 << 40;

/// What windows are laid over.
#[derive(Clone, Debug)]
pub enum Targets {
    /// Every contig, in file order; of a sliced reference, every slice.
    Contigs,
    /// Regions, in the order given.
    Regions(Vec<Interval>),
    /// BED intervals, in file order.
    Bed(Vec<BedRecord>),
}

/// Where a window lies, before its bases are read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlannedWindow {
    /// Ordinal in the whole plan; 0-based.
    pub index: u64,
    /// Index of the contig.
    pub contig: usize,
    /// 0-based.
    pub start: u64,
    /// 0-based, exclusive.
    pub end: u64,
    /// The strand to read.
    pub strand: Strand,
    /// How many `N` are to follow.
    pub n_padded: u64,
    /// Whether it has fewer bases than the size.
    pub is_partial: bool,
    /// The BED name.
    pub name: Option<String>,
    /// Whether it was asked for as a whole contig.
    pub is_whole_contig: bool,
}

impl PlannedWindow {
    pub(super) fn display_name(&self, contig: &str) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None if self.is_whole_contig => contig.into(),
            None => format!("{contig}:{}-{}", self.start + 1, self.end),
        }
    }
}

/// The windows of a run, laid out from contig lengths alone.
///
/// It takes some hundred bytes a contig, region or BED interval, however many windows these give.
#[derive(Clone, Debug, Default)]
pub struct WindowPlan {
    tilings: Vec<Tiling>,
    n_windows: u64,
    total_bases: u64,
    /// Of each window that was left out as too short, the bases of the windows before it; ascending.
    dropped_partial: Vec<u64>,
}

impl WindowPlan {
    /// Lays windows over `targets`.
    ///
    /// # Errors
    ///
    /// - a stride where there is nothing to stride over;
    /// - [`WindowSize::Contig`] with a target that is not a whole contig;
    /// - an ambiguity limit outside 0 to 1;
    /// - windows of more than 2^40 bases that are to be padded;
    /// - more bases in all windows together than 64 bits count.
    pub fn new(contigs: &Contigs, targets: &Targets, options: &WindowOptions) -> Result<Self, PlanError> {
        check(targets, options)?;
        let mut plan = Self::default();
        match targets {
            Targets::Contigs => {
                for interval in all_spans(contigs) {
                    plan.push_interval(contigs, interval, options)?;
                }
            }
            Targets::Regions(regions) => {
                for region in regions {
                    plan.push_interval(contigs, *region, options)?;
                }
            }
            Targets::Bed(records) => {
                for record in records {
                    plan.push_record(contigs, record, options)?;
                }
            }
        }
        Ok(plan)
    }

    /// How many windows there are.
    pub fn n_windows(&self) -> u64 {
        self.n_windows
    }

    /// Bases of all windows, padding excluded; what two windows share counts twice.
    pub fn total_bases(&self) -> u64 {
        self.total_bases
    }

    /// How many windows of a shard were left out because they are shorter than the size.
    pub fn n_dropped_partial(&self, shard: Shard) -> u64 {
        let shards = self.dropped_partial.iter().map(|&offset| shard.of(offset, self.total_bases));
        shards.filter(|&index| index == shard.index()).count() as u64
    }

    /// The `index`-th window, none past the end.
    pub fn get(&self, index: u64) -> Option<PlannedWindow> {
        if index >= self.n_windows {
            return None;
        }
        let at = self.tilings.partition_point(|t| t.first_index <= index);
        let tiling = self.tilings.get(at.checked_sub(1)?)?;
        Some(tiling.window(index - tiling.first_index))
    }

    /// Bases of the windows before the `index`-th.
    pub fn offset(&self, index: u64) -> u64 {
        if index >= self.n_windows {
            return self.total_bases;
        }
        let at = self.tilings.partition_point(|t| t.first_index <= index);
        let tiling = &self.tilings[at - 1];
        tiling.first_offset + tiling.offset(index - tiling.first_index)
    }

    /// The ordinals of a shard's windows.
    pub fn shard(&self, shard: Shard) -> Range<u64> {
        let first = |index| self.first_at_or_after(shard.first_offset(index, self.total_bases));
        first(shard.index())..first(shard.index() + 1)
    }

    fn first_at_or_after(&self, offset: u64) -> u64 {
        let at = self.tilings.partition_point(|t| t.first_offset < offset);
        match at.checked_sub(1).map(|i| &self.tilings[i]) {
            None => 0,
            Some(t) => t.first_index + t.first_at_or_after(offset - t.first_offset),
        }
    }

    fn push_interval(
        &mut self,
        contigs: &Contigs,
        interval: Interval,
        options: &WindowOptions,
    ) -> Result<(), PlanError> {
        match options.size {
            WindowSize::Bases(size) => {
                let stride = options.stride.unwrap_or(size);
                let tiled = Tiling::new(interval, size.get(), stride.get(), options.partial);
                self.push(tiled)
            }
            WindowSize::Interval => self.push((Tiling::whole(interval), false)),
            WindowSize::Contig => self.push((whole_contig(contigs, interval)?, false)),
        }
    }

    fn push_record(&mut self, contigs: &Contigs, record: &BedRecord, options: &WindowOptions) -> Result<(), PlanError> {
        let (mut tiling, dropped) = match options.size {
            WindowSize::Bases(size) => {
                let span = span_around(contigs, record.interval);
                let interval = centre(record.interval, size.get(), &span);
                Tiling::new(interval, size.get(), size.get(), options.partial)
            }
            WindowSize::Interval => (Tiling::whole(record.interval), false),
            WindowSize::Contig => (whole_contig(contigs, record.interval)?, false),
        };
        tiling.strand = record.strand;
        tiling.name.clone_from(&record.name);
        self.push((tiling, dropped))
    }

    fn push(&mut self, (tiling, dropped): (Tiling, bool)) -> Result<(), PlanError> {
        if tiling.len() > 0 {
            self.push_tiling(tiling)?;
        }
        if dropped {
            self.dropped_partial.push(self.total_bases);
        }
        Ok(())
    }

    /// Appends windows; an interval without any is not kept, so that first ordinals and offsets grow strictly.
    fn push_tiling(&mut self, mut tiling: Tiling) -> Result<(), PlanError> {
        let bases = u128::from(tiling.len()) * u128::from(tiling.interval.end);
        if bases + u128::from(self.total_bases) > u128::from(u64::MAX) {
            return Err(PlanError::TooManyBases);
        }
        tiling.first_index = self.n_windows;
        tiling.first_offset = self.total_bases;
        self.n_windows += tiling.len();
        self.total_bases += tiling.total();
        self.tilings.push(tiling);
        Ok(())
    }
}

fn check(targets: &Targets, options: &WindowOptions) -> Result<(), PlanError> {
    if !(0.0..=1.0).contains(&options.max_ambiguous) {
        return Err(PlanError::Limit(options.max_ambiguous));
    }
    if let (WindowSize::Bases(size), Partial::Pad) = (options.size, options.partial)
        && size.get() > LARGEST_PADDED
    {
        return Err(PlanError::Padding { size: size.get(), largest: LARGEST_PADDED });
    }
    let can_stride = matches!(options.size, WindowSize::Bases(_)) && !matches!(targets, Targets::Bed(_));
    if options.stride.is_some() && !can_stride {
        return Err(PlanError::Stride);
    }
    Ok(())
}

fn all_spans(contigs: &Contigs) -> impl Iterator<Item = Interval> {
    (0..contigs.len()).flat_map(|contig| {
        let spans = contigs.spans(contig).iter();
        spans.map(move |span| Interval { contig, start: span.start, end: span.end })
    })
}

/// What the file has of the contig around an interval: all of it, or a slice.
fn span_around(contigs: &Contigs, interval: Interval) -> Range<u64> {
    let holds = |span: &&Range<u64>| span.start <= interval.start && interval.end <= span.end;
    let span = contigs.spans(interval.contig).iter().find(holds);
    span.cloned().unwrap_or(0..contigs.get(interval.contig).length)
}

fn whole_contig(contigs: &Contigs, interval: Interval) -> Result<Tiling, PlanError> {
    let span = span_around(contigs, interval);
    if (interval.start, interval.end) != (span.start, span.end) {
        return Err(PlanError::NotAWholeContig {
            contig: contigs.get(interval.contig).name.clone(),
            span,
            start: interval.start,
            end: interval.end,
        });
    }
    let mut tiling = Tiling::whole(interval);
    tiling.is_whole_contig = true;
    Ok(tiling)
}

/// `size` bases around an interval's middle, shifted to lie inside the `span` of its contig, all of the span when it is
/// shorter. When the middle cannot be met exactly the window lies half a base to the left of it.
fn centre(interval: Interval, size: u64, span: &Range<u64>) -> Interval {
    let start = (interval.start + interval.end).saturating_sub(size) / 2;
    let last = span.end.saturating_sub(size).max(span.start);
    let start = start.clamp(span.start, last);
    Interval { contig: interval.contig, start, end: start.saturating_add(size).min(span.end) }
}

#[cfg(test)]
mod tests;
