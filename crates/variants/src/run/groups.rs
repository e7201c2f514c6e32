//! Records in groups that are scored together.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use longstrand_seq::variant::{VariantHeader, VariantReader, VariantRecord};
use longstrand_seq::window::Shard;

use crate::allele::Edit;
use crate::error::ScoreError;
use crate::options::Score;
use crate::resolve::{Resolved, resolve};
use crate::scorer::Scorer;
use crate::window;

/// Records of a group, unless its last window has more.
const RECORDS: usize = 4_096;

/// The same on GPUs, which wait for the last answers of each group.
const RECORDS_OF_GPUS: usize = 32_768;

/// The most records of a group.
const MOST_RECORDS: usize = 65_536;

/// Bytes of a group's records and alleles from which on it takes no further record.
const BYTES: usize = 64 << 20;

/// Bytes of an allele beside its bases: its values, its answers and what it is known by.
const ALLELE_BYTES: usize = 512;

/// Records, and each one's alleles in order.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) records: Vec<VariantRecord>,
    pub(crate) alleles: Vec<Resolved>,
    /// What these take.
    pub(crate) bytes: usize,
}

impl Group {
    /// Whether a record goes into another group than those before it, of which there may be so many in any case.
    fn is_full(&self, records: usize, is_in_last_window: bool) -> bool {
        match self.records.len() {
            _ if self.bytes >= BYTES => true,
            count if count < records => false,
            ..MOST_RECORDS => !is_in_last_window,
            _ => true,
        }
    }

    fn push(&mut self, record: VariantRecord, alleles: Vec<Resolved>) {
        let bases = |(edit, _): &(Edit, Range<u64>)| edit.reference.len() + edit.alternate.len();
        self.bytes += record.line().len() + alleles.len() * ALLELE_BYTES;
        self.bytes += alleles.iter().flatten().map(bases).sum::<usize>();
        self.records.push(record);
        self.alleles.extend(alleles);
    }

    /// The contigs of its records that a header does not declare, in the order in which they first appear.
    pub(super) fn undeclared(&self, header: &VariantHeader) -> Vec<String> {
        let mut known: HashSet<&str> = header.contigs().iter().map(|contig| contig.name.as_str()).collect();
        let contigs = self.records.iter().map(VariantRecord::contig);
        contigs.filter(|contig| known.insert(contig)).map(str::to_owned).collect()
    }
}

/// The groups of a file or of a shard of it.
pub(crate) struct Groups<'a> {
    reader: &'a mut VariantReader,
    path: &'a Path,
    /// A shard and the number of all records.
    shard: Option<(Shard, u64)>,
    /// The INFO keys that records are to lose.
    keys: Vec<String>,
    read: u64,
    /// The first record of the next group.
    held: Option<(VariantRecord, Vec<Resolved>)>,
}

impl<'a> Groups<'a> {
    pub(crate) fn new(
        reader: &'a mut VariantReader,
        path: &'a Path,
        shard: Option<(Shard, u64)>,
        keys: Vec<String>,
    ) -> Self {
        Self { reader, path, shard, keys, read: 0, held: None }
    }

    pub(super) fn header(&self) -> &VariantHeader {
        self.reader.header()
    }

    /// The next group; one without records is the end.
    ///
    /// A group ends where the next record's window of the grid is another one than the last record's, so that a window of
    /// sorted records is computed once; and where its records take much memory.
    pub(crate) fn next(&mut self, scorer: &Scorer) -> Result<Group, ScoreError> {
        let mut group = Group::default();
        let mut last_window = None;
        let records = if scorer.gathers() { RECORDS_OF_GPUS } else { RECORDS };
        while let Some((record, alleles)) = self.take(scorer)? {
            let window = grid_window(&alleles, scorer);
            if group.is_full(records, window.is_some() && window == last_window) {
                self.held = Some((record, alleles));
                break;
            }
            last_window = window;
            group.push(record, alleles);
        }
        Ok(group)
    }

    fn take(&mut self, scorer: &Scorer) -> Result<Option<(VariantRecord, Vec<Resolved>)>, ScoreError> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        while let Some(record) = self.reader.read()? {
            let number = self.read;
            self.read += 1;
            match self.shard {
                Some((shard, all)) if shard.of(number, all) < shard.index() => {}
                Some((shard, all)) if shard.of(number, all) > shard.index() => return Ok(None),
                _ => {
                    let record = record.without_info(&self.keys);
                    let alleles = resolve(&record, self.path, scorer.reference(), scorer.options())?;
                    return Ok(Some((record, alleles)));
                }
            }
        }
        Ok(None)
    }
}

/// The window that the first allele is read in, where windows are shared.
fn grid_window(alleles: &[Resolved], scorer: &Scorer) -> Option<(usize, Range<u64>)> {
    let options = scorer.options();
    let (edit, span) = alleles.iter().flatten().next()?;
    let shares = options.scores.contains(&Score::Wildtype);
    shares.then(|| (edit.contig, window::on_grid(edit.start, options.context.get(), span)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_full_by_records_or_by_bytes() {
        let mut group = Group::default();
        assert!(!group.is_full(RECORDS, false));
        group.bytes = BYTES;
        assert!(group.is_full(RECORDS, true));
    }
}
