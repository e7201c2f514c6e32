mod destination;
mod indexing;
mod sink;
mod temporary;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use tempfile::NamedTempFile;

pub use destination::{VariantFormat, VariantOutput};
pub use indexing::NoIndex;

use super::{
    VariantHeader, VariantRecord,
    bcf::{self, Dictionary, Encoder},
    error::VariantError,
};
use indexing::Indexing;
use sink::Sink;

/// Writes a VCF or BCF file under a temporary name, which it keeps until it is whole.
///
/// Dropping the writer removes what it wrote; for a process that exits without that there is
/// [`VariantOutput::remove_temporaries`].
pub struct VariantWriter {
    output: VariantOutput,
    file: Option<NamedTempFile>,
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
    pub fn create(
        output: &VariantOutput,
        format: VariantFormat,
        header: &VariantHeader,
        replace: bool,
    ) -> Result<Self, VariantError> {
        let failed = VariantError::writing(output.path());
        let (file, raw): (_, Box<dyn Write + Send>) = match output {
            VariantOutput::Stdout => (None, Box::new(io::stdout())),
            VariantOutput::File(path) => {
                destination::check(path, replace)?;
                let file = temporary::create(path).map_err(&failed)?;
                let handle = file.as_file().try_clone().map_err(&failed)?;
                (Some(file), Box::new(handle))
            }
        };
        let dictionary = (format == VariantFormat::Bcf).then(|| Dictionary::new(&bcf::without_idx(header)));
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
        self.line.clear();
        record.write_with(added, &mut self.line);
        let bytes = match &mut self.encoder {
            None => {
                self.line.push(b'\n');
                &self.line
            }
            Some(encoder) => {
                self.bytes.clear();
                let encoded = encoder.encode(record, &self.line, &mut self.bytes);
                let path = self.output.path();
                encoded.map_err(|e| VariantError::record(path, record.error(e.expected, e.found)))?;
                &self.bytes
            }
        };
        let start = self.sink.virtual_offset();
        self.sink.write_all(bytes).map_err(VariantError::writing(self.output.path()))?;
        self.indexing.add(record, start, self.sink.virtual_offset());
        Ok(())
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
        // An index of the file that was there would be taken for one of this file.
        destination::remove_indexes(path).map_err(VariantError::writing(path))?;
        temporary::seal(file, path, replace)?;
        Ok(Finished { index: indexing.finish(path)? })
    }
}
