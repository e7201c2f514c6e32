//! Ctrl-C, and the signals by which a batch system ends a job.
//!
//! The first one asks: long work looks at the flag between two steps and returns [`Interrupted`]. The second one ends
//! the process at once, after removing what must not be left behind. Signals that this process was told to ignore, as
//! `nohup` does with hangups, are left alone.

use std::error::Error;
use std::fmt;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

use crate::failure::say;

/// The exit code of an interrupted run.
pub const EXIT_CODE: u8 = 130;

type Cleanup = Box<dyn Fn() + Send>;

/// Whether this process has been asked to stop.
#[derive(Clone, Default)]
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    cleanups: Arc<Mutex<Vec<Cleanup>>>,
    quiet: bool,
}

impl Interrupt {
    /// Starts to listen for signals. To be called once. A quiet one does not say that it heard the first.
    ///
    /// # Errors
    ///
    /// When the system refuses the handler.
    pub fn listen(quiet: bool) -> anyhow::Result<Self> {
        let interrupt = Self { quiet, ..Self::default() };
        let heard = interrupt.clone();
        match ctrlc::try_set_handler(move || heard.signalled()) {
            // A signal is being ignored on purpose: then all of them do what they did before.
            Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(interrupt),
            Err(error) => Err(error).context("cannot listen for Ctrl-C"),
        }
    }

    /// The flag for long-running work to look at.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.flag.clone()
    }

    /// An error once a signal has come.
    ///
    /// # Errors
    ///
    /// [`Interrupted`].
    pub fn check(&self) -> Result<(), Interrupted> {
        match self.flag.load(Ordering::Relaxed) {
            true => Err(Interrupted),
            false => Ok(()),
        }
    }

    /// Adds something to do before a second signal ends the process.
    pub fn before_exit(&self, cleanup: impl Fn() + Send + 'static) {
        self.cleanups.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(cleanup));
    }

    fn signalled(&self) {
        if !self.flag.swap(true, Ordering::Relaxed) {
            if !self.quiet {
                say("stopping; once more to stop at once");
            }
            return;
        }
        self.clean_up();
        process::exit(EXIT_CODE.into());
    }

    fn clean_up(&self) {
        self.cleanups.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|cleanup| cleanup());
    }
}

/// The run was asked to stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl Error for Interrupted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_raises_the_flag_and_cleans_nothing() {
        let interrupt = Interrupt::default();
        let cleaned = Arc::new(AtomicBool::new(false));
        let mark = cleaned.clone();
        interrupt.before_exit(move || mark.store(true, Ordering::Relaxed));
        assert_eq!(interrupt.check(), Ok(()));
        interrupt.signalled();
        assert_eq!(interrupt.check(), Err(Interrupted));
        assert!(interrupt.flag().load(Ordering::Relaxed));
        assert!(!cleaned.load(Ordering::Relaxed));
        interrupt.clean_up();
        assert!(cleaned.load(Ordering::Relaxed));
    }
}
