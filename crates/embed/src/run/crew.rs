//! The threads that compute.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};

use longstrand_model::Scratch;
use longstrand_table::{EmbeddingLayout, EmbeddingRow, EmbeddingRows};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::Run;
use super::reader::{Batch, Task};
use crate::embedder::{Embedder, RowSink};
use crate::error::EmbedError;
use crate::watch::Watch;

/// Bytes of vectors that go to the writer together.
const ROWS_BYTES: usize = 4 << 20;

/// Parts that a batch is cut into for each thread: enough that no thread waits long for the others.
const PARTS_PER_THREAD: usize = 8;

/// All threads together, and each for itself. Threads are started when the first batch of their kind comes.
pub(super) struct Crew<'a> {
    work: Work<'a>,
    threads: usize,
    together: Option<Lane>,
    alone: Vec<Lane>,
}

/// What is done with each window.
#[derive(Clone, Copy)]
struct Work<'a> {
    embedder: &'a Embedder,
    layout: EmbeddingLayout,
    is_reads: bool,
    watch: &'a dyn Watch,
}

/// Threads that work on one window at a time.
struct Lane {
    pool: ThreadPool,
    scratch: Scratch<f32>,
}

impl<'a> Crew<'a> {
    pub(super) fn new(run: &Run<'a>) -> Self {
        Self {
            work: Work { embedder: run.embedder, layout: run.layout, is_reads: run.is_reads, watch: run.watch },
            threads: run.threads.get(),
            together: None,
            alone: Vec::new(),
        }
    }

    /// Computes batches and hands on their rows in order. Breaks when nobody takes rows or the watch is cancelled.
    pub(super) fn run(
        &mut self,
        batches: Receiver<Batch>,
        to: &SyncSender<EmbeddingRows>,
    ) -> Result<ControlFlow<()>, EmbedError> {
        for batch in batches {
            if self.batch(batch, to)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn batch(&mut self, batch: Batch, to: &SyncSender<EmbeddingRows>) -> Result<ControlFlow<()>, EmbedError> {
        let tasks = match batch {
            Batch::Short(tasks) if tasks.len() >= self.threads => return self.side_by_side(tasks, to),
            Batch::Short(tasks) => tasks,
            Batch::Long(task) => vec![task],
        };
        let lane = match self.together.take() {
            Some(lane) => lane,
            None => Lane::new(self.threads, self.work.embedder)?,
        };
        let lane = self.together.insert(lane);
        let work = self.work;
        Ok(tasks.into_iter().try_for_each(|task| work.together(task, lane, to)))
    }

    fn side_by_side(
        &mut self,
        tasks: Vec<Task>,
        to: &SyncSender<EmbeddingRows>,
    ) -> Result<ControlFlow<()>, EmbedError> {
        while self.alone.len() < self.threads {
            self.alone.push(Lane::new(1, self.work.embedder)?);
        }
        let work = self.work;
        let parts: Vec<Part> = parts(tasks, self.threads * PARTS_PER_THREAD);
        let next = AtomicUsize::new(0);
        each(&mut self.alone, &|scratch| take_parts(work, &parts, &next, scratch));
        let rows = |part: Part| part.rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(parts.into_iter().try_for_each(|part| match rows(part) {
            Some(rows) => sent(to, rows),
            None => ControlFlow::Break(()),
        }))
    }
}

/// Does the work on all lanes at once and waits for the last of them; the calling thread only waits.
fn each(lanes: &mut [Lane], work: &(impl Fn(&mut Scratch<f32>) + Sync)) {
    if let Some((Lane { pool, scratch }, others)) = lanes.split_first_mut() {
        pool.in_place_scope(|scope| {
            scope.spawn(|_| work(scratch));
            each(others, work);
        });
    }
}

/// Windows that one thread computes one after another, and their rows.
struct Part {
    tasks: Mutex<Vec<Task>>,
    rows: Mutex<Option<EmbeddingRows>>,
}

fn parts(tasks: Vec<Task>, count: usize) -> Vec<Part> {
    let size = tasks.len().div_ceil(count);
    let mut tasks = tasks.into_iter();
    let next = || -> Option<Part> {
        let tasks: Vec<Task> = tasks.by_ref().take(size).collect();
        (!tasks.is_empty()).then(|| Part { tasks: Mutex::new(tasks), rows: Mutex::new(None) })
    };
    std::iter::from_fn(next).collect()
}

fn take_parts(work: Work<'_>, parts: &[Part], next: &AtomicUsize, scratch: &mut Scratch<f32>) {
    while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
        let tasks = std::mem::take(&mut *part.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let mut rows = EmbeddingRows::new(work.layout);
        if tasks.into_iter().try_for_each(|task| work.embed(task, scratch, &mut rows)).is_break() {
            return;
        }
        *part.rows.lock().unwrap_or_else(PoisonError::into_inner) = Some(rows);
    }
}

impl Work<'_> {
    /// One window, by all threads; its rows are handed on as they come.
    fn together(&self, task: Task, lane: &mut Lane, to: &SyncSender<EmbeddingRows>) -> ControlFlow<()> {
        let mut rows = Outbox { rows: EmbeddingRows::new(self.layout), layout: self.layout, to };
        let Lane { pool, scratch } = lane;
        pool.install(|| self.embed(task, scratch, &mut rows))?;
        rows.send()
    }

    fn embed(&self, task: Task, scratch: &mut Scratch<f32>, rows: &mut dyn RowSink) -> ControlFlow<()> {
        if self.watch.is_cancelled() {
            return ControlFlow::Break(());
        }
        self.embedder.embed(task.window, self.is_reads, task.skip, scratch, rows, self.watch)
    }
}

impl Lane {
    fn new(threads: usize, embedder: &Embedder) -> Result<Self, EmbedError> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().map_err(EmbedError::Threads)?;
        Ok(Self { pool, scratch: embedder.scratch() })
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
    fn send(&mut self) -> ControlFlow<()> {
        let rows = std::mem::replace(&mut self.rows, EmbeddingRows::new(self.layout));
        sent(self.to, rows)
    }
}

impl RowSink for Outbox<'_> {
    fn push(&mut self, row: &EmbeddingRow<'_>) -> ControlFlow<()> {
        self.rows.push(row);
        let bytes = self.rows.len() * self.layout.width.get() * self.layout.precision.bytes();
        if bytes < ROWS_BYTES { ControlFlow::Continue(()) } else { self.send() }
    }
}

fn sent(to: &SyncSender<EmbeddingRows>, rows: EmbeddingRows) -> ControlFlow<()> {
    match to.send(rows) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}
