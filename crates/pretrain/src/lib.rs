//! Training DNA language models from the user's own genomes.
//!
//! ```text
//! genomes, BED ─ Sources ─ Splits ─ Sampler(seed, step, index) ─ Place ─ bases ─ Preparation ─ Batch {ids, labels, weights}
//! preset < file < flags ─ Settings ─ model, split, lengths, objective, schedule      initial weights      AdamW
//! both ─ Learner: a step's gradients and update ─ Pretraining: a run in its folder
//! ```
//!
//! What a step trains on is a pure function of seed, step and the index in the batch ([`random`]): it does not depend on
//! threads, devices, the order of calls, or on whether the run was interrupted.
#![forbid(unsafe_code)]

pub mod baseline;
pub mod batch;
pub mod collectives;
pub mod config;
pub mod data;
pub mod evaluate;
pub mod finetune;
pub mod generate;
pub mod init;
pub mod objective;
pub mod optimizer;
pub mod random;
pub mod regions;
pub mod report;
pub mod sample;
pub mod schedule;
pub mod source;
pub mod split;
pub mod train;
