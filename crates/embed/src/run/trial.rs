//! Windows that are computed to see how long they take.

use std::num::NonZeroUsize;
use std::sync::mpsc::sync_channel;
use std::thread;

use longstrand_model::Unwatched;
use longstrand_seq::window::{SoftMask, Window};
use longstrand_table::EmbeddingLayout;

use super::reader::{Batch, Task};
use super::workers::{Halt, Workers};
use crate::embedder::Embedder;
use crate::error::EmbedError;

/// The threads of a run, with windows of any number and length.
pub(crate) struct Trial<'a> {
    workers: Workers<'a>,
    embedder: &'a Embedder,
    /// Whose bases all of them have, as often as it takes.
    window: Window,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(embedder: &'a Embedder, layout: EmbeddingLayout, threads: NonZeroUsize, window: Window) -> Self {
        Self { workers: Workers::of(embedder, layout, false, threads, &Unwatched), embedder, window }
    }

    /// Computes so many windows of so many bases, as a run would. Their rows go nowhere.
    ///
    /// # Errors
    ///
    /// - a device fails, or there are no threads
    pub(crate) fn compute(&mut self, windows: u64, bases: u64) -> Result<(), EmbedError> {
        let (to_workers, batches) = sync_channel(windows as usize);
        for batch in self.batches(windows, bases) {
            to_workers.send(batch).expect("the workers are there and there is room");
        }
        drop(to_workers);
        let (to_nobody, rows) = sync_channel(2);
        let Self { workers, embedder, .. } = self;
        let computed = thread::scope(|scope| {
            scope.spawn(move || rows.into_iter().for_each(drop));
            let computed = workers.run(batches, &to_nobody);
            drop(to_nobody);
            computed
        });
        match computed {
            Ok(()) => Ok(()),
            Err(Halt::Failed(error)) => Err(error),
            Err(Halt::Stopped) => Err(embedder.failure().map_or(EmbedError::Cancelled, EmbedError::from)),
        }
    }

    fn batches(&self, windows: u64, bases: u64) -> Vec<Batch> {
        let tokens = self.embedder.tokens(bases as usize);
        let tasks = (0..windows).map(|_| Task { window: self.of_length(bases), skip: 0 });
        match self.embedder.is_filled_by(tokens) {
            true => tasks.map(Batch::Long).collect(),
            false => vec![Batch::Short { tasks: tasks.collect(), tokens: tokens * windows as usize }],
        }
    }

    fn of_length(&self, bases: u64) -> Window {
        let of = &self.window;
        let bases: Vec<u8> = of.bases.iter().copied().cycle().take(bases as usize).collect();
        let end = of.start + bases.len() as u64;
        Window { bases, end, n_padded: 0, soft_mask: SoftMask::default(), ..of.clone() }
    }
}
