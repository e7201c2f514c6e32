//! Zoom levels.
//!
//! A record of a level sums up the values inside one cell of a grid that begins with the contig; it reaches from the
//! first of them to the last, since readers take values to be spread evenly over a record. A cell of one level is made of
//! 4 cells of the level below, so that a record goes up when its cell is done.

use std::io;
use std::path::Path;

use super::blocks::{Blocks, Extent};
use super::summary::{RECORD_BYTES, Summary};

/// Bases in a cell of the lowest level.
const FIRST_CELL: u32 = 32;
/// Cells that become one cell of the next level.
const STEP: u32 = 4;
const LEVELS: u32 = 10;
/// Records of a block, at most.
pub(super) const BLOCK_RECORDS: usize = 512;

/// All levels, and the summary of the track.
#[derive(Debug)]
pub(super) struct Zoom {
    contig: u32,
    levels: Vec<Level>,
    total: Option<Summary>,
}

/// One level.
#[derive(Debug)]
pub(super) struct Level {
    /// Bases in a cell.
    pub(super) cell: u32,
    pub(super) blocks: Blocks,
    pub(super) records: u64,
    /// The record of the cell at hand.
    open: Option<Summary>,
    /// Records that wait until they fill a block, and their extent.
    block: Vec<u8>,
    extent: Option<Extent>,
}

impl Zoom {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let levels = (0..LEVELS).map(|level| Level::create(folder, FIRST_CELL * STEP.pow(level)));
        Ok(Self { contig: 0, levels: levels.collect::<io::Result<_>>()?, total: None })
    }

    pub(super) fn begin_contig(&mut self, number: u32) {
        self.contig = number;
    }

    pub(super) fn push(&mut self, mut start: u32, mut values: &[f32]) -> io::Result<()> {
        while !values.is_empty() {
            let room = (FIRST_CELL - start % FIRST_CELL) as usize;
            let (now, later) = values.split_at(values.len().min(room));
            let part = Summary::of(self.contig, start, now);
            match &mut self.total {
                Some(total) => total.merge(&part),
                total => *total = Some(part),
            }
            self.add(0, part)?;
            (start, values) = (start + now.len() as u32, later);
        }
        Ok(())
    }

    /// Adds to a level, and what that completes to the levels above.
    fn add(&mut self, level: usize, part: Summary) -> io::Result<()> {
        let mut part = part;
        for level in &mut self.levels[level..] {
            match level.add(part)? {
                Some(completed) => part = completed,
                None => break,
            }
        }
        Ok(())
    }

    pub(super) fn end_contig(&mut self) -> io::Result<()> {
        for level in 0..self.levels.len() {
            if let Some(last) = self.levels[level].end_contig()? {
                self.add(level + 1, last)?;
            }
        }
        Ok(())
    }

    /// The summary of the track, if it has values, and the levels of which each has fewer records than the one below,
    /// the lowest fewer than half as many as there are values.
    pub(super) fn into_parts(self) -> (Option<Summary>, Vec<Level>) {
        let mut most = self.total.map_or(0, |total| total.count / 2);
        let fewer = |level: &Level| level.records < std::mem::replace(&mut most, level.records);
        (self.total, self.levels.into_iter().take_while(fewer).collect())
    }
}

impl Level {
    fn create(folder: &Path, cell: u32) -> io::Result<Self> {
        let blocks = Blocks::create(folder)?;
        Ok(Self { cell, blocks, records: 0, open: None, block: Vec::new(), extent: None })
    }

    /// Adds to the record at hand, or begins the next one and returns the one that is complete.
    fn add(&mut self, part: Summary) -> io::Result<Option<Summary>> {
        let cell = |summary: &Summary| summary.extent.start / self.cell;
        match &mut self.open {
            Some(open) if cell(open) == cell(&part) => {
                open.merge(&part);
                Ok(None)
            }
            open => {
                let completed = open.replace(part);
                self.write(completed)
            }
        }
    }

    fn end_contig(&mut self) -> io::Result<Option<Summary>> {
        let completed = self.open.take();
        let completed = self.write(completed)?;
        self.end_block()?;
        Ok(completed)
    }

    /// Writes a record, and hands it on.
    fn write(&mut self, record: Option<Summary>) -> io::Result<Option<Summary>> {
        let Some(record) = record else {
            return Ok(None);
        };
        self.records += 1;
        self.block.extend(record.record());
        let extent = self.extent.get_or_insert(record.extent);
        extent.end = record.extent.end;
        if self.block.len() == BLOCK_RECORDS * RECORD_BYTES {
            self.end_block()?;
        }
        Ok(Some(record))
    }

    fn end_block(&mut self) -> io::Result<()> {
        let Some(extent) = self.extent.take() else {
            return Ok(());
        };
        self.blocks.push(extent, &self.block)?;
        self.block.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(lengths: &[usize]) -> Vec<(u32, u64)> {
        let folder = tempfile::tempdir().unwrap();
        let mut zoom = Zoom::create(folder.path()).unwrap();
        for (contig, &length) in lengths.iter().enumerate() {
            zoom.begin_contig(contig as u32);
            zoom.push(0, &vec![1.0; length]).unwrap();
            zoom.end_contig().unwrap();
        }
        let (total, levels) = zoom.into_parts();
        assert_eq!(total.map_or(0, |total| total.count), lengths.iter().sum::<usize>() as u64);
        levels.iter().map(|level| (level.cell, level.records)).collect()
    }

    #[test]
    fn levels_end_where_they_save_nothing() {
        assert_eq!(records(&[]), []);
        assert_eq!(records(&[2]), []);
        assert_eq!(records(&[4]), [(32, 1)]);
        assert_eq!(records(&[100, 33]), [(32, 6), (128, 2)]);
        assert_eq!(records(&[2_049]), [(32, 65), (128, 17), (512, 5), (2_048, 2), (8_192, 1)]);
    }
}
