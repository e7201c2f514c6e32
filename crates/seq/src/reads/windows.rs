use std::io;

use noodles_sam::alignment::{Record, record::Flags};

use super::{
    ReadCounts, ReadError, ReadErrorKind, ReadFile, ReadFilter, ReadTotals,
    file::Place,
    filter::{Alignment, Reason, Sieve},
};
use crate::{
    region::Interval,
    strand::{Strand, reverse_complement},
    window::{Shard, SoftMask, Window, count_ambiguous},
};

/// Reads as windows, in file order; one read is in memory at a time, of CRAM one container of reads.
pub struct ReadWindows {
    file: ReadFile,
    sieve: Sieve,
    counts: ReadCounts,
    /// Reads and bases that have passed so far, of whatever shard.
    passed: ReadTotals,
    shard: Shard,
    totals: ReadTotals,
    is_finished: bool,
}

impl ReadWindows {
    pub(super) fn new(mut file: ReadFile, filter: ReadFilter) -> Result<Self, ReadError> {
        let sieve = Sieve::new(filter);
        if let Some(intervals) = sieve.intervals() {
            file.restrict(intervals)?;
        }
        Ok(Self {
            file,
            sieve,
            counts: ReadCounts::default(),
            passed: ReadTotals::default(),
            shard: Shard::WHOLE,
            totals: ReadTotals::default(),
            is_finished: false,
        })
    }

    /// Only the reads of a shard; `totals` are those of the whole run, counted by [`ReadWindows::totals`] over the same
    /// file and filter.
    pub fn with_shard(mut self, shard: Shard, totals: ReadTotals) -> Self {
        self.shard = shard;
        self.totals = totals;
        self
    }

    /// Counts the reads that pass, and their bases, by reading the whole file.
    ///
    /// # Errors
    ///
    /// - the input is a stream, which could not be read again;
    /// - a record cannot be read, or the file ends early.
    pub fn totals(mut self) -> Result<ReadTotals, ReadError> {
        if self.file.is_stream() {
            return Err(ReadError::new(&self.file.path, ReadErrorKind::Stream));
        }
        while self.next_read()?.is_some() {}
        Ok(self.passed)
    }

    /// What was given and skipped so far.
    pub fn counts(&self) -> ReadCounts {
        self.counts
    }

    fn next_window(&mut self) -> Result<Option<Window>, ReadError> {
        while let Some(window) = self.next_read()? {
            if self.is_mine(self.passed.bases - window.bases.len() as u64) {
                self.counts.produced += 1;
                self.counts.bases += window.bases.len() as u64;
                self.counts.ambiguous_bases += window.n_ambiguous;
                return Ok(Some(window));
            }
            if !self.is_before_end() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Whether what begins after `offset` bases belongs to the shard.
    fn is_mine(&self, offset: u64) -> bool {
        self.shard.of(offset, self.totals.bases) == self.shard.index()
    }

    fn is_before_end(&self) -> bool {
        self.shard.of(self.passed.bases, self.totals.bases) <= self.shard.index()
    }

    /// The next read of the whole run that passes.
    fn next_read(&mut self) -> Result<Option<Window>, ReadError> {
        loop {
            let is_mine = self.is_mine(self.passed.bases);
            let sieve = &self.sieve;
            let sifted = self.file.next(|record, place| sift(record, place, sieve))?;
            match sifted {
                None => {
                    self.file.check_end()?;
                    return Ok(None);
                }
                Some(Ok(read)) => return Ok(Some(self.window(read))),
                Some(Err(reason)) => *reason(&mut self.counts) += u64::from(is_mine),
            }
        }
    }

    fn window(&mut self, read: Read) -> Window {
        let interval = read.interval;
        let index = self.passed.reads;
        self.passed.reads += 1;
        self.passed.bases += read.bases.len() as u64;
        Window {
            index,
            name: read.name,
            contig: interval.map_or("*", |i| &self.file.contigs.get(i.contig).name).into(),
            start: interval.map_or(0, |i| i.start),
            end: interval.map_or(0, |i| i.end),
            strand: read.strand,
            bases: read.bases,
            n_ambiguous: read.n_ambiguous,
            n_padded: 0,
            soft_mask: SoftMask::default(),
        }
    }
}

impl Iterator for ReadWindows {
    type Item = Result<Window, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_finished {
            return None;
        }
        let next = self.next_window().transpose();
        self.is_finished = !matches!(next, Some(Ok(_)));
        next
    }
}

struct Read {
    name: String,
    /// Where it is aligned.
    interval: Option<Interval>,
    strand: Strand,
    /// As sequenced.
    bases: Vec<u8>,
    n_ambiguous: u64,
}

/// The read of a record, or why it is skipped.
fn sift(record: &dyn Record, place: Option<Place>, sieve: &Sieve) -> io::Result<Result<Read, Reason>> {
    let flags = record.flags()?;
    let alignment = Alignment {
        flags,
        place: place.map(|place| place.interval),
        mapping_quality: record.mapping_quality().transpose()?.map_or(u8::MAX, |quality| quality.get()),
        n_bases: record.sequence().len(),
    };
    if let Some(reason) = sieve.reason(&alignment) {
        return Ok(Err(reason));
    }
    let strand = if flags.is_reverse_complemented() { Strand::Reverse } else { Strand::Forward };
    let bases = sequenced(record, strand);
    let n_ambiguous = count_ambiguous(&bases);
    if sieve.is_too_ambiguous(n_ambiguous, bases.len()) {
        return Ok(Err(|counts| &mut counts.ambiguous));
    }
    Ok(Ok(Read {
        name: name(record, flags),
        interval: place.filter(|place| place.is_aligned).map(|place| place.interval),
        strand,
        bases,
        n_ambiguous,
    }))
}

/// Upper-case bases in the orientation in which they were sequenced.
fn sequenced(record: &dyn Record, strand: Strand) -> Vec<u8> {
    let stored = record.sequence();
    let mut bases = Vec::with_capacity(stored.len());
    bases.extend(stored.iter().map(|base| match base {
        b'=' => b'N',
        _ => base.to_ascii_uppercase(),
    }));
    if strand == Strand::Reverse {
        reverse_complement(&mut bases);
    }
    bases
}

fn name(record: &dyn Record, flags: Flags) -> String {
    let name = record.name().map_or_else(|| "*".into(), ToString::to_string);
    if !flags.is_segmented() {
        return name;
    }
    match (flags.is_first_segment(), flags.is_last_segment()) {
        (true, false) => name + "/1",
        (false, true) => name + "/2",
        _ => name,
    }
}
