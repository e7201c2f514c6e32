use super::{Partial, plan::PlannedWindow};
use crate::{region::Interval, strand::Strand};

/// Evenly spaced windows over one interval: `n` of them, `stride` apart, all `size` bases long but perhaps the last.
#[derive(Clone, Debug)]
pub(super) struct Tiling {
    pub(super) interval: Interval,
    pub(super) strand: Strand,
    pub(super) name: Option<String>,
    pub(super) is_whole_contig: bool,
    size: u64,
    stride: u64,
    n: u64,
    pad: bool,
    /// Ordinal of the first window.
    pub(super) first_index: u64,
    /// Bases of all windows before the first one.
    pub(super) first_offset: u64,
}

/// How many windows an interval of `length` bases gets, and whether the last one is partial.
///
/// Windows start at 0, t, 2t, … as long as no earlier one has reached the end and the start itself lies before it.
pub(super) fn count_windows(length: u64, size: u64, stride: u64) -> (u64, bool) {
    if length == 0 {
        return (0, false);
    }
    let last = length.saturating_sub(size).div_ceil(stride);
    let start = u128::from(last) * u128::from(stride);
    if start >= u128::from(length) {
        return (last, false);
    }
    (last + 1, start + u128::from(size) > u128::from(length))
}

impl Tiling {
    /// The windows over `interval` and whether a partial one was left out.
    pub(super) fn new(interval: Interval, size: u64, stride: u64, partial: Partial) -> (Self, bool) {
        let (n, is_partial) = count_windows(interval.end - interval.start, size, stride);
        let dropped = is_partial && partial == Partial::Drop;
        let tiling = Self {
            interval,
            strand: Strand::Forward,
            name: None,
            is_whole_contig: false,
            size,
            stride,
            n: n - u64::from(dropped),
            pad: partial == Partial::Pad,
            first_index: 0,
            first_offset: 0,
        };
        (tiling, dropped)
    }

    /// The interval as one window.
    pub(super) fn whole(interval: Interval) -> Self {
        let length = interval.end - interval.start;
        Self::new(interval, length.max(1), length.max(1), Partial::Keep).0
    }

    /// How many windows there are.
    pub(super) fn len(&self) -> u64 {
        self.n
    }

    /// Bases of the windows before the `k`-th.
    ///
    /// Only the last window can be short, so this is k·size up to there.
    pub(super) fn offset(&self, k: u64) -> u64 {
        if k < self.n || self.n == 0 {
            return k * self.size;
        }
        let (start, end) = self.span(self.n - 1);
        (self.n - 1) * self.size + (end - start)
    }

    /// Bases of all its windows, padding excluded.
    pub(super) fn total(&self) -> u64 {
        self.offset(self.n)
    }

    /// The first `k` of which the offset is at least `offset`; at most the number of windows.
    pub(super) fn first_at_or_after(&self, offset: u64) -> u64 {
        offset.div_ceil(self.size).min(self.n)
    }

    /// The `k`-th window.
    pub(super) fn window(&self, k: u64) -> PlannedWindow {
        let (start, end) = self.span(k);
        PlannedWindow {
            index: self.first_index + k,
            contig: self.interval.contig,
            start,
            end,
            strand: self.strand,
            n_padded: if self.pad { self.size - (end - start) } else { 0 },
            is_partial: end - start < self.size,
            name: self.name.clone(),
            is_whole_contig: self.is_whole_contig,
        }
    }

    fn span(&self, k: u64) -> (u64, u64) {
        let start = self.interval.start + k * self.stride;
        (start, start.saturating_add(self.size).min(self.interval.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(u64, u64, u64, u64, bool)] = &[
        // length, size, stride, windows, the last is partial
        (0, 4, 4, 0, false),
        (1, 4, 4, 1, true),
        (4, 4, 4, 1, false),
        (5, 4, 4, 2, true),
        (8, 4, 4, 2, false),
        (5, 4, 2, 2, true),
        (6, 4, 2, 2, false),
        (7, 4, 1, 4, false),
        (8, 4, 3, 3, true),
        (5, 2, 10, 1, false),
        (11, 2, 10, 2, true),
        (10, 2, 10, 1, false),
        (u64::MAX, 1, u64::MAX, 1, false),
    ];

    #[test]
    fn counts_equal_a_walk() {
        for &(length, size, stride, n, partial) in CASES {
            let counted = count_windows(length, size, stride);
            assert_eq!(counted, (n, partial), "{length} {size} {stride}");
            if length > 100 {
                continue;
            }
            let (mut start, mut walked) = (0, 0);
            while start < length {
                walked += 1;
                if start + size >= length {
                    break;
                }
                start += stride;
            }
            assert_eq!(counted.0, walked, "{length} {size} {stride}");
        }
    }

    #[test]
    fn offsets_are_running_sums() {
        for partial in [Partial::Keep, Partial::Drop, Partial::Pad] {
            for &(length, size, stride, ..) in CASES.iter().filter(|case| case.0 < 100) {
                let interval = Interval { contig: 0, start: 7, end: 7 + length };
                let (tiling, _) = Tiling::new(interval, size, stride, partial);
                let mut offset = 0;
                for k in 0..tiling.len() {
                    assert_eq!(tiling.offset(k), offset);
                    assert_eq!(tiling.first_at_or_after(offset), k);
                    let window = tiling.window(k);
                    offset += window.end - window.start;
                }
                assert_eq!(tiling.total(), offset);
            }
        }
    }
}
