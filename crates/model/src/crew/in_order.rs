//! Jobs that come one by one, and their results in order.

use std::collections::BTreeMap;
use std::iter::Fuse;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rayon::ThreadPoolBuildError;

use super::{Crew, each};

impl<T: Clone + Send> Crew<T> {
    /// Does jobs side by side as they come, each by one thread, and hands their results on in the order of the jobs, on the
    /// calling thread. A job is begun only when all but `ahead` of those before it have been handed on. After an error no
    /// further job is begun, and the results before the first that is missing are handed on.
    ///
    /// # Errors
    ///
    /// - the first error of `work` or of `hand_on`;
    /// - the system does not give threads.
    pub fn in_order<J, R, E>(
        &mut self,
        lanes: NonZeroUsize,
        ahead: NonZeroUsize,
        jobs: impl Iterator<Item = J> + Send,
        work: impl Fn(J, &mut T) -> Result<R, E> + Sync,
        hand_on: impl FnMut(R) -> Result<(), E>,
    ) -> Result<(), E>
    where
        J: Send,
        R: Send,
        E: From<ThreadPoolBuildError> + Send,
    {
        let lanes = self.lanes_alone(lanes.get())?;
        let (to, news) = channel();
        let count = lanes.len();
        let belt = Belt {
            intake: Mutex::new(Intake { jobs: jobs.fuse(), taken: 0 }),
            progress: Mutex::new(Progress { handed_on: 0, is_stopped: false, error: None }),
            moved: Condvar::new(),
            ahead: ahead.get(),
        };
        let of_lane = |scratch: &mut T| {
            let _end = (StopOnPanic(&belt), End(&to));
            while let Some((place, job)) = belt.take() {
                match work(job, scratch) {
                    Ok(result) => drop(to.send(News::Done(place, result))),
                    Err(error) => belt.stop(Some(error)),
                }
            }
        };
        each(lanes, &of_lane, || belt.hand_on(count, &news, hand_on));
        belt.progress.into_inner().unwrap_or_else(PoisonError::into_inner).error.map_or(Ok(()), Err)
    }
}

/// What lanes tell the thread that hands results on.
enum News<R> {
    /// The result of the job at a place.
    Done(usize, R),
    /// A lane takes no further job.
    Ended,
}

/// Jobs on their way.
struct Belt<I, E> {
    intake: Mutex<Intake<I>>,
    progress: Mutex<Progress<E>>,
    /// Results have been handed on, or no more jobs are begun.
    moved: Condvar,
    ahead: usize,
}

struct Intake<I> {
    jobs: Fuse<I>,
    taken: usize,
}

struct Progress<E> {
    handed_on: usize,
    is_stopped: bool,
    error: Option<E>,
}

impl<I: Iterator, E> Belt<I, E> {
    /// The next job and its place, when it may be begun.
    fn take(&self) -> Option<(usize, I::Item)> {
        let mut intake = self.intake.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = self
            .moved
            .wait_while(self.progress(), |progress| {
                !progress.is_stopped && intake.taken >= progress.handed_on + self.ahead
            })
            .unwrap_or_else(PoisonError::into_inner);
        if progress.is_stopped {
            return None;
        }
        // The next job may take a while to come, in which results go on and errors may come.
        drop(progress);
        let job = intake.jobs.next().filter(|_| !self.progress().is_stopped)?;
        intake.taken += 1;
        Some((intake.taken - 1, job))
    }

    /// Hands results on until all lanes have ended.
    fn hand_on<R>(&self, lanes: usize, news: &Receiver<News<R>>, mut hand_on: impl FnMut(R) -> Result<(), E>) {
        let _end = StopOnPanic(self);
        let (mut waiting, mut next, mut left) = (BTreeMap::new(), 0, lanes);
        while left > 0 {
            match news.recv() {
                Ok(News::Done(place, result)) => drop(waiting.insert(place, result)),
                Ok(News::Ended) => left -= 1,
                Err(_) => unreachable!("the lanes' end of the channel outlives this loop"),
            }
            while let Some(result) = waiting.remove(&next) {
                next += 1;
                match hand_on(result) {
                    Ok(()) => {
                        self.progress().handed_on = next;
                        self.moved.notify_all();
                    }
                    Err(error) => {
                        self.stop(Some(error));
                        // What follows is not wanted any more.
                        next = usize::MAX;
                    }
                }
            }
        }
    }
}

impl<I, E> Belt<I, E> {
    fn progress(&self) -> MutexGuard<'_, Progress<E>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets no further job begin.
    fn stop(&self, error: Option<E>) {
        let mut progress = self.progress();
        progress.is_stopped = true;
        if progress.error.is_none() {
            progress.error = error;
        }
        drop(progress);
        self.moved.notify_all();
    }
}

/// Lets no further job begin when its thread panics.
struct StopOnPanic<'a, I, E>(&'a Belt<I, E>);

impl<I, E> Drop for StopOnPanic<'_, I, E> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(None);
        }
    }
}

/// Tells of the end of a lane, however it comes.
struct End<'a, R>(&'a Sender<News<R>>);

impl<R> Drop for End<'_, R> {
    fn drop(&mut self) {
        let _ = self.0.send(News::Ended);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[derive(Debug, PartialEq)]
    enum Failed {
        Work(usize),
        HandOn(usize),
        Threads,
    }

    impl From<ThreadPoolBuildError> for Failed {
        fn from(_: ThreadPoolBuildError) -> Self {
            Self::Threads
        }
    }

    fn number(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).unwrap()
    }

    /// Jobs 0..n by so many lanes, of which the job `fails` fails and the result `refused` is not taken. Some jobs take longer.
    fn run(
        lanes: usize,
        ahead: usize,
        n: usize,
        fails: Option<usize>,
        refused: Option<usize>,
    ) -> (Vec<usize>, Result<(), Failed>) {
        let mut crew = Crew::new(number(lanes), ());
        let mut handed_on = Vec::new();
        let work = |job: usize, _: &mut ()| {
            sleep(Duration::from_micros(job as u64 * 7919 % 300));
            if Some(job) == fails { Err(Failed::Work(job)) } else { Ok(job) }
        };
        let hand_on = |result: usize| {
            if Some(result) == refused {
                return Err(Failed::HandOn(result));
            }
            handed_on.push(result);
            Ok(())
        };
        let result = crew.in_order(number(lanes), number(ahead), 0..n, work, hand_on);
        (handed_on, result)
    }

    #[test]
    fn all_results_come_in_the_order_of_their_jobs() {
        for (lanes, ahead, n) in [(1, 1, 0), (1, 1, 5), (4, 1, 40), (4, 9, 200), (3, 1000, 100)] {
            assert_eq!(run(lanes, ahead, n, None, None), ((0..n).collect(), Ok(())), "{lanes} lanes, {ahead} ahead");
        }
    }

    #[test]
    fn what_was_done_before_a_job_that_fails_is_handed_on() {
        for lanes in [1, 4] {
            assert_eq!(run(lanes, 8, 100, Some(30), None), ((0..30).collect(), Err(Failed::Work(30))));
        }
    }

    #[test]
    fn nothing_is_handed_on_after_a_result_that_was_not_taken() {
        for lanes in [1, 4] {
            assert_eq!(run(lanes, 8, 100, None, Some(30)), ((0..30).collect(), Err(Failed::HandOn(30))));
        }
    }

    #[test]
    fn no_job_is_begun_too_far_ahead() {
        const AHEAD: usize = 6;
        let (taken, begun) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |job: usize, _: &mut ()| {
            let before = taken.load(Ordering::SeqCst);
            begun.fetch_max(job, Ordering::SeqCst);
            assert!(job < before + AHEAD, "job {job} was begun when {before} results had been handed on");
            sleep(Duration::from_micros(if job == 0 { 20_000 } else { 10 }));
            Ok::<_, Failed>(job)
        };
        let hand_on = |_| {
            taken.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        Crew::new(number(4), ()).in_order(number(4), number(AHEAD), 0..60, work, hand_on).unwrap();
        assert_eq!((taken.into_inner(), begun.into_inner()), (60, 59));
    }

    #[test]
    #[should_panic(expected = "on a lane")]
    fn a_panic_ends_all() {
        let work = |job: usize, _: &mut ()| {
            assert!(job != 20, "on a lane");
            Ok::<_, Failed>(())
        };
        let _ = Crew::new(number(3), ()).in_order(number(3), number(4), 0..1_000, work, |()| Ok(()));
    }

    #[test]
    #[should_panic(expected = "on the calling thread")]
    fn a_panic_of_who_takes_results_ends_all() {
        let work = |job: usize, _: &mut ()| Ok::<_, Failed>(job);
        let hand_on = |result: usize| {
            assert!(result != 20, "on the calling thread");
            Ok(())
        };
        let _ = Crew::new(number(3), ()).in_order(number(3), number(4), 0..1_000, work, hand_on);
    }
}
