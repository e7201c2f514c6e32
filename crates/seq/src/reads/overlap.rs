use std::ops::Range;

use crate::region::Interval;

/// Disjoint, ascending intervals of each contig.
#[derive(Clone, Debug, Default)]
pub(super) struct Intervals {
    by_contig: Vec<Vec<Range<u64>>>,
}

impl Intervals {
    /// Merges what overlaps or touches; empty intervals vanish.
    pub(super) fn new(intervals: &[Interval]) -> Self {
        let n_contigs = intervals.iter().map(|i| i.contig + 1).max().unwrap_or(0);
        let mut by_contig = vec![Vec::new(); n_contigs];
        for interval in intervals.iter().filter(|i| i.start < i.end) {
            by_contig[interval.contig].push(interval.start..interval.end);
        }
        for ranges in &mut by_contig {
            merge(ranges);
        }
        Self { by_contig }
    }

    /// Whether a base of `start..end` of the contig lies in an interval; both 0-based, half-open.
    pub(super) fn overlaps(&self, contig: usize, start: u64, end: u64) -> bool {
        let Some(ranges) = self.by_contig.get(contig) else {
            return false;
        };
        let first = ranges.partition_point(|range| range.end <= start);
        ranges.get(first).is_some_and(|range| range.start < end)
    }

    /// All intervals in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Interval> + '_ {
        let contigs = self.by_contig.iter().enumerate();
        contigs.flat_map(|(contig, ranges)| {
            ranges.iter().map(move |range| Interval { contig, start: range.start, end: range.end })
        })
    }
}

fn merge(ranges: &mut Vec<Range<u64>>) {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    ranges.dedup_by(|next, last| {
        let touches = next.start <= last.end;
        if touches {
            last.end = last.end.max(next.end);
        }
        touches
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(contig: usize, start: u64, end: u64) -> Interval {
        Interval { contig, start, end }
    }

    #[test]
    fn merged_and_in_order() {
        let given = [
            interval(2, 5, 9),
            interval(0, 10, 20),
            interval(0, 0, 3),
            interval(0, 15, 30),
            interval(0, 30, 31),
            interval(0, 12, 13),
            interval(0, 50, 50),
        ];
        let merged: Vec<_> = Intervals::new(&given).iter().collect();
        let expected = [interval(0, 0, 3), interval(0, 10, 31), interval(2, 5, 9)];
        assert_eq!(merged, expected);
    }

    #[test]
    fn borders_are_half_open() {
        let intervals = Intervals::new(&[interval(1, 10, 20), interval(1, 40, 41)]);
        for (start, end, expected) in [
            (0, 10, false),
            (0, 11, true),
            (19, 20, true),
            (20, 40, false),
            (20, 41, true),
            (41, 99, false),
            (0, 99, true),
        ] {
            assert_eq!(intervals.overlaps(1, start, end), expected, "{start}-{end}");
        }
        assert!(!intervals.overlaps(0, 10, 20));
        assert!(!intervals.overlaps(7, 10, 20));
    }
}
