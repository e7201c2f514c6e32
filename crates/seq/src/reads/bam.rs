use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

use noodles_bam as bam;
use noodles_bgzf as bgzf;
use noodles_core::Position;
use noodles_csi::{
    self as csi, BinningIndex,
    binning_index::{index::reference_sequence::bin::Chunk, merge_chunks},
};
use noodles_sam as sam;

use super::{
    bounded::BoundedRecords,
    index_check::{self, Indexed},
    overlap::Intervals,
    source::Source,
};

/// The records of a BAM file, all of them or those in some chunks of it.
pub(super) struct BamRecords {
    reader: bam::io::Reader<BoundedRecords<Source>>,
    record: bam::Record,
    /// What is left to read; none for the rest of the file.
    chunks: Option<std::vec::IntoIter<Chunk>>,
    chunk_end: bgzf::VirtualPosition,
}

impl BamRecords {
    pub(super) fn open(source: Source) -> io::Result<(Self, sam::Header)> {
        let mut reader = bam::io::Reader::from(BoundedRecords::new(source));
        let header = reader.read_header()?;
        reader.get_mut().start_records();
        let records =
            Self { reader, record: bam::Record::default(), chunks: None, chunk_end: bgzf::VirtualPosition::MIN };
        Ok((records, header))
    }

    pub(super) fn source(&mut self) -> &mut Source {
        self.reader.get_mut().get_mut()
    }

    /// Reads from here on only what an index says may overlap the intervals; an index that does not reach as far as
    /// they do is [`io::ErrorKind::InvalidData`].
    pub(super) fn restrict(&mut self, index: &dyn BinningIndex, intervals: &Intervals) -> io::Result<()> {
        let mut chunks = Vec::new();
        for interval in intervals.iter() {
            let range = position(interval.start + 1)?..=position(interval.end)?;
            let of_interval = index.query(interval.contig, range.into());
            chunks.extend(of_interval.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?);
        }
        self.chunks = Some(merge_chunks(&chunks).into_iter());
        Ok(())
    }

    pub(super) fn next(&mut self) -> io::Result<Option<&bam::Record>> {
        if !self.is_in_chunk()? {
            return Ok(None);
        }
        let n = self.reader.read_record(&mut self.record)?;
        Ok((n > 0).then_some(&self.record))
    }

    /// Moves on to the next chunk when this one is read up; false when there is none.
    fn is_in_chunk(&mut self) -> io::Result<bool> {
        let Some(chunks) = &mut self.chunks else {
            return Ok(true);
        };
        while self.reader.get_ref().virtual_position() >= self.chunk_end {
            let Some(chunk) = chunks.next() else {
                return Ok(false);
            };
            self.reader.get_mut().seek(chunk.start())?;
            self.chunk_end = chunk.end();
        }
        Ok(true)
    }
}

fn position(position: u64) -> io::Result<Position> {
    let position = usize::try_from(position).map_err(io::Error::other)?;
    Position::try_from(position).map_err(io::Error::other)
}

/// The index beside a BAM file, if there is one that is not older than the file.
pub(super) fn find_index(path: &Path) -> Option<PathBuf> {
    let appended = |extension: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(extension);
        PathBuf::from(name)
    };
    let candidates = [appended(".bai"), path.with_extension("bai"), appended(".csi"), path.with_extension("csi")];
    candidates.into_iter().find(|index| is_fresh(index, path))
}

/// Whether an index exists and was not written before the file it is of.
pub(super) fn is_fresh(index: &Path, path: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|m: Metadata| m.modified());
    match (modified(index), modified(path)) {
        (Ok(index), Ok(file)) => index >= file,
        _ => false,
    }
}

/// Reads an index; one that is no whole index of the file is [`io::ErrorKind::InvalidData`].
pub(super) fn read_index(path: &Path, of: Indexed) -> io::Result<Box<dyn BinningIndex>> {
    let bytes = fs::read(path)?;
    let is_csi = path.extension().is_some_and(|extension| extension == "csi");
    let is_whole = if is_csi { index_check::is_csi(&bytes, of) } else { index_check::is_bai(&bytes, of) };
    if !is_whole {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if is_csi {
        Ok(Box::new(csi::io::Reader::new(bytes.as_slice()).read_index()?))
    } else {
        Ok(Box::new(bam::bai::io::Reader::new(bytes.as_slice()).read_index()?))
    }
}
