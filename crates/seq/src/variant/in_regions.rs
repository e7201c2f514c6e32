//! The records of an indexed file that lie in regions.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use noodles_bgzf as bgzf;

use super::{
    VariantHeader, VariantRecord,
    bcf::Dictionary,
    error::{Place, RecordError, VariantError, VariantErrorKind},
    index::{self, Chunk, Index},
    reader::header_error,
    records::{ReadError, Records},
    regions::Regions,
    sniff::Form,
};
use crate::input::{BGZF_END, Compression, is_stream};

/// Records in the order of the file, each once.
pub(super) struct RecordsInRegions {
    records: Records<bgzf::io::Reader<File>>,
    regions: Regions,
    /// The stretches of the file that are still to be read, the next one last, apart from each other.
    chunks: Vec<Chunk>,
    /// Where the stretch ends that is being read.
    end: u64,
    read_count: u64,
    index: PathBuf,
}

impl RecordsInRegions {
    pub(super) fn open(
        path: &Path,
        form: Form,
        compression: Compression,
        header: &VariantHeader,
        dictionary: Option<&Dictionary>,
        regions: &[String],
    ) -> Result<Self, VariantError> {
        let found = match compression {
            _ if is_stream(path) => Some("a stream"),
            Compression::None => Some("a file that is not compressed"),
            Compression::Gzip => Some("gzip"),
            Compression::Bgzip => None,
        };
        if let Some(found) = found {
            return Err(VariantError::new(path, VariantErrorKind::NotSearchable { found }));
        }
        let file = open_whole(path).map_err(|source| VariantError::reading(path, source))?;
        let (index_path, index) = open_index(path, form)?;
        let indexed = index.names.as_deref().unwrap_or_default();
        let regions = Regions::parse(regions, header.contigs(), indexed)
            .map_err(|error| VariantError::new(path, VariantErrorKind::Region(error)))?;
        let chunks = find(&index, &regions, dictionary);
        let opened = Records::open(bgzf::io::Reader::new(file), form);
        let (records, _) = opened.map_err(|error| header_error(path, error))?;
        Ok(Self { records, regions, chunks, end: 0, read_count: 0, index: index_path })
    }

    /// The index that tells where records are.
    pub(super) fn index(&self) -> &Path {
        &self.index
    }

    pub(super) fn next(&mut self) -> Result<Option<VariantRecord>, ReadError> {
        while self.is_in_chunk()? {
            self.read_count += 1;
            let place = Place::InRegions(self.read_count);
            let record = self.records.next().map_err(|error| match error {
                ReadError::Record(error) => ReadError::Record(RecordError { place, ..error }),
                error @ ReadError::Io(_) => error,
            })?;
            let Some(record) = record else {
                self.end = 0;
                continue;
            };
            if self.regions.hold(&record) {
                return Ok(Some(record.placed(place)));
            }
        }
        Ok(None)
    }

    /// Whether there is more to read; goes to the next stretch where one ends.
    fn is_in_chunk(&mut self) -> io::Result<bool> {
        let reader = &mut self.records.reader;
        if u64::from(reader.virtual_position()) < self.end {
            return Ok(true);
        }
        let Some(chunk) = self.chunks.pop() else { return Ok(false) };
        reader.seek(chunk.start.into())?;
        self.end = chunk.end;
        Ok(true)
    }
}

/// Opens a bgzip file and checks that it ends as a whole one does.
fn open_whole(path: &Path) -> io::Result<File> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut last = [0; BGZF_END.len()];
    file.seek(SeekFrom::Start(length.saturating_sub(last.len() as u64)))?;
    file.read_exact(&mut last)?;
    if last != BGZF_END {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the block that ends a bgzip file is missing"));
    }
    file.rewind()?;
    Ok(file)
}

fn open_index(path: &Path, form: Form) -> Result<(PathBuf, Index), VariantError> {
    let beside = |extension: &str| -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(extension);
        name.into()
    };
    let (tbi, csi) = (beside(".tbi"), beside(".csi"));
    let usual = if form == Form::Text { &tbi } else { &csi };
    let Some(index) = [usual, &csi].into_iter().find(|index| index.exists()) else {
        return Err(VariantError::new(path, VariantErrorKind::NoIndex { index: usual.clone() }));
    };
    let read = || {
        let read = index::read(&fs::read(index)?, fs::metadata(path)?.len())?;
        if form == Form::Text && read.names.is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it names no contigs"));
        }
        Ok((index.clone(), read))
    };
    read().map_err(|source| VariantError::new(path, VariantErrorKind::Index { index: index.clone(), source }))
}

/// The stretches that hold what the regions ask for, the first one last.
fn find(index: &Index, regions: &Regions, dictionary: Option<&Dictionary>) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for (contig, intervals) in regions.iter() {
        let number = match (dictionary, &index.names) {
            (Some(dictionary), _) => dictionary.contig(contig),
            (None, names) => names.iter().flatten().position(|name| name == contig),
        };
        if let Some(number) = number {
            chunks.extend(intervals.iter().flat_map(|interval| index.chunks(number, interval)));
        }
    }
    chunks.sort_unstable_by_key(|chunk| chunk.start);
    chunks.dedup_by(|next, last| {
        let touch = next.start <= last.end;
        if touch {
            last.end = last.end.max(next.end);
        }
        touch
    });
    chunks.reverse();
    chunks
}
