mod destination;
mod indexing;
mod sink;

use std::{
    io::{self, Write},
    path::PathBuf,
};

pub use destination::{VariantFormat, VariantOutput};
pub use indexing::NoIndex;

use super::{
    VariantHeader, VariantRecord,
    bcf::{self, Dictionary, Encoder},
    error::{VariantError, VariantErrorKind},
};
use crate::whole_file::{WholeFile, Whose};
use indexing::Indexing;
use sink::Sink;

/// Writes a VCF or BCF file under a temporary name, which it keeps until it is whole.
///
/// Dropping the writer removes what it wrote; for a process that exits without that there is
/// [`VariantOutput::remove_temporaries`]. What killed processes have left of the same file goes when it is begun.
pub struct VariantWriter {
    output: VariantOutput,
    file: Option<WholeFile>,
    sink: Sink,
    encoder: Option<Encoder>,
    indexing: Indexing,
    replace: bool,
    line: Vec<u8>,
    bytes: Vec<u8>,
}

/// What became of a written file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finished {
    /// The path of the index, or why there is none.
    pub index: Result<PathBuf, NoIndex>,
}

impl VariantWriter {
    /// Starts a file and writes the header. A file that exists, and the indexes beside it, are only replaced if
    /// `replace` says so.
    ///
    /// # Errors
    ///
    /// - the file exists and is not to be replaced, or its name is taken by something other than a file
    /// - the folder does not exist, or the file cannot be created there
    /// - the file is BCF and the header has what that cannot hold
    pub fn create(
        output: &VariantOutput,
        format: VariantFormat,
        header: &VariantHeader,
        replace: bool,
    ) -> Result<Self, VariantError> {
        let failed = VariantError::writing(output.path());
        let header = &match format {
            VariantFormat::Bcf => bcf::for_bcf(header)
                .map_err(|error| VariantError::new(output.path(), VariantErrorKind::Header(error)))?,
            VariantFormat::Vcf | VariantFormat::VcfGz => header.clone(),
        };
        let (file, raw): (_, Box<dyn Write + Send>) = match output {
            VariantOutput::Stdout => (None, Box::new(io::stdout())),
            VariantOutput::File(path) => {
                destination::check(path, replace)?;
                destination::remove_temporaries(path, Whose::Nobodys);
                let file = WholeFile::create(path).map_err(&failed)?;
                let handle = file.handle().map_err(&failed)?;
                (Some(file), Box::new(handle))
            }
        };
        let dictionary = (format == VariantFormat::Bcf).then(|| Dictionary::new(header));
        let indexing = Indexing::new(output, format, header, dictionary.as_ref());
        let mut sink = match format {
            VariantFormat::Vcf => Sink::plain(raw),
            VariantFormat::VcfGz | VariantFormat::Bcf => Sink::bgzip(raw),
        };
        match format {
            VariantFormat::Bcf => bcf::write_header(header, &mut sink),
            VariantFormat::Vcf | VariantFormat::VcfGz => sink.write_all(&header.to_bytes()),
        }
        .map_err(&failed)?;
        let encoder = dictionary.map(Encoder::new);
        let output = output.clone();
        Ok(Self { output, file, sink, encoder, indexing, replace, line: Vec::new(), bytes: Vec::new() })
    }

    /// Writes a record with INFO fields put behind its own: keys and their values as text, empty for a flag. A key
    /// that the record has already is replaced; nothing else of it is changed.
    ///
    /// # Errors
    ///
    /// - the file cannot be written
    /// - the file is BCF and the record has a contig, filter or key that the header does not declare, a value that is not
    ///   of the declared type, or not as many samples as the header
    pub fn write(&mut self, record: &VariantRecord, added: &[(&str, &str)]) -> Result<(), VariantError> {
        self.encode(record, added)?;
        let start = self.sink.virtual_offset();
        self.sink.write_all(&self.bytes).map_err(VariantError::writing(self.output.path()))?;
        self.indexing.add(record, start, self.sink.virtual_offset());
        Ok(())
    }

    /// Tells what [`write`](Self::write) would find wrong with a record, and writes nothing.
    ///
    /// # Errors
    ///
    /// - the file is BCF and cannot hold the record
    pub fn check(&mut self, record: &VariantRecord) -> Result<(), VariantError> {
        if self.encoder.is_some() { self.encode(record, &[]) } else { Ok(()) }
    }

    /// Puts a record into `bytes` as the file is to have it.
    fn encode(&mut self, record: &VariantRecord, added: &[(&str, &str)]) -> Result<(), VariantError> {
        self.bytes.clear();
        let Some(encoder) = &mut self.encoder else {
            record.write_with(added, &mut self.bytes);
            self.bytes.push(b'\n');
            return Ok(());
        };
        self.line.clear();
        record.write_with(added, &mut self.line);
        let encoded = encoder.encode(record, &self.line, &mut self.bytes);
        let path = self.output.path();
        encoded.map_err(|e| VariantError::record(path, record.error(e.expected, e.found)))
    }

    /// Ends the file, makes it last, and gives it its name; then writes an index beside it, if the records came in
    /// order.
    ///
    /// # Errors
    ///
    /// - the file or its index cannot be written
    /// - the file exists by now and is not to be replaced
    pub fn finish(self) -> Result<Finished, VariantError> {
        let Self { output, file, sink, indexing, replace, .. } = self;
        sink.finish().map_err(VariantError::writing(output.path()))?;
        let (VariantOutput::File(path), Some(file)) = (&output, file) else {
            return Ok(Finished { index: Err(NoIndex::Stdout) });
        };
        if replace {
            // An index of the file that was there would be taken for one of this file.
            destination::remove_indexes(path).map_err(VariantError::writing(path))?;
        }
        file.seal(replace).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => VariantError::new(path, VariantErrorKind::Exists),
            _ => VariantError::writing(path)(error),
        })?;
        Ok(Finished { index: indexing.finish(path)? })
    }
}
