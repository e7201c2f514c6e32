//! The thread that reads windows and groups them.

use std::sync::mpsc::SyncSender;

use longstrand_model::Watch;
use longstrand_seq::window::{SourceError, Window, WindowSource};

use super::{Counts, Run};
use crate::embedder::Embedder;
use crate::warning::Warning;

/// A window that is to be computed.
pub(super) struct Task {
    pub(super) window: Window,
    /// Rows that are there already.
    pub(super) skip: u64,
}

/// What is worked on together.
pub(super) enum Batch {
    /// Many windows, side by side.
    Short {
        tasks: Vec<Task>,
        /// Of all of them.
        tokens: usize,
    },
    /// One window, which keeps all that computes busy by itself.
    Long(Task),
}

impl Batch {
    pub(super) fn into_tasks(self) -> Vec<Task> {
        match self {
            Self::Short { tasks, .. } => tasks,
            Self::Long(task) => vec![task],
        }
    }
}

/// Reads windows up to the end.
pub(super) struct Reader<'a> {
    embedder: &'a Embedder,
    watch: &'a dyn Watch,
    windows: WindowSource,
    batch_tokens: usize,
    trained_context: Option<u64>,
    longest: Option<u64>,
    takes_regions_whole: bool,
    rows_before: u64,
    bases: u64,
    short: Vec<Task>,
    short_tokens: usize,
}

/// What was read.
pub(super) struct Read {
    pub(super) counts: Counts,
    /// Bases to compute.
    pub(super) bases: u64,
}

impl<'a> Reader<'a> {
    /// `rows_before` rows are there already.
    pub(super) fn new(run: &Run<'a>, windows: WindowSource, rows_before: u64) -> Self {
        Self {
            embedder: run.embedder,
            watch: run.watch,
            windows,
            batch_tokens: run.batch_tokens,
            trained_context: run.trained_context,
            longest: run.longest,
            takes_regions_whole: run.takes_regions_whole,
            rows_before,
            bases: 0,
            short: Vec::new(),
            short_tokens: 0,
        }
    }

    /// Sends batches until the windows or their receiver come to an end.
    pub(super) fn run(mut self, to: &SyncSender<Batch>) -> Result<Read, SourceError> {
        while let Some(window) = self.windows.next() {
            let window = window?;
            let Some(task) = self.task(window) else { continue };
            if self.add(task, to).is_err() || self.watch.is_cancelled() {
                break;
            }
        }
        let _ = self.flush(to);
        Ok(Read { counts: Counts::of(&self.windows), bases: self.bases })
    }

    /// What is left to do of a window, if anything is.
    fn task(&mut self, window: Window) -> Option<Task> {
        let n_bases = window.bases.len() as u64 - window.n_padded;
        let rows = self.embedder.rows(n_bases);
        let skip = self.rows_before.min(rows);
        self.rows_before -= skip;
        if skip == rows {
            self.watch.skipped(n_bases);
            return None;
        }
        self.bases += n_bases;
        if let Some(trained) = self.trained_context.take_if(|trained| n_bases > *trained) {
            let (longest, whole_region) = (self.longest, self.takes_regions_whole);
            self.watch.warn(&Warning::BeyondContext { n_bases, longest, trained, whole_region }.to_string());
        }
        Some(Task { window, skip })
    }

    fn add(&mut self, task: Task, to: &SyncSender<Batch>) -> Result<(), ()> {
        let tokens = self.embedder.tokens(task.window.bases.len());
        if self.embedder.is_filled_by(tokens) {
            self.flush(to)?;
            return to.send(Batch::Long(task)).map_err(drop);
        }
        if self.short_tokens + tokens > self.batch_tokens {
            self.flush(to)?;
        }
        self.short_tokens += tokens;
        self.short.push(task);
        Ok(())
    }

    fn flush(&mut self, to: &SyncSender<Batch>) -> Result<(), ()> {
        let tokens = std::mem::take(&mut self.short_tokens);
        match std::mem::take(&mut self.short) {
            tasks if tasks.is_empty() => Ok(()),
            tasks => to.send(Batch::Short { tasks, tokens }).map_err(drop),
        }
    }
}
