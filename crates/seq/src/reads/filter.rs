use noodles_sam::alignment::record::Flags;

use super::{counts::ReadCounts, overlap::Intervals};
use crate::region::Interval;

/// Which reads are wanted.
///
/// Flags are the bits of the SAM specification's FLAG field.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadFilter {
    /// Reads that overlap any of these; of all reads, unmapped ones too, when absent. An unmapped read that is placed
    /// beside its mate counts as one base there, as in samtools. Contigs are those of
    /// [`ReadFile::contigs`](super::ReadFile::contigs).
    pub intervals: Option<Vec<Interval>>,
    /// Flags of which a read must have all.
    pub required_flags: u16,
    /// Flags of which a read must have none.
    pub excluded_flags: u16,
    /// The lowest mapping quality; a quality of 255 (unknown) passes.
    pub min_mapping_quality: u8,
    /// Reads of which a larger fraction than this is none of A, C, G, T are skipped and counted; 0 to 1.
    pub max_ambiguous: f64,
}

impl ReadFilter {
    /// Flags of secondary and supplementary alignments, which repeat a read that is there already.
    pub const NOT_PRIMARY: u16 = 0x100 | 0x800;

    /// The same filter without secondary and supplementary alignments, whatever flags were excluded before.
    pub fn primary_only(mut self) -> Self {
        self.excluded_flags |= Self::NOT_PRIMARY;
        self
    }
}

impl Default for ReadFilter {
    /// Every read once: secondary and supplementary alignments are excluded.
    fn default() -> Self {
        Self {
            intervals: None,
            required_flags: 0,
            excluded_flags: Self::NOT_PRIMARY,
            min_mapping_quality: 0,
            max_ambiguous: 1.0,
        }
    }
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alignment {
    pub(super) flags: Flags,
    /// Where the record is placed; none when it is nowhere.
    pub(super) place: Option<Interval>,
    pub(super) mapping_quality: u8,
    pub(super) n_bases: usize,
}

/// Why a record is skipped: the count that it adds to.
pub(super) type Reason = fn(&mut ReadCounts) -> &mut u64;

/// A filter made ready.
pub(super) struct Sieve {
    filter: ReadFilter,
    intervals: Option<Intervals>,
}

impl Sieve {
    pub(super) fn new(filter: ReadFilter) -> Self {
        let intervals = filter.intervals.as_deref().map(Intervals::new);
        Self { filter, intervals }
    }

    pub(super) fn intervals(&self) -> Option<&Intervals> {
        self.intervals.as_ref()
    }

    /// Whether so many ambiguous bases are too many.
    pub(super) fn is_too_ambiguous(&self, n_ambiguous: u64, n_bases: usize) -> bool {
        n_ambiguous as f64 > self.filter.max_ambiguous * n_bases as f64
    }

    /// The count under which the read is skipped; none when it passes.
    pub(super) fn reason(&self, read: &Alignment) -> Option<Reason> {
        if let Some(intervals) = &self.intervals {
            match read.place {
                None => return Some(|counts| &mut counts.unmapped),
                // A record without CIGAR operations stands for one base, as in samtools.
                Some(i) if !intervals.overlaps(i.contig, i.start, i.end.max(i.start + 1)) => {
                    return Some(|counts| &mut counts.outside);
                }
                Some(_) => {}
            }
        }
        if let Some(reason) = self.reason_by_flags(read.flags) {
            return Some(reason);
        }
        if read.mapping_quality < self.filter.min_mapping_quality {
            return Some(|counts| &mut counts.low_mapping_quality);
        }
        if read.n_bases == 0 {
            return Some(|counts| &mut counts.no_sequence);
        }
        None
    }

    fn reason_by_flags(&self, flags: Flags) -> Option<Reason> {
        let excluded = flags.bits() & self.filter.excluded_flags;
        let missing = !flags.bits() & self.filter.required_flags;
        if excluded & Flags::SECONDARY.bits() != 0 {
            Some(|counts| &mut counts.secondary)
        } else if excluded & Flags::SUPPLEMENTARY.bits() != 0 {
            Some(|counts| &mut counts.supplementary)
        } else if excluded != 0 || missing != 0 {
            Some(|counts| &mut counts.other_flags)
        } else {
            None
        }
    }
}
