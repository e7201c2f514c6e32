//! Records in groups that are scored together.

use std::ops::Range;
use std::path::Path;

use longstrand_seq::variant::{VariantHeader, VariantReader, VariantRecord};
use longstrand_seq::window::Shard;

use crate::error::ScoreError;
use crate::options::Score;
use crate::resolve::{Resolved, resolve};
use crate::scorer::Scorer;
use crate::window;

/// Records of a group, unless its last window has more.
const RECORDS: usize = 4_096;

/// The most records of a group.
const MOST_RECORDS: usize = 16 * RECORDS;

/// Records, and each one's alleles in order.
#[derive(Default)]
pub(super) struct Group {
    pub(super) records: Vec<VariantRecord>,
    pub(super) alleles: Vec<Resolved>,
}

/// The groups of a file or of a shard of it.
pub(super) struct Groups<'a> {
    reader: &'a mut VariantReader,
    path: &'a Path,
    /// A shard and the number of all records.
    shard: Option<(Shard, u64)>,
    read: u64,
    /// The first record of the next group.
    held: Option<(VariantRecord, Vec<Resolved>)>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(reader: &'a mut VariantReader, path: &'a Path, shard: Option<(Shard, u64)>) -> Self {
        Self { reader, path, shard, read: 0, held: None }
    }

    pub(super) fn header(&self) -> &VariantHeader {
        self.reader.header()
    }

    /// The next group; one without records is the end.
    ///
    /// A group ends where the next record's window of the grid is another one than the last record's, so that a window of
    /// sorted records is computed once.
    pub(super) fn next(&mut self, scorer: &Scorer) -> Result<Group, ScoreError> {
        let mut group = Group::default();
        let mut last_window = None;
        while let Some((record, alleles)) = self.take(scorer)? {
            let window = grid_window(&alleles, scorer);
            let is_full = match group.records.len() {
                ..RECORDS => false,
                RECORDS..MOST_RECORDS => window.is_none() || window != last_window,
                _ => true,
            };
            if is_full {
                self.held = Some((record, alleles));
                break;
            }
            last_window = window;
            group.records.push(record);
            group.alleles.extend(alleles);
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
