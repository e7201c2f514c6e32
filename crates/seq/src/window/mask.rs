use std::ops::Range;

/// Which bases of a window were lower-case in the file: runs of positions, ascending and apart.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SoftMask(Vec<Range<u64>>);

impl SoftMask {
    /// The lower-case bases among these.
    pub fn of(bases: &[u8]) -> Self {
        let mut runs = Vec::new();
        let mut start = 0;
        for run in bases.chunk_by(|a, b| a.is_ascii_lowercase() == b.is_ascii_lowercase()) {
            let end = start + run.len() as u64;
            if run[0].is_ascii_lowercase() {
                runs.push(start..end);
            }
            start = end;
        }
        Self(runs)
    }

    /// The mask of the reverse complement of `n_bases` bases.
    pub fn reversed(mut self, n_bases: u64) -> Self {
        self.0.reverse();
        for run in &mut self.0 {
            *run = n_bases - run.end..n_bases - run.start;
        }
        self
    }

    /// How many bases it has.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|run| run.end - run.start).sum()
    }

    /// How many runs reach into a part of the window; 0-based, half-open.
    pub fn runs_in(&self, part: &Range<u64>) -> u64 {
        self.0.iter().filter(|run| run.end > part.start && run.start < part.end).count() as u64
    }

    /// How many of them lie in a part of the window; 0-based, half-open.
    pub fn count_in(&self, part: &Range<u64>) -> u64 {
        let first = self.0.partition_point(|run| run.end <= part.start);
        let runs = self.0[first..].iter().take_while(|run| run.start < part.end);
        runs.map(|run| run.end.min(part.end) - run.start.max(part.start)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_those_of_lower_case() {
        assert_eq!(SoftMask::of(b"acGTnNt"), SoftMask(vec![0..2, 4..5, 6..7]));
        assert_eq!(SoftMask::of(b"ACGT"), SoftMask::default());
        let mask = SoftMask::of(b"acGTnNt");
        assert_eq!([0..7, 1..5, 2..4, 6..7].map(|part| mask.runs_in(&part)), [3, 2, 0, 1]);
        assert_eq!(SoftMask::of(b""), SoftMask::default());
    }

    #[test]
    fn the_reverse_complement_has_the_mask_of_its_own_bases() {
        let bases = b"acGTnNtAAc";
        let mut reversed = bases.to_vec();
        reversed.reverse();
        assert_eq!(SoftMask::of(bases).reversed(10), SoftMask::of(&reversed));
    }

    #[test]
    fn parts_count_as_a_walk_does() {
        let bases = b"acGTnNtAAcgtA";
        let mask = SoftMask::of(bases);
        for start in 0..=bases.len() {
            for end in start..=bases.len() {
                let walked = bases[start..end].iter().filter(|base| base.is_ascii_lowercase()).count();
                assert_eq!(mask.count_in(&(start as u64..end as u64)), walked as u64, "{start}..{end}");
            }
        }
        assert_eq!(mask.count(), 7);
    }
}
