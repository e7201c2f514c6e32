use std::ops::Range;

use super::{Chunk, ContigIndex, Index, bin_of, first_bin};

impl Index {
    /// The stretches of the file that hold all records of a contig which reach into an interval (0-based, half-open,
    /// not empty), in no order.
    pub(in super::super) fn chunks(&self, contig: usize, interval: &Range<u64>) -> Vec<Chunk> {
        let Some(index) = self.contigs.get(contig) else { return Vec::new() };
        let first = self.first_offset(index, interval.start);
        let bins = index.bins.iter().filter(|&(&id, _)| {
            let bases = bin_bases(id, self.min_shift, self.depth);
            bases.start < interval.end && interval.start < bases.end
        });
        bins.flat_map(|(_, bin)| &bin.chunks).copied().filter(|chunk| chunk.end > first).collect()
    }

    /// A virtual offset before which no record reaches as far as a position.
    fn first_offset(&self, contig: &ContigIndex, position: u64) -> u64 {
        let window = usize::try_from(position >> self.min_shift).unwrap_or(usize::MAX);
        if let Some(last) = contig.linear.len().checked_sub(1) {
            return contig.linear[window.min(last)];
        }
        if position >= 1 << (self.min_shift + 3 * self.depth) {
            return 0;
        }
        self.first_by_bins(contig, position)
    }

    /// Of the bin of the position, or of the nearest bin before it or around it that there is.
    fn first_by_bins(&self, contig: &ContigIndex, position: u64) -> u64 {
        let mut id = bin_of(position, position + 1, self.min_shift, self.depth) as u32;
        loop {
            if let Some(bin) = contig.bins.get(&id) {
                return bin.first;
            }
            id = match id {
                0 => return 0,
                _ if (id - 1).is_multiple_of(8) => (id - 1) / 8,
                _ => id - 1,
            };
        }
    }
}

/// The level of a bin and its place in the level.
fn level(id: u32, depth: u32) -> (u32, u64) {
    let level = (0..=depth).rev().find(|&level| first_bin(level) <= u64::from(id)).unwrap_or(0);
    (level, u64::from(id) - first_bin(level))
}

fn bin_bases(id: u32, min_shift: u32, depth: u32) -> Range<u64> {
    let (level, place) = level(id, depth);
    let shift = min_shift + 3 * (depth - level);
    place << shift..(place + 1) << shift
}

/// The first window of 2^min_shift bases in a bin.
pub(super) fn first_window(id: u32, depth: u32) -> u64 {
    let (level, place) = level(id, depth);
    place << (3 * (depth - level))
}

#[cfg(test)]
mod tests {
    use super::super::IndexBuilder;
    use super::*;

    #[test]
    fn a_bin_holds_the_bases_that_it_is_the_bin_of() {
        for (start, end) in [(0, 1), (16_384, 16_385), (16_383, 16_385), (100_000, 900_000), (5, 1 << 28)] {
            let bases = bin_bases(bin_of(start, end, 14, 5) as u32, 14, 5);
            assert!(bases.start <= start && end <= bases.end, "{start}-{end}: {bases:?}");
        }
    }

    #[test]
    fn every_record_is_found_by_any_interval_that_it_reaches_into() {
        let records: Vec<(u64, u64)> =
            (0..3_000).map(|i| (i * 977, i * 977 + if i % 50 == 0 { 400_000 } else { 1 + i % 40 })).collect();
        let mut builder = IndexBuilder::new(super::super::TBI_REACH, None);
        for (i, &(start, end)) in records.iter().enumerate() {
            let offset = (i as u64) << 12;
            builder.add("1", start, end, Chunk { start: offset, end: offset + 4_096 }).unwrap();
        }
        let mut index = builder.finish();
        for _ in 0..2 {
            for interval in [0..1, 5_000..5_001, 977_000..1_200_000, 2_900_000..3_400_000] {
                let chunks = index.chunks(0, &interval);
                for (i, &(start, end)) in records.iter().enumerate() {
                    let offset = (i as u64) << 12;
                    let is_found = chunks.iter().any(|chunk| chunk.start <= offset && offset < chunk.end);
                    assert!(is_found || end <= interval.start || interval.end <= start, "{i} in {interval:?}");
                }
            }
            assert!(index.chunks(1, &(0..10)).is_empty());
            // Once more as a CSI, which has the offsets in its bins alone.
            index.contigs[0].linear.clear();
        }
    }
}
