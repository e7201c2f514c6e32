use std::{
    io::BufRead,
    path::{Path, PathBuf},
};

use super::{
    VariantHeader, VariantRecord,
    error::{VariantError, VariantErrorKind},
    header::ReadHeaderError,
    in_regions::RecordsInRegions,
    records::{ReadError, Records},
    sniff::Source,
};

/// Reads the records of a VCF or BCF file.
pub struct VariantReader {
    path: PathBuf,
    header: VariantHeader,
    records: Which,
}

enum Which {
    All(Records<Box<dyn BufRead + Send>>),
    InRegions(Box<RecordsInRegions>),
}

impl VariantReader {
    /// Opens a file, or standard input for `-`: VCF, plain, gzip or bgzip, or BCF, bgzip or raw, as its content tells.
    ///
    /// With `regions` (`20`, `chr20:1,001-2,000`: 1-based, both ends belong to them; another name of the same
    /// chromosome does) only the records are read that reach into one of them, each once, in the order of the file.
    /// This needs bgzip and an index beside the file: `.tbi` or `.csi`.
    ///
    /// # Errors
    ///
    /// - the file cannot be read, is cut off, or is neither VCF nor BCF
    /// - its header does not start with `##fileformat=VCF` or has no column names
    /// - with regions: the file cannot be searched, there is no index, or it is damaged or of another file
    /// - a region names no interval of the file's contigs
    pub fn open(path: &Path, regions: &[String]) -> Result<Self, VariantError> {
        let Source { form, compression, reader } = Source::open(path)?;
        let opened = Records::open(reader, form);
        let (records, header) = opened.map_err(|error| header_error(path, error))?;
        let records = match regions {
            [] => Which::All(records),
            _ => {
                let found = RecordsInRegions::open(path, form, compression, &header, records.dictionary(), regions)?;
                Which::InRegions(Box::new(found))
            }
        };
        Ok(Self { path: path.to_path_buf(), header, records })
    }

    /// The header. That of a BCF file is without its IDX numbers, as VCF has it.
    pub fn header(&self) -> &VariantHeader {
        &self.header
    }

    /// The index that regions are searched with, if it is older than the file: it may be of what the file held before.
    pub fn stale_index(&self) -> Option<&Path> {
        let Which::InRegions(records) = &self.records else { return None };
        let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
        let is_older = changed(records.index())? < changed(&self.path)?;
        is_older.then(|| records.index())
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    ///
    /// - the file cannot be read or is cut off
    /// - a record is not what VCF says a record is
    pub fn read(&mut self) -> Result<Option<VariantRecord>, VariantError> {
        match &mut self.records {
            Which::All(records) => records.next().map_err(|error| read_error(&self.path, error)),
            Which::InRegions(records) => {
                let record = records.next();
                record.map_err(|error| through_index(records.index(), read_error(&self.path, error)))
            }
        }
    }

    /// Passes the next record, reading no more of it than it must. Says whether there was one.
    ///
    /// Of a record of text or in regions, `line` then has the first column at least; of one of a whole BCF file nothing.
    pub(super) fn skip(&mut self, line: &mut Vec<u8>) -> Result<bool, VariantError> {
        line.clear();
        match &mut self.records {
            Which::All(records) => records.skip(line).map_err(|error| read_error(&self.path, error)),
            Which::InRegions(_) => {
                let record = self.read()?;
                line.extend(record.iter().flat_map(|record| record.contig().bytes()));
                Ok(record.is_some())
            }
        }
    }
}

pub(super) fn header_error(path: &Path, error: ReadHeaderError) -> VariantError {
    match error {
        ReadHeaderError::Io(source) => VariantError::reading(path, source),
        ReadHeaderError::Header(error) => VariantError::new(path, VariantErrorKind::Header(error)),
    }
}

/// An error that a wrong index can be the cause of.
fn through_index(index: &Path, error: VariantError) -> VariantError {
    let VariantError { path, kind } = error;
    VariantError { path, kind: VariantErrorKind::ThroughIndex { index: index.to_path_buf(), error: Box::new(kind) } }
}

fn read_error(path: &Path, error: ReadError) -> VariantError {
    match error {
        ReadError::Io(source) => VariantError::reading(path, source),
        ReadError::Record(error) => VariantError::record(path, error),
    }
}
