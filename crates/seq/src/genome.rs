//! Genomes: FASTA and 2bit files, read at random or from end to end.
//!
//! | file | random access |
//! |---|---|
//! | FASTA | by its `.fai`, or an index built in memory |
//! | bgzip FASTA | by its `.fai` and `.gzi`, or indexes built in memory |
//! | gzip FASTA, FASTA from a pipe, FASTA of uneven lines | read once into 2 bits a base |
//! | 2bit | as it is |
//!
//! How FASTA is read: a record starts with `>` and its name ends at the first space or tab. Lines may end in LF or CRLF and the
//! last one need not end. Blank lines, and lines that start with `;`, are skipped. A record may have no bases. A sequence consists of
//! IUPAC nucleotide codes, `X` (masked), `-`, `*` and `.`; anything else, such as the letters of a protein, is an error.

mod base;
mod fai;
mod gzi;
mod indexed;
mod lines;
mod packed;
mod page;
mod runs;
mod slice;
mod stream;
mod two_bit;

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

pub(crate) use base::first_foreign;
pub use fai::{IndexError, IndexErrorKind};
pub use packed::packed_bytes;
pub use slice::{SliceError, SliceErrorKind};
pub use stream::{FastaError, FastaErrorKind, FastaStream};
pub use two_bit::{TwoBitError, TwoBitErrorKind};

use crate::{
    contig::{Contig, Contigs},
    error::Error,
    input::{Compression, Input, InputError, InputKind},
};
use slice::Slices;

/// What a genome is read from.
const EXPECTED: &str = "a FASTA or 2bit file";

/// How a genome is to be understood.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct GenomeOptions {
    /// A record named `contig:start-end` (1-based, closed, as `samtools faidx` writes) stands for that interval of `contig`.
    pub sliced_reference: bool,
}

/// A genome that is read at random.
pub struct Genome {
    path: PathBuf,
    contigs: Contigs,
    slices: Slices,
    storage: Box<dyn Storage>,
    notice: Option<String>,
}

/// Where the bases of a file's records come from.
trait Storage: Send {
    /// Appends the bases of an interval (0-based, half-open, inside the record) in the file's orientation and case.
    fn read(&mut self, record: usize, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Error>;
}

/// A file's records and where their bases come from.
struct Opened {
    records: Vec<Contig>,
    storage: Box<dyn Storage>,
    notice: Option<String>,
}

impl Genome {
    /// Opens a FASTA or 2bit file; `-` is FASTA from standard input.
    ///
    /// # Errors
    ///
    /// - the file cannot be read, is truncated, or is neither FASTA nor 2bit
    /// - a `.fai` or `.gzi` beside it does not belong to it
    /// - two contigs have the same name
    /// - with `sliced_reference`, a record's length is not what its name says
    pub fn open(path: &Path, options: &GenomeOptions) -> Result<Self, Error> {
        let input = Input::open(path).map_err(|error| match error {
            Error::Input(error) => InputError { expected: EXPECTED, ..error }.into(),
            error => error,
        })?;
        Self::from_input(input, options)
    }

    /// Takes an input that was opened to see what it is. A pipe's FASTA is read whole into 2 bits a base.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn from_input(input: Input, options: &GenomeOptions) -> Result<Self, Error> {
        let path = &input.path().to_path_buf();
        let Opened { records, storage, notice } = open_storage(input)?;
        let (contigs, slices) = if options.sliced_reference {
            slice::sliced(path, &records)?
        } else {
            let slices = Slices::whole(&records);
            let contigs = Contigs::new(records).map_err(|source| Error::Contigs { path: path.into(), source })?;
            (contigs, slices)
        };
        Ok(Self { path: path.into(), contigs, slices, storage, notice })
    }

    /// The contigs in the file's order.
    pub fn contigs(&self) -> &Contigs {
        &self.contigs
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the bases of an interval (0-based, half-open) in the file's orientation and case.
    ///
    /// # Errors
    ///
    /// - the file does not have these bases
    /// - the file cannot be read
    ///
    /// # Panics
    ///
    /// When there are not so many contigs.
    pub fn read(&mut self, contig: usize, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some((record, inside)) = self.slices.locate(contig, &range) else {
            return Err(self.out_of_range(contig, range).into());
        };
        self.storage.read(record, inside, out)
    }

    /// Something that the user should know, such as that this file would be read faster in another form.
    pub fn notice(&self) -> Option<String> {
        self.notice.clone()
    }

    fn out_of_range(&self, contig: usize, range: Range<u64>) -> RangeError {
        RangeError {
            contig: self.contigs.get(contig).name.clone(),
            range,
            available: self.contigs.spans(contig).to_vec(),
        }
    }
}

fn open_storage(input: Input) -> Result<Opened, Error> {
    match input.kind() {
        InputKind::TwoBit if input.is_stream() => Err(wrong_kind(input.path(), "2bit from a pipe")),
        InputKind::TwoBit => two_bit::open(input.path()),
        InputKind::Fasta(_) if input.is_stream() => packed::open(
            FastaStream::from_input(input)?,
            "a pipe cannot be read at random, so it was read whole into 2 bits a base; a file avoids that",
        ),
        InputKind::Fasta(Compression::Gzip) => packed::open(
            FastaStream::from_input(input)?,
            "plain gzip cannot be read at random, so the file was read whole into 2 bits a base; bgzip avoids that",
        ),
        InputKind::Fasta(compression) => indexed::open(input.path(), compression),
        kind => Err(wrong_kind(input.path(), &kind.to_string())),
    }
}

fn wrong_kind(path: &Path, found: &str) -> Error {
    InputError { path: path.into(), expected: EXPECTED, found: found.into() }.into()
}

/// Bases are asked for that a genome does not have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RangeError {
    /// The contig's name.
    pub contig: String,
    /// What was asked for, 0-based, half-open.
    pub range: Range<u64>,
    /// What the file has of the contig, 0-based, half-open.
    pub available: Vec<Range<u64>>,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { contig, range, available } = self;
        let spans: Vec<_> = available.iter().map(|span| format!("{}-{}", span.start, span.end)).collect();
        let (expected, Range { start, end }) = (spans.join(" or "), range);
        write!(f, "contig {contig:?}: expected bases within {expected}, found {start}-{end} (0-based, half-open)")
    }
}

impl std::error::Error for RangeError {}

#[cfg(test)]
mod tests;
