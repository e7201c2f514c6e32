//! Windows and reads to pooled embeddings in Parquet.
//!
//! ```text
//! reader thread               compute                                     writer thread
//! WindowSource ─► batches ─►  short windows: a worker for each thread  ─► EmbeddingWriter
//!                             long windows: one by one, all threads
//! ```
//!
//! A [`Job`] says what to embed, how, and where to; [`Plan::new`] opens the input and checks that all of it fits
//! together; [`Plan::run`] does it. Rows come in the order of the windows, with the same bits whatever the threads,
//! batches and chunks, so that the output is the same bytes each time. Nothing is printed: a [`Watch`](longstrand_model::Watch) is told.
//!
//! A batch is bounded by tokens, and there are three at most: one being read, one being computed, one being written. So
//! memory does not grow with the input. A run that is resumed reads the windows that are done, to count them, and computes
//! the others.
//!
//! ```no_run
//! use longstrand_embed::{InputOptions, Job, Plan};
//! use longstrand_kernels::simd::Level;
//! use longstrand_model::Unwatched;
//! use longstrand_model::checkpoint::Checkpoint;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let job = Job::new(InputOptions::new("genome.fa"), "out.parquet");
//! let outcome = Plan::new(job, &Checkpoint::builtin()?, Level::detect()?)?.run(&Unwatched)?;
//! println!("{} rows", outcome.written.rows);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod embedder;
mod error;
mod estimate;
mod input;
mod options;
mod plan;
mod pool;
mod provenance;
mod run;
mod warning;

pub use embedder::Embedder;
pub use error::{EmbedError, UsageError};
pub use input::{InputOptions, Planned, ReadOptions};
pub use options::{ComputeOptions, EmbedOptions, Equivariant, Layers, SpecialTokens, Strands};
pub use plan::{Job, Outcome, OutputOptions, Plan};
pub use pool::Pool;
pub use run::Counts;
