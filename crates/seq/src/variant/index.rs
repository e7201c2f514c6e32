//! Indexes of bgzip files by position: TBI and CSI.
//!
//! ```text
//! level 0   one bin of 2^(min_shift + 3 depth) bases
//! level 1   eight bins, each an eighth of it             a record lies in the smallest bin that holds it whole
//! level d   8^d bins
//! ```
//!
//! TBI is the case min_shift 14, depth 5: no position past 2^29. Source: the CSI and Tabix specifications of samtools.

mod build;
mod query;
mod read;
mod write;

use std::collections::BTreeMap;

pub(super) use build::{AddError, IndexBuilder};
pub(super) use read::read;
pub(super) use write::Layout;

const TBI_MIN_SHIFT: u32 = 14;
const TBI_DEPTH: u32 = 5;
/// One past the last position that a TBI can hold.
pub(super) const TBI_REACH: u64 = 1 << (TBI_MIN_SHIFT + 3 * TBI_DEPTH);

/// A stretch of a bgzip file, between virtual offsets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Chunk {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// An index of a file.
#[derive(Debug)]
pub(super) struct Index {
    min_shift: u32,
    depth: u32,
    /// The contigs' names, which an index of a BCF file does not have.
    pub(super) names: Option<Vec<String>>,
    contigs: Vec<ContigIndex>,
}

/// Where a contig's records are.
#[derive(Debug, Default)]
struct ContigIndex {
    bins: BTreeMap<u32, Bin>,
    /// The virtual offset of the first record that reaches into each window of 2^min_shift bases; a CSI that was read
    /// has none.
    linear: Vec<u64>,
    /// All its records.
    extent: Option<Chunk>,
    record_count: u64,
}

#[derive(Debug, Default)]
struct Bin {
    /// The virtual offset of the first record that reaches into the bin; only in CSI.
    first: u64,
    chunks: Vec<Chunk>,
}

/// The number of bins above a level, which is the first bin of that level.
fn first_bin(level: u32) -> u64 {
    ((1 << (3 * level)) - 1) / 7
}

/// The bin that holds counts in place of chunks.
fn count_bin(depth: u32) -> u64 {
    first_bin(depth + 1) + 1
}

/// The smallest bin that holds an interval (0-based, half-open, not empty).
fn bin_of(start: u64, end: u64, min_shift: u32, depth: u32) -> u64 {
    let last = end - 1;
    let level = (0..=depth).rev().find(|level| {
        let shift = min_shift + 3 * (depth - level);
        start >> shift == last >> shift
    });
    let level = level.unwrap_or(0);
    first_bin(level) + (start >> (min_shift + 3 * (depth - level)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_those_of_the_specification() {
        for (start, end, bin) in [
            (0, 1, 4_681),
            (16_383, 16_384, 4_681),
            (16_384, 16_385, 4_682),
            (16_383, 16_385, 585),
            (0, 1 << 29, 0),
            ((1 << 29) - 1, 1 << 29, 37_448),
        ] {
            assert_eq!(bin_of(start, end, 14, 5), bin, "{start}-{end}");
        }
        assert_eq!(count_bin(5), 37_450);
    }
}
