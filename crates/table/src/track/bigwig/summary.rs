//! What a stretch of values comes to: the record of a zoom level, and the summary of the track.

use super::blocks::Extent;

/// Bytes of a zoom record.
pub(super) const RECORD_BYTES: usize = 32;

/// Number, range and moments of the values of a stretch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    /// From the first base that has a value to the last.
    pub(super) extent: Extent,
    /// Bases that have a value.
    pub(super) count: u64,
    pub(super) min: f32,
    pub(super) max: f32,
    pub(super) sum: f64,
    pub(super) sum_of_squares: f64,
}

impl Summary {
    /// That of the values, at least one, of the bases from `start` on.
    pub(super) fn of(contig: u32, start: u32, values: &[f32]) -> Self {
        let square = |&value: &f32| f64::from(value) * f64::from(value);
        Self {
            extent: Extent { contig, start, end: start + values.len() as u32 },
            count: values.len() as u64,
            min: values.iter().copied().fold(f32::INFINITY, f32::min),
            max: values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            sum: values.iter().copied().map(f64::from).sum(),
            sum_of_squares: values.iter().map(square).sum(),
        }
    }

    /// Adds the summary of values that come later.
    pub(super) fn merge(&mut self, later: &Self) {
        self.extent.end = later.extent.end;
        self.count += later.count;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.sum += later.sum;
        self.sum_of_squares += later.sum_of_squares;
    }

    /// As the record of a zoom level.
    pub(super) fn record(&self) -> [u8; RECORD_BYTES] {
        let Extent { contig, start, end } = self.extent;
        let count = u32::try_from(self.count).expect("a record lies on one contig, which has fewer than 2^32 bases");
        let moments = [self.min, self.max, self.sum as f32, self.sum_of_squares as f32];
        let words = [contig, start, end, count].into_iter().chain(moments.map(f32::to_bits));
        let mut record = [0; RECORD_BYTES];
        for (bytes, word) in record.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        record
    }
}

/// The summary of a track, 40 bytes; zeros if it has no values.
pub(super) fn track_summary(total: Option<&Summary>) -> Vec<u8> {
    let moments =
        total.map_or([0.0; 4], |total| [f64::from(total.min), f64::from(total.max), total.sum, total.sum_of_squares]);
    let mut bytes = total.map_or(0, |total| total.count).to_le_bytes().to_vec();
    bytes.extend(moments.iter().flat_map(|moment| moment.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_merge_of_two_is_that_of_all() {
        let values = [0.5, -2.0, 3.25, 1.0, 0.0];
        let mut merged = Summary::of(3, 10, &values[..2]);
        merged.merge(&Summary::of(3, 12, &values[2..]));
        assert_eq!(merged, Summary::of(3, 10, &values));
        assert_eq!((merged.min, merged.max, merged.sum, merged.sum_of_squares), (-2.0, 3.25, 2.75, 15.8125));
        assert_eq!(merged.extent, Extent { contig: 3, start: 10, end: 15 });
    }
}
