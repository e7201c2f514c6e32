//! Threads that take sequences side by side, or work on one after another together.

use std::sync::{Mutex, PoisonError};
use std::{num::NonZeroUsize, thread};

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
        let queue = Mutex::new((jobs.into_iter(), None));
        let next = || {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.1.is_some() { None } else { queue.0.next() }
        };
        let lane = || {
            let mut state = state();
            while let Some(job) = next() {
                if let Err(error) = work(&mut state, job) {
                    queue.lock().unwrap_or_else(PoisonError::into_inner).1.get_or_insert(error);
                }
            }
        };
        thread::scope(|scope| {
            for pool in lanes {
                scope.spawn(|| pool.install(lane));
            }
        });
        queue.into_inner().unwrap_or_else(PoisonError::into_inner).1.map_or(Ok(()), Err)
    }
}
