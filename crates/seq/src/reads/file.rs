use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use noodles_core::Position;
use noodles_sam::{self as sam, alignment::Record};

#[cfg(feature = "cram")]
use super::cram::{self, CramRecords};
use super::{
    ReadError, ReadErrorKind, ReadFilter, ReadWindows,
    bam::{self, BamRecords},
    index_check::Indexed,
    overlap::Intervals,
    source::Source,
};
use crate::{
    contig::{Contig, Contigs},
    genome::Genome,
    input::{Input, InputKind},
    region::Interval,
};

/// An opened BAM or CRAM file: its header is read, its records are not.
pub struct ReadFile {
    pub(super) path: PathBuf,
    pub(super) contigs: Contigs,
    header: sam::Header,
    records: Records,
    is_stream: bool,
    n_read: u64,
}

/// Where a record is put on the reference.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) interval: Interval,
    /// Whether the read is aligned there, or only its mate is.
    pub(super) is_aligned: bool,
}

enum Records {
    Bam(Box<BamRecords>),
    #[cfg(feature = "cram")]
    Cram(Box<CramRecords>),
}

impl ReadFile {
    /// Takes an opened input, a file or a stream. A CRAM file that is stored as differences from a reference needs
    /// `reference`, whose contigs are found by [`Contigs::resolve`]; BAM needs none.
    ///
    /// # Errors
    ///
    /// - the input is neither BAM nor CRAM, or it is CRAM and the build does without;
    /// - the header cannot be read;
    /// - a BAM file lacks the block that ends every whole one. Of a stream this is found out when it has ended.
    pub fn new(input: Input, reference: Option<Genome>) -> Result<Self, ReadError> {
        let (path, kind) = (input.path().to_owned(), input.kind());
        match open_source(input) {
            Ok(source) => Self::from_source(path, kind, source, reference),
            Err(e) => Err(ReadError::new(&path, ReadErrorKind::Io(e))),
        }
    }

    pub(super) fn from_source(
        path: PathBuf,
        kind: InputKind,
        source: Source,
        reference: Option<Genome>,
    ) -> Result<Self, ReadError> {
        let error = |kind| ReadError::new(&path, kind);
        let is_stream = source.is_stream();
        let (records, header) = match kind {
            InputKind::Bam => open_bam(source),
            InputKind::Cram => open_cram(source, reference),
            other => Err(ReadErrorKind::Format(other)),
        }
        .map_err(error)?;
        let contigs = list_contigs(&header).map_err(error)?;
        Ok(Self { path, contigs, header, records, is_stream, n_read: 0 })
    }

    /// The contigs that the header lists; region strings and BED intervals are to be resolved against these.
    pub fn contigs(&self) -> &Contigs {
        &self.contigs
    }

    /// The reads that pass `filter`, as windows.
    ///
    /// # Errors
    ///
    /// An index is there and cannot be read, or is damaged or of another file.
    pub fn windows(self, filter: ReadFilter) -> Result<ReadWindows, ReadError> {
        ReadWindows::new(self, filter)
    }

    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Uses the index, if there is one, to read no more than the intervals ask for.
    pub(super) fn restrict(&mut self, intervals: &Intervals) -> Result<(), ReadError> {
        if self.is_stream {
            return Ok(());
        }
        let index = match &self.records {
            Records::Bam(_) => bam::find_index(&self.path),
            #[cfg(feature = "cram")]
            Records::Cram(_) => cram::find_index(&self.path),
        };
        let Some(index) = index else { return Ok(()) };
        self.records
            .restrict(&index, self.contigs.len(), intervals)
            .map_err(|source| ReadError::index(&self.path, index, source))
    }

    /// What `take` makes of the next record, as it is stored, and its place; none at the end.
    pub(super) fn next<T>(
        &mut self,
        take: impl FnOnce(&dyn Record, Option<Place>) -> io::Result<T>,
    ) -> Result<Option<T>, ReadError> {
        self.n_read += 1;
        let taken = match self.records.next() {
            Ok(None) => return Ok(None),
            Ok(Some(record)) => place(record, &self.header, &self.contigs).and_then(|place| take(record, place)),
            Err(source) => Err(source),
        };
        taken.map(Some).map_err(|source| ReadError::record(&self.path, self.n_read, source))
    }

    /// Whether a stream that was read up ended as a whole file does.
    pub(super) fn check_end(&mut self) -> Result<(), ReadError> {
        match &mut self.records {
            Records::Bam(records) if self.is_stream => {
                check_bgzf_end(records.source()).map_err(|kind| ReadError::new(&self.path, kind))
            }
            _ => Ok(()),
        }
    }
}

impl Records {
    fn next(&mut self) -> io::Result<Option<&dyn Record>> {
        match self {
            Self::Bam(records) => Ok(records.next()?.map(|record| record as _)),
            #[cfg(feature = "cram")]
            Self::Cram(records) => Ok(records.next()?.map(|record| record as _)),
        }
    }

    fn restrict(&mut self, index: &Path, n_contigs: usize, intervals: &Intervals) -> io::Result<()> {
        match self {
            Self::Bam(records) => {
                let of = Indexed { n_contigs, n_bytes: records.source().n_bytes()? };
                records.restrict(&*bam::read_index(index, of)?, intervals)
            }
            #[cfg(feature = "cram")]
            Self::Cram(records) => {
                records.restrict(&noodles_cram::crai::fs::read(index)?, intervals);
                Ok(())
            }
        }
    }
}

/// A regular file is opened anew, to move about in it; anything else can be read once.
fn open_source(input: Input) -> io::Result<Source> {
    if input.is_stream() { Ok(Source::stream(input.into_reader())) } else { File::open(input.path()).map(Source::file) }
}

fn open_bam(mut source: Source) -> Result<(Records, sam::Header), ReadErrorKind> {
    if !source.is_stream() {
        check_bgzf_end(&mut source)?;
    }
    let (records, header) = BamRecords::open(source).map_err(ReadErrorKind::header)?;
    Ok((Records::Bam(Box::new(records)), header))
}

fn check_bgzf_end(source: &mut Source) -> Result<(), ReadErrorKind> {
    match source.has_bgzf_end() {
        Ok(true) => Ok(()),
        Ok(false) => Err(ReadErrorKind::Truncated),
        Err(e) => Err(ReadErrorKind::Io(e)),
    }
}

#[cfg(feature = "cram")]
fn open_cram(source: Source, reference: Option<Genome>) -> Result<(Records, sam::Header), ReadErrorKind> {
    let (records, header) = CramRecords::open(source, reference).map_err(ReadErrorKind::header)?;
    Ok((Records::Cram(Box::new(records)), header))
}

#[cfg(not(feature = "cram"))]
fn open_cram(_: Source, _: Option<Genome>) -> Result<(Records, sam::Header), ReadErrorKind> {
    Err(ReadErrorKind::NoCram)
}

fn list_contigs(header: &sam::Header) -> Result<Contigs, ReadErrorKind> {
    let contigs = header.reference_sequences().iter();
    let contigs = contigs.map(|(name, map)| Contig { name: name.to_string(), length: map.length().get() as u64 });
    Contigs::new(contigs.collect()).map_err(ReadErrorKind::Contigs)
}

/// Where a record is placed; none when it is nowhere.
///
/// An unmapped read may be placed where its mate is aligned, and stands there for one base, as in samtools.
fn place(record: &dyn Record, header: &sam::Header, contigs: &Contigs) -> io::Result<Option<Place>> {
    let contig = record.reference_sequence_id(header).transpose()?;
    let first = record.alignment_start().transpose()?;
    let (Some(contig), Some(first)) = (contig, first) else {
        return Ok(None);
    };
    if contig >= contigs.len() {
        let n = contigs.len();
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("expected a reference sequence below {n}, found {contig}"),
        ));
    }
    let start = first.get() as u64 - Position::MIN.get() as u64;
    if record.flags()?.is_unmapped() {
        let interval = Interval { contig, start, end: start + 1 };
        return Ok(Some(Place { interval, is_aligned: false }));
    }
    let span = record.alignment_span().transpose()?.unwrap_or(0) as u64;
    let interval = Interval { contig, start, end: start + span };
    Ok(Some(Place { interval, is_aligned: true }))
}
