//! Variants: VCF and BCF, read and written.
//!
//! ```text
//! VCF  plain, gzip, bgzip ┐                                      ┌ VCF  plain, bgzip + .tbi or .csi
//!                         ├─ VariantReader ─ VariantRecord ─ VariantWriter
//! BCF  raw, bgzip ────────┘                  (a line of VCF)     └ BCF  bgzip + .csi
//! ```
//!
//! A record is its line of text: what is not asked about is never taken apart, so a VCF passes through byte for byte
//! and only INFO is added to. BCF is turned into such lines and back. The price is that a record is not checked
//! against the header until BCF is written, which cannot hold what the header does not declare.
//!
//! Positions are 0-based and half-open, but for [`VariantRecord::position`], which is POS as the file has it.

mod allele;
mod bcf;
mod error;
mod extent;
mod header;
mod in_regions;
mod index;
mod info;
mod lines;
mod reader;
mod record;
mod records;
mod regions;
mod sniff;
mod survey;
mod writer;

#[cfg(test)]
mod tests;

pub use allele::Allele;
pub use error::{Place, RecordError, VariantError, VariantErrorKind};
pub use extent::{Extents, NoEnd};
pub use header::{HeaderContig, HeaderError, VariantHeader};
pub use reader::VariantReader;
pub use record::VariantRecord;
pub use survey::{Survey, survey};
pub use writer::{Finished, NoIndex, VariantFormat, VariantOutput, VariantWriter};
