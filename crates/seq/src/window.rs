//! Windows: the stretches of sequence that are handed to a model.
//!
//! ```text
//! contigs | regions | BED        reads
//!        │ + options               │ + filter
//!        ▼                         ▼
//!   WindowPlan  (lengths only)     │
//!        │  shard                  │
//!        ▼                         ▼
//!   GenomeWindows   StreamWindows  ReadWindows      each one yields Window after Window, in order
//! ```
//!
//! A plan is made from contig lengths alone: how many windows there are, where each one lies and which shard it belongs
//! to are known before a base is read. [`StreamWindows`] gives the same windows from a stream whose lengths are not known
//! beforehand. A source holds one window's bases at a time, and the stream one stride more.

mod counts;
mod cut;
mod genome;
mod mask;
mod options;
mod plan;
mod shard;
mod source;
mod stream;
mod tiling;

pub(crate) use self::cut::count_ambiguous;
pub use self::{
    counts::WindowCounts,
    genome::GenomeWindows,
    mask::SoftMask,
    options::{Partial, WindowOptions, WindowSize},
    plan::{PlanError, PlannedWindow, Targets, WindowPlan},
    shard::{ParseShardError, Shard},
    source::{SourceError, WindowSource},
    stream::StreamWindows,
};
use crate::strand::Strand;

/// A stretch of sequence in the orientation in which a model reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Window {
    /// Ordinal in the whole run, whatever the shard; 0-based.
    pub index: u64,
    /// The BED name, the read's name, the contig's name for a whole contig, else `contig:start-end` (1-based, closed).
    pub name: String,
    /// Contig name as its own file spells it; `*` for an unmapped read.
    pub contig: String,
    /// First base on the contig's forward strand; 0-based.
    pub start: u64,
    /// One past the last base on the contig's forward strand; 0-based. Padding is not part of it.
    pub end: u64,
    /// The strand that `bases` spell.
    pub strand: Strand,
    /// Upper-case bases from 5' to 3' of `strand`, then `n_padded` times `N`.
    pub bases: Vec<u8>,
    /// How many `N` were added at the end of `bases`.
    pub n_padded: u64,
    /// Which of `bases` were lower-case in the file; none of a read's.
    pub soft_mask: SoftMask,
    /// How many bases are none of A, C, G, T; padding is not counted.
    pub n_ambiguous: u64,
}

#[cfg(test)]
mod tests;
