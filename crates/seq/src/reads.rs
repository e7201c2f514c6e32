//! Reads: the sequences of BAM and CRAM files.
//!
//! ```text
//! reference  5' ...ACGTTGCA------GGATCC... 3'
//! BAM row           TTgcagg (flag 0x10, stored along the reference)
//! window            cctgcAA (as the sequencer read it, strand -)
//! ```
//!
//! Each record that passes the [`ReadFilter`] is one [`Window`](crate::window::Window): its bases as they were
//! sequenced, soft clips included. A window's `start` and `end` are the span of the alignment on the reference, so that
//! a read with clips or indels is longer or shorter than its span. Hard-clipped bases are not in the file and therefore
//! not in the window. Bases written as `=` (the reference's base) are given as `N`. A paired read's name ends in `/1` or
//! `/2`.
//!
//! Files are read in file order and each record once, however many intervals it overlaps. With an index
//! (`.bai`, `.csi`, `.crai`) that is not older than the file only the parts that hold wanted reads are read; without
//! one the whole file is, with the same result.

mod bam;
mod bounded;
mod counts;
#[cfg(feature = "cram")]
mod cram;
mod error;
mod file;
mod filter;
mod index_check;
mod overlap;
mod source;
mod windows;

pub use self::{
    counts::{ReadCounts, ReadTotals},
    error::{ReadError, ReadErrorKind},
    file::ReadFile,
    filter::ReadFilter,
    windows::ReadWindows,
};

#[cfg(test)]
mod tests;
