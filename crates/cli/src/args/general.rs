//! Flags that every command takes.

use std::num::NonZeroUsize;
use std::thread;

/// The most threads that may be asked for: more is a slip, and would take longer to start than to wait for.
const MOST_THREADS: usize = 1024;

/// Flags that every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct GeneralOptions {
    /// Threads to compute with [default: all that this process may use]
    #[arg(short = '@', long, global = true, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    pub threads: Option<NonZeroUsize>,
    /// Show no progress and no notes; warnings and errors stay
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

impl GeneralOptions {
    /// Threads to compute with: those asked for, or all that this process may use, or 1 where the system does not say.
    pub fn threads(&self) -> NonZeroUsize {
        self.threads.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text.parse::<NonZeroUsize>().ok().filter(|threads| threads.get() <= MOST_THREADS);
    threads.ok_or_else(|| format!("expected a number from 1 to {MOST_THREADS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_bounded() {
        assert_eq!(threads("2").map(NonZeroUsize::get), Ok(2));
        for wrong in ["0", "1025", "-1", "all"] {
            assert_eq!(threads(wrong), Err("expected a number from 1 to 1024".into()), "{wrong}");
        }
    }
}
