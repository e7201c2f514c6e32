//! Ctrl-C, and the signals by which a batch system ends a job.
//!
//! The first one asks: long work looks at the flag between two steps and returns [`Interrupted`]. The second one ends
//! the process at once, after removing what must not be left behind. A signal that this process was told to ignore, as
//! `nohup` does with hangups and a shell with Ctrl-C in the background, stays ignored; the others are heard.

use std::error::Error;
use std::fmt;
use std::io;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

use crate::failure::say;

/// The exit code of an interrupted run.
pub const EXIT_CODE: u8 = 130;

/// What is said where the system refuses the handler.
const REFUSED: &str = "cannot listen for Ctrl-C";

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
        hear(move || heard.signalled()).context(REFUSED)?;
        Ok(interrupt)
    }

    /// Has the first signal end the process: for what leaves nothing behind. To be called once, in the place of
    /// [`listen`](Self::listen).
    ///
    /// # Errors
    ///
    /// When the system refuses the handler.
    pub fn end_at_once() -> anyhow::Result<()> {
        hear(|| {
            say(&Interrupted::default().to_string());
            process::exit(EXIT_CODE.into())
        })
        .context(REFUSED)
    }

    /// An error once a signal has come.
    ///
    /// # Errors
    ///
    /// [`Interrupted`].
    pub fn check(&self) -> Result<(), Interrupted> {
        match self.flag.load(Ordering::Relaxed) {
            true => Err(Interrupted::default()),
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

/// Calls `signalled` for each signal that is not ignored, on a thread of its own.
#[cfg(unix)]
fn hear(mut signalled: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(wanted(ignored()))?;
    let listen = move || signals.forever().for_each(|_| signalled());
    std::thread::Builder::new().name("signals".into()).spawn(listen).map(drop)
}

/// The signals that ask a process to stop, less those in a mask of ignored ones. Where the mask is not known, hangups are
/// left alone, as they are what is ignored most.
#[cfg(unix)]
fn wanted(ignored: Option<u64>) -> Vec<i32> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let ignored = ignored.unwrap_or(1 << (SIGHUP - 1));
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0).collect()
}

/// The signals that this process ignores, bit n − 1 for signal n; `None` where the system has no `/proc`.
#[cfg(unix)]
fn ignored() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(not(unix))]
fn hear(signalled: impl FnMut() + Send + 'static) -> io::Result<()> {
    ctrlc::try_set_handler(signalled).map_err(io::Error::other)
}

/// Lets writing beyond the limit on file sizes (`ulimit -f`) fail, so that it is told, in place of ending the process.
///
/// # Errors
///
/// When the system refuses the handler.
pub fn survive_file_limit() -> io::Result<()> {
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
    Ok(())
}

/// The run was asked to stop.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Interrupted {
    /// Whether it left something that `--resume` goes on behind.
    pub resumable: bool,
    /// Whether another process of the same run says so.
    pub is_told: bool,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")?;
        match self.resumable {
            true => f.write_str("; what is whole is kept, and the same command with --resume goes on behind it"),
            false => Ok(()),
        }
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
        assert_eq!(interrupt.check(), Err(Interrupted::default()));
        assert!(!cleaned.load(Ordering::Relaxed));
        interrupt.clean_up();
        assert!(cleaned.load(Ordering::Relaxed));
    }

    #[test]
    #[cfg(unix)]
    fn each_signal_is_heard_unless_it_is_ignored() {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

        assert_eq!(wanted(Some(0)), [SIGINT, SIGTERM, SIGHUP]);
        assert_eq!(wanted(Some(1 << (SIGINT - 1))), [SIGTERM, SIGHUP]);
        assert_eq!(wanted(None), [SIGINT, SIGTERM]);
    }

    #[test]
    fn what_can_be_resumed_is_told() {
        assert_eq!(Interrupted::default().to_string(), "interrupted");
        assert!(Interrupted { resumable: true, is_told: false }.to_string().contains("--resume"));
    }
}
