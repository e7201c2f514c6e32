use std::{
    fmt,
    io::BufWriter,
    path::{Path, PathBuf},
};

use super::{VariantFormat, VariantOutput, destination::beside};
use crate::{
    variant::{
        VariantHeader, VariantRecord,
        bcf::Dictionary,
        error::VariantError,
        index::{AddError, Chunk, IndexBuilder, Layout, TBI_REACH},
    },
    whole_file::WholeFile,
};

/// Why a file has no index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NoIndex {
    /// It is standard output.
    Stdout,
    /// It is plain text.
    PlainText,
    /// A record comes before one that stands further up, or its contig was left already.
    Unsorted {
        /// `contig:position` of the first such record, 1-based.
        locus: String,
    },
    /// A record reaches past the last position that the index can hold, on a contig whose length the header does not
    /// tell or tells wrongly.
    PastReach {
        /// `contig:position` of the first such record, 1-based.
        locus: String,
    },
}

impl fmt::Display for NoIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output has no index"),
            Self::PlainText => f.write_str("plain text has no index"),
            Self::Unsorted { locus } => write!(f, "the records are not sorted: {locus} comes too late"),
            Self::PastReach { locus } => write!(f, "{locus} reaches past the last position that the index can hold"),
        }
    }
}

/// An index that grows with its file, as long as one can be made.
pub(super) struct Indexing {
    builder: Result<IndexBuilder, NoIndex>,
    layout: Layout,
}

impl Indexing {
    pub(super) fn new(
        output: &VariantOutput,
        format: VariantFormat,
        header: &VariantHeader,
        dictionary: Option<&Dictionary>,
    ) -> Self {
        let reach = reach(header, format);
        let layout = if format == VariantFormat::VcfGz && reach <= TBI_REACH { Layout::Tbi } else { Layout::Csi };
        let builder = match (output, format) {
            (VariantOutput::Stdout, _) => Err(NoIndex::Stdout),
            (_, VariantFormat::Vcf) => Err(NoIndex::PlainText),
            _ => Ok(IndexBuilder::new(reach, dictionary.map(Dictionary::contig_names).as_deref())),
        };
        Self { builder, layout }
    }

    /// Adds a record that was written between two virtual offsets.
    pub(super) fn add(&mut self, record: &VariantRecord, start: u64, end: u64) {
        let Ok(builder) = &mut self.builder else { return };
        let added = builder.add(record.contig(), record.start(), record.reach(), Chunk { start, end });
        let locus = || format!("{}:{}", record.contig(), record.position());
        match added {
            Ok(()) => {}
            Err(AddError::Unsorted) => self.builder = Err(NoIndex::Unsorted { locus: locus() }),
            Err(AddError::PastReach) => self.builder = Err(NoIndex::PastReach { locus: locus() }),
        }
    }

    /// Writes the index beside its file.
    pub(super) fn finish(self, path: &Path) -> Result<Result<PathBuf, NoIndex>, VariantError> {
        let index = match self.builder {
            Ok(builder) => builder.finish(),
            Err(reason) => return Ok(Err(reason)),
        };
        let path = beside(path, if self.layout == Layout::Tbi { ".tbi" } else { ".csi" });
        let failed = VariantError::writing(&path);
        let file = WholeFile::create(&path).map_err(&failed)?;
        let handle = file.handle().map_err(&failed)?;
        index.write(self.layout, BufWriter::new(handle)).map_err(&failed)?;
        file.seal(true).map_err(&failed)?;
        Ok(Ok(path))
    }
}

/// One past the last position that there may be a record at: BCF holds 2^31 of them.
fn reach(header: &VariantHeader, format: VariantFormat) -> u64 {
    const UNKNOWN: u64 = 1 << 31;
    let lengths = header.contigs().iter().map(|contig| contig.length);
    match format {
        // A telomere lies one past the last base.
        VariantFormat::Bcf => {
            lengths.map(|length| length.map_or(UNKNOWN, |length| length + 1)).max().unwrap_or(UNKNOWN)
        }
        _ => lengths.flatten().max().unwrap_or(0),
    }
    .min(UNKNOWN)
}
