//! Threads that take sequences side by side, or work on one after another together.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{num::NonZeroUsize, thread, vec::IntoIter};

use longstrand_model::Crew;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use super::error::FineTuneError;

/// Threads for many jobs.
///
/// A [`Crew`] keeps scratches of one kind as long as it lives. Here two kinds take turns, of passes and of gradients, and each
/// is given back after its turn.
pub(super) struct Lanes {
    together: ThreadPool,
    alone: Vec<ThreadPool>,
}

impl Lanes {
    pub(super) fn new(threads: NonZeroUsize) -> Result<Self, ThreadPoolBuildError> {
        let pool = |threads: usize| ThreadPoolBuilder::new().num_threads(threads).build();
        let alone = (0..threads.get()).map(|_| pool(1)).collect::<Result<_, _>>()?;
        Ok(Self { together: pool(threads.get())?, alone })
    }

    /// Does something by all threads.
    pub(super) fn together<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.together.install(work)
    }

    /// How many jobs are under way at a time, each with a state of its own, where sequences are `longest` long.
    pub(super) fn at_a_time(threads: NonZeroUsize, jobs: usize, longest: usize) -> usize {
        if longest >= Crew::<()>::LONG { 1 } else { threads.get().min(jobs).max(1) }
    }

    /// Does the jobs, each once: side by side, or one after another by all threads where sequences are `longest` long.
    /// `state` makes what a thread works in. After an error no further job is begun.
    pub(super) fn each<J: Send, T>(
        &self,
        jobs: Vec<J>,
        longest: usize,
        state: impl Fn() -> T + Sync,
        work: impl Fn(&mut T, J) -> Result<(), FineTuneError> + Sync,
    ) -> Result<(), FineTuneError> {
        if longest >= Crew::<()>::LONG || jobs.len() < 2 {
            return self.together(|| {
                let mut state = state();
                jobs.into_iter().try_for_each(|job| work(&mut state, job))
            });
        }
        let lanes = &self.alone[..self.alone.len().min(jobs.len())];
        let queue = Queue::new(jobs);
        thread::scope(|scope| {
            for pool in lanes {
                scope.spawn(|| pool.install(|| queue.work_off(&state, &work)));
            }
        });
        queue.result()
    }

    /// Does the jobs, each once, by so many threads that do little but wait for a device.
    pub(super) fn waiting<J: Send, T>(
        lanes: usize,
        jobs: Vec<J>,
        state: impl Fn() -> T + Sync,
        work: impl Fn(&mut T, J) -> Result<(), FineTuneError> + Sync,
    ) -> Result<(), FineTuneError> {
        let threads = ThreadPoolBuilder::new().num_threads(lanes.min(jobs.len()).max(1)).build()?;
        let queue = Queue::new(jobs);
        threads.broadcast(|_| queue.work_off(&state, &work));
        queue.result()
    }
}

/// Jobs that threads take one by one, and the first error.
struct Queue<J>(Mutex<(IntoIter<J>, Option<FineTuneError>)>);

impl<J> Queue<J> {
    fn new(jobs: Vec<J>) -> Self {
        Self(Mutex::new((jobs.into_iter(), None)))
    }

    /// A thread's part: jobs until there is none, or one has failed.
    fn work_off<T>(&self, state: impl Fn() -> T, work: impl Fn(&mut T, J) -> Result<(), FineTuneError>) {
        let mut state = state();
        while let Some(job) = self.next() {
            if let Err(error) = work(&mut state, job) {
                self.lock().1.get_or_insert(error);
            }
        }
    }

    fn next(&self) -> Option<J> {
        let mut queue = self.lock();
        if queue.1.is_some() { None } else { queue.0.next() }
    }

    fn lock(&self) -> MutexGuard<'_, (IntoIter<J>, Option<FineTuneError>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn result(self) -> Result<(), FineTuneError> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).1.map_or(Ok(()), Err)
    }
}
