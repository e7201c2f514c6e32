use crate::window::WindowCounts;

/// What a file of reads gave and what was skipped, each record under the first reason that holds.
///
/// With an index, records that lie outside the wanted intervals are counted only where they had to be read. Of a
/// sharded run each record is counted in one shard.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReadCounts {
    /// Reads given.
    pub produced: u64,
    /// Bases in them.
    pub bases: u64,
    /// Bases in them that are none of A, C, G, T.
    pub ambiguous_bases: u64,
    /// Reads that overlap none of the intervals.
    pub outside: u64,
    /// Unmapped reads that are placed nowhere, skipped because intervals were asked for.
    pub unmapped: u64,
    /// Secondary alignments (flag 0x100) skipped by their flags.
    pub secondary: u64,
    /// Supplementary alignments (flag 0x800) skipped by their flags.
    pub supplementary: u64,
    /// Other records skipped by their flags.
    pub other_flags: u64,
    /// Reads below the lowest mapping quality.
    pub low_mapping_quality: u64,
    /// Records without a sequence (`*`).
    pub no_sequence: u64,
    /// Reads of which too many bases are none of A, C, G, T.
    pub ambiguous: u64,
}

impl ReadCounts {
    /// The part that every source of windows has.
    pub fn windows(&self) -> WindowCounts {
        WindowCounts {
            produced: self.produced,
            bases: self.bases,
            ambiguous_bases: self.ambiguous_bases,
            dropped_ambiguous: self.ambiguous,
            ..WindowCounts::default()
        }
    }
}

/// How much there is to read behind a filter.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReadTotals {
    /// Reads that pass.
    pub reads: u64,
    /// Their bases.
    pub bases: u64,
}
