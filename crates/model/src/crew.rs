//! Threads that run a model.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

mod in_order;

/// Threads that work together on one job at a time, or side by side on a job each, with a scratch `T` for each job under way.
///
/// A pass over a long sequence keeps all threads busy by itself; of short ones, each thread does better to take its own. Which
/// way a job is done does not change its result. Threads are started when the first job of their kind comes.
#[derive(Debug)]
pub struct Crew<T> {
    threads: NonZeroUsize,
    scratch: T,
    together: Option<Lane<T>>,
    alone: Vec<Lane<T>>,
}

/// How jobs are divided among threads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lanes {
    /// One after another, each by all threads.
    Together,
    /// So many side by side, each by one thread.
    SideBySide(NonZeroUsize),
}

/// Threads that work on one job at a time.
#[derive(Debug)]
struct Lane<T> {
    pool: ThreadPool,
    scratch: T,
}

impl<T> Crew<T> {
    /// Positions from which on all threads do better to work together on a sequence than side by side on several.
    pub const LONG: usize = 16_384;
}

impl<T: Clone + Send> Crew<T> {
    /// Threads that work with copies of this scratch.
    pub fn new(threads: NonZeroUsize, scratch: T) -> Self {
        Self { threads, scratch, together: None, alone: Vec::new() }
    }

    /// How many threads there are.
    pub fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// Does the jobs in the way that is said, up to the first error.
    ///
    /// # Errors
    ///
    /// - the first error of `work`;
    /// - the system does not give threads.
    pub fn run<J, E>(
        &mut self,
        lanes: Lanes,
        jobs: Vec<J>,
        work: impl Fn(J, &mut T) -> Result<(), E> + Sync,
    ) -> Result<(), E>
    where
        J: Send,
        E: From<ThreadPoolBuildError> + Send,
    {
        match lanes {
            Lanes::Together => self.together(jobs, &work),
            Lanes::SideBySide(lanes) => self.on_lanes(lanes, jobs, work),
        }
    }

    /// Does the jobs one after another, each by all threads, up to the first error.
    ///
    /// # Errors
    ///
    /// - the first error of `work`;
    /// - the system does not give threads.
    pub fn together<J, E>(
        &mut self,
        jobs: Vec<J>,
        mut work: impl FnMut(J, &mut T) -> Result<(), E> + Send,
    ) -> Result<(), E>
    where
        J: Send,
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
        pool.install(|| jobs.into_iter().try_for_each(|job| work(job, scratch)))
    }

    /// Does the jobs side by side, each by one thread; they are begun in order. After an error no further job is begun.
    ///
    /// # Errors
    ///
    /// - the first error of `work`;
    /// - the system does not give threads.
    pub fn side_by_side<J, E>(
        &mut self,
        jobs: Vec<J>,
        work: impl Fn(J, &mut T) -> Result<(), E> + Sync,
    ) -> Result<(), E>
    where
        J: Send,
        E: From<ThreadPoolBuildError> + Send,
    {
        self.on_lanes(self.threads, jobs, work)
    }

    fn on_lanes<J, E>(
        &mut self,
        lanes: NonZeroUsize,
        jobs: Vec<J>,
        work: impl Fn(J, &mut T) -> Result<(), E> + Sync,
    ) -> Result<(), E>
    where
        J: Send,
        E: From<ThreadPoolBuildError> + Send,
    {
        let lanes = self.lanes_alone(lanes.get().min(jobs.len()))?;
        let queue = Queue(Mutex::new((jobs.into_iter(), None)));
        let of_lane = |scratch: &mut T| {
            while let Some(job) = queue.next() {
                if let Err(error) = work(job, scratch) {
                    queue.stop(error);
                }
            }
        };
        each(lanes, &of_lane, || ());
        queue.result()
    }

    /// So many lanes of a thread each.
    fn lanes_alone(&mut self, count: usize) -> Result<&mut [Lane<T>], ThreadPoolBuildError> {
        while self.alone.len() < count {
            let lane = self.lane(NonZeroUsize::MIN)?;
            self.alone.push(lane);
        }
        Ok(&mut self.alone[..count])
    }

    /// Does one thing by all threads, which needs no scratch.
    ///
    /// # Errors
    ///
    /// The system does not give threads.
    pub fn install<R: Send>(&mut self, work: impl FnOnce() -> R + Send) -> Result<R, ThreadPoolBuildError> {
        let lane = match self.together.take() {
            Some(lane) => lane,
            None => self.lane(self.threads)?,
        };
        Ok(self.together.insert(lane).pool.install(work))
    }

    fn lane(&self, threads: NonZeroUsize) -> Result<Lane<T>, ThreadPoolBuildError> {
        let pool = ThreadPoolBuilder::new().num_threads(threads.get()).build()?;
        Ok(Lane { pool, scratch: self.scratch.clone() })
    }
}

/// Jobs that threads take one by one, and the first error.
struct Queue<J, E>(Mutex<(std::vec::IntoIter<J>, Option<E>)>);

impl<J, E> Queue<J, E> {
    fn next(&self) -> Option<J> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.1.is_some() { None } else { queue.0.next() }
    }

    fn stop(&self, error: E) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.get_or_insert(error);
    }

    fn result(self) -> Result<(), E> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).1.map_or(Ok(()), Err)
    }
}

/// Does the work on all lanes at once and waits for the last of them; meanwhile the calling thread does its own.
fn each<T: Send>(lanes: &mut [Lane<T>], work: &(impl Fn(&mut T) + Sync), own: impl FnOnce()) {
    match lanes.split_first_mut() {
        None => own(),
        Some((Lane { pool, scratch }, others)) => pool.in_place_scope(|scope| {
            scope.spawn(|_| work(scratch));
            each(others, work, own);
        }),
    }
}

#[cfg(test)]
mod tests {
    use longstrand_kernels::Cpu;
    use longstrand_kernels::simd::Level;

    use super::*;
    use crate::Model;
    use crate::Scratch;
    use crate::checkpoint::Checkpoint;

    #[derive(Debug)]
    enum Failed {
        At(usize),
        Threads,
    }

    impl From<ThreadPoolBuildError> for Failed {
        fn from(_: ThreadPoolBuildError) -> Self {
            Self::Threads
        }
    }

    fn crew(threads: usize) -> Crew<Scratch<f32>> {
        let model = Model::new(Cpu::new(Level::widest()), &Checkpoint::builtin().unwrap());
        Crew::new(NonZeroUsize::new(threads).unwrap(), model.scratch())
    }

    /// Does jobs 0..n, of which some fail. Returns those that were begun, in order, and the job whose error came back.
    fn begun(
        crew: &mut Crew<Scratch<f32>>,
        n: usize,
        fails: &[usize],
        is_together: bool,
    ) -> (Vec<usize>, Option<usize>) {
        let begun = Mutex::new(Vec::new());
        let work = |job: usize, _: &mut Scratch<f32>| {
            begun.lock().unwrap().push(job);
            if fails.contains(&job) { Err(Failed::At(job)) } else { Ok(()) }
        };
        let jobs = (0..n).collect();
        let result = if is_together { crew.together(jobs, work) } else { crew.side_by_side(jobs, work) };
        let failed = result.err().map(|error| match error {
            Failed::At(job) => job,
            Failed::Threads => panic!("no threads"),
        });
        (begun.into_inner().unwrap(), failed)
    }

    #[test]
    fn jobs_are_begun_in_order_up_to_the_first_error() {
        let mut alone = crew(1);
        for is_together in [true, false] {
            assert_eq!(begun(&mut alone, 5, &[], is_together), (vec![0, 1, 2, 3, 4], None));
            assert_eq!(begun(&mut alone, 5, &[2, 3], is_together), (vec![0, 1, 2], Some(2)));
            assert_eq!(begun(&mut alone, 0, &[], is_together), (vec![], None));
        }
        assert_eq!(begun(&mut crew(3), 5, &[2, 3], true), (vec![0, 1, 2], Some(2)));
    }

    #[test]
    fn side_by_side_all_jobs_are_done_once_and_none_is_begun_after_an_error() {
        let mut crew = crew(3);
        let (mut done, failed) = begun(&mut crew, 200, &[], false);
        done.sort_unstable();
        assert_eq!((done, failed), ((0..200).collect(), None));
        // The first job fails: only what other threads had begun by then is done.
        let (done, failed) = begun(&mut crew, 100_000, &[0], false);
        assert!(failed == Some(0) && done.contains(&0) && done.len() < 100_000, "{failed:?} {}", done.len());
        // Of several errors one comes back, and it is a job's that was begun.
        let (done, failed) = begun(&mut crew, 50, &[3, 4, 5], false);
        assert!(failed.is_some_and(|job| [3, 4, 5].contains(&job) && done.contains(&job)), "{failed:?}");
    }
}
