//! The threads that compute.

use std::iter::{Peekable, from_fn};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::mpsc::{IntoIter, Receiver, SyncSender};

use longstrand_model::{Crew, Lanes, Scratch, Watch};
use longstrand_table::{EmbeddingLayout, EmbeddingRow, EmbeddingRows};
use rayon::ThreadPoolBuildError;

use super::Run;
use super::reader::{Batch, Task};
use crate::embedder::{Embedder, RowSink};
use crate::error::EmbedError;

/// Bytes of vectors that go to the writer together.
const ROWS_BYTES: usize = 4 << 20;

/// Parts that a batch is cut into for each lane: enough that no lane waits long for the others.
const PARTS_PER_LANE: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// The threads and what they do with each window.
pub(super) struct Workers<'a> {
    work: Work<'a>,
    crew: Crew<Scratch<f32>>,
}

/// What is done with each window.
#[derive(Clone, Copy)]
struct Work<'a> {
    embedder: &'a Embedder,
    layout: EmbeddingLayout,
    is_reads: bool,
    watch: &'a dyn Watch,
}

/// Why no more windows are computed.
pub(super) enum Halt {
    /// Nobody takes rows, or the watch is cancelled.
    Stopped,
    /// There are no threads to compute with.
    Failed(EmbedError),
}

impl From<ThreadPoolBuildError> for Halt {
    fn from(error: ThreadPoolBuildError) -> Self {
        Self::Failed(EmbedError::Threads(error))
    }
}

impl<'a> Workers<'a> {
    pub(super) fn new(run: &Run<'a>) -> Self {
        Self::of(run.embedder, run.layout, run.is_reads, run.threads, run.watch)
    }

    pub(super) fn of(
        embedder: &'a Embedder,
        layout: EmbeddingLayout,
        is_reads: bool,
        threads: NonZeroUsize,
        watch: &'a dyn Watch,
    ) -> Self {
        Self { work: Work { embedder, layout, is_reads, watch }, crew: Crew::new(threads, embedder.scratch()) }
    }

    /// Computes batches and hands on their rows in order.
    pub(super) fn run(&mut self, batches: Receiver<Batch>, to: &SyncSender<EmbeddingRows>) -> Result<(), Halt> {
        let mut batches = batches.into_iter().peekable();
        while let Some(batch) = batches.next() {
            match self.work.lanes(&batch, self.crew.threads()) {
                Lanes::Together => self.together(batch.into_tasks(), to)?,
                Lanes::SideBySide(lanes) => self.side_by_side(lanes, batch, &mut batches, to)?,
            }
        }
        Ok(())
    }

    /// One window after another, by all threads; rows are handed on as they come.
    fn together(&mut self, tasks: Vec<Task>, to: &SyncSender<EmbeddingRows>) -> Result<(), Halt> {
        let work = self.work;
        self.crew.together(tasks, |task, scratch| {
            let mut rows = Outbox { rows: EmbeddingRows::new(work.layout), layout: work.layout, to };
            work.embed(task, scratch, &mut rows)?;
            continued(rows.send())
        })
    }

    /// Parts of a batch and of those after it that go on as many lanes, with no end between them.
    fn side_by_side(
        &mut self,
        lanes: NonZeroUsize,
        first: Batch,
        batches: &mut Peekable<IntoIter<Batch>>,
        to: &SyncSender<EmbeddingRows>,
    ) -> Result<(), Halt> {
        let (work, threads) = (self.work, self.crew.threads());
        let others = from_fn(|| batches.next_if(|next| work.lanes(next, threads) == Lanes::SideBySide(lanes)));
        let first = parts(first.into_tasks(), lanes);
        let needed = NonZeroUsize::new(first.len()).map_or(NonZeroUsize::MIN, |parts| parts.min(lanes));
        let parts = first.chain(others.flat_map(|batch| parts(batch.into_tasks(), lanes)));
        let ahead = lanes.saturating_mul(PARTS_PER_LANE);
        let embed = |part: Part, scratch: &mut Scratch<f32>| {
            let mut rows = EmbeddingRows::new(work.layout);
            part.tasks.into_iter().try_for_each(|task| work.embed(task, scratch, &mut rows))?;
            Ok((rows, part.ends_batch))
        };
        let mut outbox = Outbox { rows: EmbeddingRows::new(work.layout), layout: work.layout, to };
        // No row waits for those of another batch: a run that is killed has to compute no more again.
        let result = self.crew.in_order(needed, ahead, parts, embed, |(rows, ends_batch)| {
            continued(outbox.append(rows))?;
            if ends_batch { continued(outbox.send()) } else { Ok(()) }
        });
        continued(outbox.send())?;
        result
    }
}

/// Tasks of a batch that a lane takes at a time.
struct Part {
    tasks: Vec<Task>,
    ends_batch: bool,
}

/// A batch's tasks, cut for so many lanes.
fn parts(tasks: Vec<Task>, lanes: NonZeroUsize) -> impl ExactSizeIterator<Item = Part> + Send {
    let size = tasks.len().div_ceil(lanes.get() * PARTS_PER_LANE.get()).max(1);
    let count = tasks.len().div_ceil(size);
    let mut tasks = tasks.into_iter();
    (0..count).map(move |i| Part { tasks: tasks.by_ref().take(size).collect(), ends_batch: i + 1 == count })
}

fn continued(flow: ControlFlow<()>) -> Result<(), Halt> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Halt::Stopped),
    }
}

impl Work<'_> {
    /// How a batch is divided among threads.
    fn lanes(&self, batch: &Batch, threads: NonZeroUsize) -> Lanes {
        match batch {
            Batch::Short { tasks, tokens } => self.embedder.lanes(tokens / tasks.len().max(1), tasks.len(), threads),
            Batch::Long(_) => Lanes::Together,
        }
    }

    fn embed(&self, task: Task, scratch: &mut Scratch<f32>, rows: &mut dyn RowSink) -> Result<(), Halt> {
        if self.watch.is_cancelled() {
            return Err(Halt::Stopped);
        }
        continued(self.embedder.embed(task.window, self.is_reads, task.skip, scratch, rows, self.watch))
    }
}

impl RowSink for EmbeddingRows {
    fn push(&mut self, row: &EmbeddingRow<'_>) -> ControlFlow<()> {
        Self::push(self, row);
        ControlFlow::Continue(())
    }
}

/// Rows on their way to the writer.
struct Outbox<'a> {
    rows: EmbeddingRows,
    layout: EmbeddingLayout,
    to: &'a SyncSender<EmbeddingRows>,
}

impl Outbox<'_> {
    fn append(&mut self, rows: EmbeddingRows) -> ControlFlow<()> {
        self.rows.append(rows);
        self.send_if_full()
    }

    fn send_if_full(&mut self) -> ControlFlow<()> {
        if self.rows.bytes() < ROWS_BYTES { ControlFlow::Continue(()) } else { self.send() }
    }

    fn send(&mut self) -> ControlFlow<()> {
        let rows = std::mem::replace(&mut self.rows, EmbeddingRows::new(self.layout));
        sent(self.to, rows)
    }
}

impl RowSink for Outbox<'_> {
    fn push(&mut self, row: &EmbeddingRow<'_>) -> ControlFlow<()> {
        self.rows.push(row);
        self.send_if_full()
    }
}

fn sent(to: &SyncSender<EmbeddingRows>, rows: EmbeddingRows) -> ControlFlow<()> {
    match to.send(rows) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}
