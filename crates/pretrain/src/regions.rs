//! Sets of bases: intervals of contigs, and what they have in common.

use std::ops::Range;

use longstrand_seq::Interval;

/// Some bases of a list of contigs: for each contig intervals, 0-based, half-open, ascending and apart.
///
/// Intervals may touch without being one: a window that crosses the seam lies in neither. The parts of a sliced
/// reference are such.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Regions(Vec<Vec<Range<u64>>>);

impl Regions {
    /// Takes intervals, each contig's ascending and apart.
    pub(crate) fn from_sorted(contigs: Vec<Vec<Range<u64>>>) -> Self {
        Self(contigs)
    }

    /// The bases of intervals in any order; those that overlap or touch become one.
    ///
    /// # Panics
    ///
    /// When an interval's contig is none of `n_contigs`.
    pub fn union(n_contigs: usize, intervals: impl IntoIterator<Item = Interval>) -> Self {
        let mut contigs = vec![Vec::new(); n_contigs];
        for interval in intervals {
            contigs[interval.contig].push(interval.start..interval.end);
        }
        contigs.iter_mut().for_each(merge);
        Self(contigs)
    }

    /// The bases that are in both. Seams of either remain.
    pub fn intersect(&self, other: &Self) -> Self {
        let both = |(a, b): (&Vec<Range<u64>>, &Vec<Range<u64>>)| intersect(a, b);
        Self(self.0.iter().zip(&other.0).map(both).collect())
    }

    /// The bases that are not in `other`. Seams remain.
    pub fn subtract(&self, other: &Self) -> Self {
        let without = |(a, b): (&Vec<Range<u64>>, &Vec<Range<u64>>)| subtract(a, b);
        Self(self.0.iter().zip(&other.0).map(without).collect())
    }

    /// Whether an interval lies inside one of these.
    pub fn holds(&self, interval: &Interval) -> bool {
        let ranges = &self.0[interval.contig];
        let after = ranges.partition_point(|range| range.start <= interval.start);
        after > 0 && interval.end <= ranges[after - 1].end
    }

    /// The intervals, contig after contig.
    pub fn iter(&self) -> impl Iterator<Item = Interval> {
        let of_contig = |(contig, ranges): (usize, &Vec<Range<u64>>)| {
            ranges.iter().map(move |range| Interval { contig, start: range.start, end: range.end }).collect::<Vec<_>>()
        };
        self.0.iter().enumerate().flat_map(of_contig)
    }

    /// How many bases they have.
    pub fn n_bases(&self) -> u64 {
        self.0.iter().flatten().map(|range| range.end - range.start).sum()
    }

    /// Whether there is no base.
    pub fn is_empty(&self) -> bool {
        self.n_bases() == 0
    }
}

fn merge(ranges: &mut Vec<Range<u64>>) {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges.drain(..).filter(|range| !range.is_empty()) {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    *ranges = merged;
}

fn intersect(a: &[Range<u64>], b: &[Range<u64>]) -> Vec<Range<u64>> {
    let (mut i, mut j) = (0, 0);
    let mut both = Vec::new();
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let common = x.start.max(y.start)..x.end.min(y.end);
        if !common.is_empty() {
            both.push(common);
        }
        if x.end < y.end { i += 1 } else { j += 1 }
    }
    both
}

fn subtract(a: &[Range<u64>], b: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut rest = Vec::new();
    for range in a {
        let mut start = range.start;
        let first = b.partition_point(|hole| hole.end <= range.start);
        for hole in b[first..].iter().take_while(|hole| hole.start < range.end) {
            if start < hole.start {
                rest.push(start..hole.start);
            }
            start = hole.end;
        }
        if start < range.end {
            rest.push(start..range.end);
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    const LENGTH: u64 = 60;

    /// Intervals of two contigs, overlapping and touching at will.
    fn some_intervals(case: u32) -> Vec<Interval> {
        let draws = Draws::new(case.into(), Purpose::Window, 0, case);
        let interval = |n| {
            let [contig, start, length, _] = draws.block(n);
            let start = u64::from(start) % LENGTH;
            Interval { contig: contig as usize % 2, start, end: (start + u64::from(length) % 12).min(LENGTH) }
        };
        (0..u64::from(case) % 9).map(interval).collect()
    }

    fn bases(regions: &Regions) -> Vec<(usize, u64)> {
        regions.iter().flat_map(|i| (i.start..i.end).map(move |base| (i.contig, base))).collect()
    }

    #[test]
    fn sets_equal_a_walk() {
        for case in 0..400 {
            let (a, b) = (Regions::union(2, some_intervals(case)), Regions::union(2, some_intervals(case + 1_000)));
            let (in_a, in_b) = (bases(&a), bases(&b));
            let walked: Vec<_> = in_a.iter().copied().filter(|base| in_b.contains(base)).collect();
            assert_eq!(bases(&a.intersect(&b)), walked, "{a:?} {b:?}");
            let walked: Vec<_> = in_a.iter().copied().filter(|base| !in_b.contains(base)).collect();
            assert_eq!(bases(&a.subtract(&b)), walked, "{a:?} {b:?}");
            assert_eq!(a.n_bases(), in_a.len() as u64);
            let mut listed: Vec<_> =
                some_intervals(case).iter().flat_map(|i| (i.start..i.end).map(|base| (i.contig, base))).collect();
            listed.sort_unstable();
            listed.dedup();
            assert_eq!(in_a, listed);
        }
    }

    #[test]
    fn an_interval_is_held_by_one_region_only() {
        let seam = Regions::from_sorted(vec![vec![0..10, 10..20]]);
        let holds = |start, end| seam.holds(&Interval { contig: 0, start, end });
        assert!(holds(0, 10) && holds(10, 20) && holds(12, 13));
        assert!(!holds(9, 11) && !holds(0, 11) && !holds(19, 21) && !holds(20, 21));
        let whole = Regions::union(1, seam.iter());
        assert!(whole.holds(&Interval { contig: 0, start: 9, end: 11 }));
        assert_eq!(whole.intersect(&seam), seam);
    }
}
