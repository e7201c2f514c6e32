//! Alleles to likelihoods and distances between embeddings.
//!
//! ```text
//! VCF, BCF ─ records ─ resolve ─ Edit ─┬─ sites    (masked, wildtype)   ┐
//!                                      ├─ edits    (likelihood, embedding) ─ Task ─ crew ─ answers ─ scores ─ VCF, Parquet, TSV
//!                                      └─ anchored (likelihood)         ┘             │
//!                                                                                   journal
//! ```
//!
//! A score is a function of the variant, the reference, the model and the options alone. Work is shared between alleles
//! in tasks (see `task`), and no score depends on what it shares a task with. The price is that passes keep to grids: windows of
//! the contig for scores without masks, points of 64 bases for states.
//!
//! Coordinates inside are 0-based and half-open; those of VCF and of the columns `pos` are 1-based.

#![forbid(unsafe_code)]

mod allele;
mod anchored;
mod annotate;
mod conditions;
mod edits;
mod error;
mod estimate;
mod journal;
mod memory;
mod mutagenesis;
mod options;
mod predictor;
mod prefix;
mod provenance;
mod reference;
mod resolve;
mod run;
pub mod same_file;
mod scorer;
mod share;
mod sites;
mod tables;
mod targets;
mod task;
mod track;
mod trails;
mod warning;
mod window;

pub use annotate::ToldRun;
pub use error::ScoreError;
pub use mutagenesis::{Mutagenesis, MutagenesisPlan};
pub use options::{Anchor, RefMismatch, Score, ScoreOptions, Strands};
pub use prefix::{Prefix, PrefixError};
pub use run::{Counts, Job, Outcome, Outputs, Plan, ScoreCounts};
pub use track::{Track, TrackPlan, Tracked};
