//! Flags that every command takes.

use std::num::NonZeroUsize;

use anyhow::Context;

/// Flags that every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct GeneralOptions {
    /// Threads to compute with [default: all that this process may use]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Show no progress and no notes; warnings and errors stay
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

impl GeneralOptions {
    /// Sets the number of threads for the whole process.
    ///
    /// # Errors
    ///
    /// When the threads cannot be started.
    pub fn start_threads(&self) -> anyhow::Result<()> {
        let Some(threads) = self.threads else {
            return Ok(());
        };
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .build_global()
            .with_context(|| format!("cannot start {threads} threads"))
    }
}
