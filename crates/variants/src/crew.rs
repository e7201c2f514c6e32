//! The threads that compute.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use longstrand_model::Scratch;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// All threads together, and each for itself. They are started when the first job of their kind comes.
pub(crate) struct Crew {
    threads: usize,
    scratch: Scratch<f32>,
    together: Option<Lane>,
    alone: Vec<Lane>,
}

/// Threads that work on one job at a time.
struct Lane {
    pool: ThreadPool,
    scratch: Scratch<f32>,
}

impl Crew {
    /// Threads that work with copies of this scratch, which is to be empty.
    pub(crate) fn new(threads: usize, scratch: Scratch<f32>) -> Self {
        Self { threads, scratch, together: None, alone: Vec::new() }
    }

    /// Does the jobs one after another, each by all threads.
    pub(crate) fn together<J, E>(
        &mut self,
        jobs: &[J],
        mut work: impl FnMut(&J, &mut Scratch<f32>) -> Result<(), E> + Send,
    ) -> Result<(), E>
    where
        J: Sync,
        E: From<ThreadPoolBuildError> + Send,
    {
        if jobs.is_empty() {
            return Ok(());
        }
        let lane = match self.together.take() {
            Some(lane) => lane,
            None => self.lane(self.threads)?,
        };
        let Lane { pool, scratch } = self.together.insert(lane);
        pool.install(|| jobs.iter().try_for_each(|job| work(job, scratch)))
    }

    /// Does the jobs side by side, each by one thread. After an error no further job is begun.
    pub(crate) fn side_by_side<J, E>(
        &mut self,
        jobs: &[J],
        work: impl Fn(&J, &mut Scratch<f32>) -> Result<(), E> + Sync,
    ) -> Result<(), E>
    where
        J: Sync,
        E: From<ThreadPoolBuildError> + Send,
    {
        let lanes = self.threads.min(jobs.len());
        while self.alone.len() < lanes {
            let lane = self.lane(1)?;
            self.alone.push(lane);
        }
        let queue = Queue { next: AtomicUsize::new(0), stopped: AtomicBool::new(false), error: Mutex::new(None) };
        each(&mut self.alone[..lanes], &|scratch| queue.drain(jobs, |job| work(job, scratch)));
        queue.error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn lane(&self, threads: usize) -> Result<Lane, ThreadPoolBuildError> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(Lane { pool, scratch: self.scratch.clone() })
    }
}

/// Jobs that threads take one by one.
struct Queue<E> {
    next: AtomicUsize,
    stopped: AtomicBool,
    error: Mutex<Option<E>>,
}

impl<E> Queue<E> {
    fn drain<J>(&self, jobs: &[J], mut work: impl FnMut(&J) -> Result<(), E>) {
        while !self.stopped.load(Ordering::Relaxed)
            && let Some(job) = jobs.get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            if let Err(error) = work(job) {
                self.stopped.store(true, Ordering::Relaxed);
                self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
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
