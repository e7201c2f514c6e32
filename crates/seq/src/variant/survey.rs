use std::{collections::HashSet, ops::ControlFlow, path::Path, str};

use super::{VariantError, VariantErrorKind, VariantReader};
use crate::input::{is_stdin, is_stream};

/// What a writer needs to know of a file's records beforehand.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Survey {
    /// The number of records.
    pub records: u64,
    /// The contigs that records are on and the header does not declare, in the order in which they first appear.
    pub undeclared: Vec<String>,
}

/// Passes through the records of a file, or those that lie in regions, as [`VariantReader::open`] would give them.
/// `advanced` is told now and then how many have been passed, and may break off: then there is no survey.
///
/// Without regions nothing but the contig is looked at. An index is not asked: it may be older than its file.
///
/// # Errors
///
/// - the path is a stream, which could not be read again
/// - the file cannot be opened or read, as for [`VariantReader`]
pub fn survey(
    path: &Path,
    regions: &[String],
    advanced: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<Survey>, VariantError> {
    const BETWEEN: u64 = 1 << 12;
    if is_stdin(path) || is_stream(path) && path.metadata().is_ok() {
        return Err(VariantError::new(path, VariantErrorKind::Stream));
    }
    let mut reader = VariantReader::open(path, regions)?;
    let mut contigs = Undeclared::new(&reader);
    let mut line = Vec::new();
    let mut records = 0;
    while reader.skip(&mut line)? {
        contigs.add(&line);
        records += 1;
        if records % BETWEEN == 0 && advanced(records).is_break() {
            return Ok(None);
        }
    }
    Ok(Some(Survey { records, undeclared: contigs.found }))
}

/// Contigs that a header does not declare.
struct Undeclared {
    known: HashSet<String>,
    /// That of the last record.
    last: Vec<u8>,
    found: Vec<String>,
}

impl Undeclared {
    fn new(reader: &VariantReader) -> Self {
        let known = reader.header().contigs().iter().map(|contig| contig.name.clone()).collect();
        Self { known, last: Vec::new(), found: Vec::new() }
    }

    /// Takes a line or its first column. What is no contig's name is told when the record is read.
    fn add(&mut self, line: &[u8]) {
        let contig = &line[..memchr::memchr(b'\t', line).unwrap_or(line.len())];
        if contig == self.last || contig.is_empty() {
            return;
        }
        self.last = contig.to_vec();
        if let Ok(name) = str::from_utf8(contig)
            && self.known.insert(name.to_owned())
        {
            self.found.push(name.to_owned());
        }
    }
}
