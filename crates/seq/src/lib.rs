//! From FASTA, 2bit, BAM, CRAM and BED files to windows of bases and token ids.
//!
//! ```text
//! FASTA  plain, gzip, bgzip ┐
//! 2bit                      ├─ Genome (random access) ─┐
//! FASTA from a pipe ────────┴─ FastaStream ────────────┼─ Window {contig, start, end, strand, bases} ─ Vocabulary ─ ids
//! BAM, CRAM ────────────────── reads ──────────────────┘
//! ```
//!
//! Coordinates are 0-based and half-open everywhere inside. Only region strings and the names of sliced records
//! (`20:1,001-2,000`) are 1-based and closed, as samtools writes them.
//!
//! Bases are bytes: letters of the IUPAC alphabet in either case (lower case is the soft mask), one byte a base.
#![forbid(unsafe_code)]

pub mod bed;
pub mod bgzip;
pub mod choice;
pub mod contig;
pub mod digest;
pub mod error;
mod fields;
pub mod genome;
pub mod input;
pub mod labelled;
pub mod reads;
pub mod region;
pub mod strand;
pub mod variant;
pub mod vocab;
pub mod whole_file;
pub mod window;

pub use choice::ParseChoiceError;
pub use contig::{Contig, Contigs};
pub use error::Error;
pub use genome::{FastaStream, Genome, GenomeOptions, packed_bytes};
pub use input::{Compression, Input, InputKind};
pub use region::Interval;
pub use strand::Strand;
pub use vocab::Vocabulary;
