use std::collections::HashMap;

use super::{Bin, Chunk, ContigIndex, Index, TBI_DEPTH, TBI_MIN_SHIFT, bin_of};

/// No record reaches into a window.
const NONE: u64 = u64::MAX;

/// Takes records in the order of the file.
#[derive(Debug)]
pub(in super::super) struct IndexBuilder {
    index: Index,
    /// The places of the contigs that there were records of.
    numbers: HashMap<String, usize>,
    /// The contig of the last record, and its start.
    last: Option<(usize, u64)>,
}

/// Why a record cannot be put into an index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum AddError {
    /// It comes before one that stands further up, or its contig was left already.
    Unsorted,
    /// It reaches past the last position that the index can hold.
    PastReach,
}

impl IndexBuilder {
    /// An index that holds positions up to `reach`, which for the usual depth is that of TBI. Without `contigs` these
    /// are numbered as they come; with them, as they stand there.
    pub(in super::super) fn new(reach: u64, contigs: Option<&[String]>) -> Self {
        let depth = (TBI_DEPTH..).find(|depth| 1 << (TBI_MIN_SHIFT + 3 * depth) >= reach).unwrap_or(TBI_DEPTH);
        let (names, numbers, contigs) = match contigs {
            None => (Some(Vec::new()), HashMap::new(), Vec::new()),
            Some(names) => {
                let numbers = names.iter().enumerate().map(|(i, name)| (name.clone(), i)).collect();
                (None, numbers, names.iter().map(|_| ContigIndex::default()).collect())
            }
        };
        Self { index: Index { min_shift: TBI_MIN_SHIFT, depth, names, contigs }, numbers, last: None }
    }

    /// Adds a record (0-based, half-open, not empty) that stands at `chunk`.
    pub(in super::super) fn add(&mut self, contig: &str, start: u64, end: u64, chunk: Chunk) -> Result<(), AddError> {
        let number = self.number(contig);
        let has_records = self.index.contigs[number].record_count > 0;
        match self.last {
            Some((last, last_start)) if last == number && start < last_start => return Err(AddError::Unsorted),
            Some((last, _)) if last != number && has_records => return Err(AddError::Unsorted),
            _ => {}
        }
        if end > 1 << (self.index.min_shift + 3 * self.index.depth) {
            return Err(AddError::PastReach);
        }
        self.last = Some((number, start));
        let bin = bin_of(start, end, self.index.min_shift, self.index.depth) as u32;
        self.index.contigs[number].add(bin, start >> self.index.min_shift, (end - 1) >> self.index.min_shift, chunk);
        Ok(())
    }

    fn number(&mut self, contig: &str) -> usize {
        if let Some(&number) = self.numbers.get(contig) {
            return number;
        }
        let number = self.index.contigs.len();
        self.numbers.insert(contig.to_owned(), number);
        self.index.contigs.push(ContigIndex::default());
        self.index.names.get_or_insert_default().push(contig.to_owned());
        number
    }

    pub(in super::super) fn finish(mut self) -> Index {
        for contig in &mut self.index.contigs {
            contig.finish(self.index.depth);
        }
        self.index
    }
}

impl ContigIndex {
    fn add(&mut self, bin: u32, first_window: u64, last_window: u64, chunk: Chunk) {
        self.bins.entry(bin).or_default().add(chunk);
        let windows = first_window as usize..last_window as usize + 1;
        if self.linear.len() < windows.end {
            self.linear.resize(windows.end, NONE);
        }
        for window in self.linear[windows].iter_mut().filter(|window| **window == NONE) {
            *window = chunk.start;
        }
        self.extent = Some(Chunk { start: self.extent.map_or(chunk.start, |extent| extent.start), end: chunk.end });
        self.record_count += 1;
    }

    /// Gives windows that nothing reaches into the offset of the next, and bins theirs.
    fn finish(&mut self, depth: u32) {
        for i in (1..self.linear.len()).rev() {
            if self.linear[i - 1] == NONE {
                self.linear[i - 1] = self.linear[i];
            }
        }
        for (&id, bin) in &mut self.bins {
            let first_window = super::query::first_window(id, depth) as usize;
            bin.first = self.linear.get(first_window).copied().unwrap_or(0);
        }
    }
}

impl Bin {
    /// Adds a chunk; one that begins in the block where the last one ends is the same stretch.
    fn add(&mut self, chunk: Chunk) {
        match self.chunks.last_mut() {
            Some(last) if last.end >> 16 >= chunk.start >> 16 => last.end = chunk.end,
            _ => self.chunks.push(chunk),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_reach_are_checked() {
        let chunk = Chunk { start: 0, end: 1 };
        let mut builder = IndexBuilder::new(super::super::TBI_REACH, None);
        builder.add("b", 10, 11, chunk).unwrap();
        builder.add("b", 10, 12, chunk).unwrap();
        assert_eq!(builder.add("b", 9, 12, chunk), Err(AddError::Unsorted));
        builder.add("a", 0, 1 << 29, chunk).unwrap();
        assert_eq!(builder.add("b", 20, 21, chunk), Err(AddError::Unsorted));
        assert_eq!(builder.add("a", 1, (1 << 29) + 1, chunk), Err(AddError::PastReach));
        let mut long = IndexBuilder::new(super::super::TBI_REACH + 1, None);
        long.add("a", 1, (1 << 29) + 1, chunk).unwrap();
    }
}
