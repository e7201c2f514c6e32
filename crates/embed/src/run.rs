//! The threads of a run and what passes between them.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use longstrand_model::Watch;
use longstrand_seq::window::WindowSource;
use longstrand_table::{EmbeddingLayout, EmbeddingRows, EmbeddingWriter, Flaws, TableError};

mod counts;
mod memory;
mod reader;
mod trial;
mod workers;

pub use counts::Counts;
pub(crate) use memory::{ROW_BYTES, batch_tokens, estimate, lanes, parts};
use reader::Reader;
pub(crate) use trial::Trial;
use workers::{Halt, Workers};

use crate::embedder::Embedder;
use crate::error::EmbedError;

/// A run about to start.
pub(crate) struct Run<'a> {
    pub(crate) embedder: &'a Embedder,
    pub(crate) layout: EmbeddingLayout,
    pub(crate) is_reads: bool,
    pub(crate) trained_context: Option<u64>,
    /// Bases of the longest window, where it is known.
    pub(crate) longest: Option<u64>,
    /// Whether each region is one window because nothing was said about windows.
    pub(crate) takes_regions_whole: bool,
    pub(crate) threads: NonZeroUsize,
    pub(crate) batch_tokens: usize,
    pub(crate) watch: &'a dyn Watch,
}

/// A run whose rows are all with the writer.
pub(crate) struct Finished {
    pub(crate) writer: EmbeddingWriter,
    pub(crate) counts: Counts,
    pub(crate) bases_computed: u64,
    pub(crate) flaws: Flaws,
}

impl Run<'_> {
    /// Reads, computes and writes until the windows are through.
    pub(crate) fn run(&self, windows: WindowSource, writer: EmbeddingWriter) -> Result<Finished, EmbedError> {
        let mut workers = Workers::new(self);
        let reader = Reader::new(self, windows, writer.rows_before());
        // No batch waits in the channel: one is read while another is computed.
        let (to_workers, batches) = sync_channel(0);
        let (to_writer, rows) = sync_channel(2);
        let (read, computed, written) = thread::scope(|scope| {
            let reader = scope.spawn(move || reader.run(&to_workers));
            let writer = scope.spawn(move || write(writer, &rows));
            let computed = workers.run(batches, &to_writer);
            drop(to_writer);
            (joined(reader.join()), computed, joined(writer.join()))
        });
        let (writer, flaws) = written?;
        let read = read?;
        if let Some(error) = self.embedder.failure() {
            return Err(error.into());
        }
        match computed {
            Err(Halt::Failed(error)) => Err(error),
            Err(Halt::Stopped) => Err(EmbedError::Cancelled),
            Ok(()) if self.watch.is_cancelled() => Err(EmbedError::Cancelled),
            Ok(()) => Ok(Finished { writer, counts: read.counts, bases_computed: read.bases, flaws }),
        }
    }
}

fn write(mut writer: EmbeddingWriter, rows: &Receiver<EmbeddingRows>) -> Result<(EmbeddingWriter, Flaws), TableError> {
    let mut flaws = Flaws::default();
    for rows in rows {
        flaws.append(rows.flaws());
        writer.write(rows)?;
    }
    Ok((writer, flaws))
}

/// What a thread returned; a panic goes on here.
fn joined<T>(result: thread::Result<T>) -> T {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
