mod reference;

use std::{
    collections::BTreeSet,
    io::{self, SeekFrom},
    path::{Path, PathBuf},
    vec,
};

use noodles_cram::{self as cram, crai, io::reader::Container};
use noodles_fasta as fasta;
use noodles_sam::{self as sam, alignment::RecordBuf};

use self::reference::Reference;
use super::{bam::is_fresh, overlap::Intervals, source::Source};
use crate::genome::Genome;

/// The records of a CRAM file, all of them or those in some of its containers.
///
/// One container's records are in memory, and of the reference the contigs that the last one needed.
pub(super) struct CramRecords {
    reader: cram::io::Reader<Source>,
    header: sam::Header,
    repository: fasta::Repository,
    container: Container,
    records: vec::IntoIter<RecordBuf>,
    record: RecordBuf,
    /// Where the containers that are left to read begin; none for the rest of the file.
    offsets: Option<vec::IntoIter<u64>>,
}

impl CramRecords {
    pub(super) fn open(source: Source, genome: Option<Genome>) -> io::Result<(Self, sam::Header)> {
        let mut reader = cram::io::Reader::new(source);
        let header = reader.read_header()?;
        let repository = fasta::Repository::new(Reference::new(genome, &header));
        let reader = cram::io::reader::Builder::default()
            .set_reference_sequence_repository(repository.clone())
            .build_from_reader(reader.into_inner());
        let records = Self {
            reader,
            header: header.clone(),
            repository,
            container: Container::default(),
            records: Vec::new().into_iter(),
            record: RecordBuf::default(),
            offsets: None,
        };
        Ok((records, header))
    }

    /// Reads from here on only containers that an index says may overlap the intervals.
    pub(super) fn restrict(&mut self, index: &crai::Index, intervals: &Intervals) {
        let offsets: BTreeSet<u64> =
            index.iter().filter(|slice| overlaps(slice, intervals)).map(crai::Record::offset).collect();
        self.offsets = Some(offsets.into_iter().collect::<Vec<_>>().into_iter());
    }

    pub(super) fn next(&mut self) -> io::Result<Option<&RecordBuf>> {
        loop {
            if let Some(record) = self.records.next() {
                self.record = record;
                return Ok(Some(&self.record));
            }
            if !self.read_container()? {
                return Ok(None);
            }
        }
    }

    fn read_container(&mut self) -> io::Result<bool> {
        if let Some(offsets) = &mut self.offsets {
            let Some(offset) = offsets.next() else {
                return Ok(false);
            };
            self.reader.seek(SeekFrom::Start(offset))?;
        }
        if self.reader.read_container(&mut self.container)? == 0 {
            return Ok(false);
        }
        if self.repository.len() > 1 {
            self.repository.clear();
        }
        self.records = self.decode()?.into_iter();
        Ok(true)
    }

    fn decode(&self) -> io::Result<Vec<RecordBuf>> {
        let compression_header = self.container.compression_header()?;
        let mut decoded = Vec::new();
        for slice in self.container.slices() {
            let slice = slice?;
            let (core_data, external_data) = slice.decode_blocks()?;
            let records = slice.records(
                self.repository.clone(),
                &self.header,
                &compression_header,
                &core_data,
                &external_data,
            )?;
            for record in &records {
                decoded.push(RecordBuf::try_from_alignment_record(&self.header, record)?);
            }
        }
        Ok(decoded)
    }
}

fn overlaps(slice: &crai::Record, intervals: &Intervals) -> bool {
    let (Some(contig), Some(first)) = (slice.reference_sequence_id(), slice.alignment_start()) else {
        return false;
    };
    let start = first.get() as u64 - 1;
    let span = slice.alignment_span().max(1) as u64;
    intervals.overlaps(contig, start, start + span)
}

/// The index beside a CRAM file, if there is one that is not older than the file.
pub(super) fn find_index(path: &Path) -> Option<PathBuf> {
    let mut appended = path.as_os_str().to_owned();
    appended.push(".crai");
    let candidates = [PathBuf::from(appended), path.with_extension("crai")];
    candidates.into_iter().find(|index| is_fresh(index, path))
}
