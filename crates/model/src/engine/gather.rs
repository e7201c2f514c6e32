//! Calls of many threads, passed together.
//!
//! ```text
//! threads          encode ─┐                              ┌─ its own observer, on its own thread
//!                  encode ─┼─ queue ─ the oldest leads: ──┼─ …
//!                  encode ─┘          passes its likes    └─ …
//! ```
//!
//! A call waits in a queue. When a runner is free, the thread of the oldest call leads: it takes the calls that ask for the
//! same as its own, as many as the runner passes at once, and runs them. Each of their threads then goes through what its
//! sequence gave, while the next calls are run. So a runner never waits for observers, and calls that came while
//! it was busy are run together. A call that is run alone, as a long sequence is, gets what it is given as it comes. Nothing is
//! copied: rows stay where the runner has put them, until the last thread has gone through its own.
//!
//! Only the oldest call's thread may lead, and it is told to whenever a runner becomes free or its call becomes the oldest: so
//! somebody always leads where there is something to run, and the thread that leads runs its own call. Each thread waits
//! for news of its own call alone, so that many who are answered at once do not queue for one lock.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::EngineError;
use crate::cuda::Piece;
use crate::output::{Observer, Request, Tap};
use crate::pooling::{Pooling, Reduction, VectorObserver};
use crate::stream::State;

/// Passes that a runner is given at a time: so a device has the next one's kernels when it is done with those of one.
pub(super) const AT_ONCE: usize = 2;

/// Receives what a pass gives of each of its sequences.
pub(super) type Take<'a> = &'a mut dyn FnMut(usize, Piece) -> ControlFlow<()>;

/// Whether a pass was broken off, or failed.
pub(super) type Passed = Result<ControlFlow<()>, EngineError>;

/// Passes sequences of one length together.
pub(super) trait Runner {
    /// How many sequences of a length are passed together at most: at least 1.
    fn batch(&self, length: usize) -> usize;

    /// Passes whole sequences.
    fn encode(&self, sequences: &[&[u8]], request: &Request<'_>, take: Take<'_>) -> Passed;

    /// Passes whole sequences, with hidden states pooled as each one's own pooling says, all by one reduction.
    fn pool(&self, sequences: &[&[u8]], taps: &[Tap], poolings: &[Pooling], take: Take<'_>) -> Passed;

    /// Passes sequences on from states.
    fn feed(
        &self,
        states: &mut [&mut State<f32>],
        sequences: &[&[u8]],
        request: &Request<'_>,
        take: Take<'_>,
    ) -> Passed;
}

/// Runners and the calls that wait for them.
#[derive(Debug)]
pub(super) struct Gathering<R> {
    runners: Vec<R>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// The oldest first.
    waiting: VecDeque<Call>,
    /// Runners that are free, each as often as it can be given a pass.
    free: Vec<usize>,
    failure: Option<EngineError>,
}

/// What a thread asks for.
#[derive(Debug)]
struct Call {
    caller: Caller,
    kind: CallKind,
    ids: Vec<u8>,
    with: With,
}

/// What a call brings beside a sequence.
#[derive(Debug)]
enum With {
    Nothing,
    /// What is to become of its hidden states.
    Pooling(Pooling),
    /// What it goes on from.
    State(State<f32>),
}

/// Whose thread waits for news of a call.
#[derive(Clone, Debug, Default)]
struct Caller(Arc<Letterbox>);

#[derive(Debug, Default)]
struct Letterbox {
    news: Mutex<Option<News>>,
    came: Condvar,
}

/// What a thread is told of its call. An answer is the last.
#[derive(Debug)]
enum News {
    /// It may be that it has to lead.
    Lead,
    Answer(Answer),
}

/// Calls of one kind can be run together.
#[derive(Clone, Debug, Eq, PartialEq)]
struct CallKind {
    length: usize,
    pass: PassKind,
    taps: Vec<Tap>,
    logits: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum PassKind {
    Whole,
    Pooled(Reduction),
    Fed,
}

impl With {
    fn kind(&self) -> PassKind {
        match self {
            Self::Nothing => PassKind::Whole,
            Self::Pooling(pooling) => PassKind::Pooled(pooling.reduction),
            Self::State(_) => PassKind::Fed,
        }
    }
}

/// Takes pieces of a thread's own call.
type Taker<'a> = &'a mut dyn FnMut(&Piece) -> ControlFlow<()>;

/// What a call gets; nothing of one that was not run.
type Answer = Option<Given>;

/// What a pass gave of a sequence.
#[derive(Debug, Default)]
struct Given {
    pieces: Vec<Piece>,
    state: Option<State<f32>>,
}

impl<R: Runner> Gathering<R> {
    /// # Panics
    ///
    /// Panics if there is no runner.
    pub(super) fn new(runners: Vec<R>) -> Self {
        assert!(!runners.is_empty(), "expected a runner");
        let free = (0..AT_ONCE).flat_map(|_| (0..runners.len()).rev()).collect();
        Self { runners, queue: Mutex::new(Queue { free, ..Queue::default() }) }
    }

    /// Any of the runners.
    pub(super) fn first(&self) -> &R {
        &self.runners[0]
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &R> {
        self.runners.iter()
    }

    /// How many sequences of a length all runners pass at once.
    pub(super) fn at_once(&self, length: usize) -> usize {
        self.each().fold(0, |sum: usize, runner| sum.saturating_add(runner.batch(length).max(1)))
    }

    /// The first error of a runner. All calls break from then on.
    pub(super) fn failure(&self) -> Option<EngineError> {
        self.lock().failure.clone()
    }

    /// Passes a sequence.
    pub(super) fn encode(
        &self,
        ids: &[u8],
        request: &Request<'_>,
        observer: &mut dyn Observer<f32>,
    ) -> ControlFlow<()> {
        if ids.is_empty() {
            return ControlFlow::Continue(());
        }
        self.call(ids, With::Nothing, request, &mut |piece| hand_over(piece, observer)).1
    }

    /// Passes a sequence and pools its hidden states.
    pub(super) fn pool(
        &self,
        ids: &[u8],
        taps: &[Tap],
        pooling: &Pooling,
        observer: &mut dyn VectorObserver,
    ) -> ControlFlow<()> {
        if ids.is_empty() {
            return ControlFlow::Continue(());
        }
        let request = Request { taps, logits: false };
        self.call(ids, With::Pooling(pooling.clone()), &request, &mut |piece| hand_over_vectors(piece, observer)).1
    }

    /// Passes the next positions of a sequence and advances the state past them.
    pub(super) fn feed(
        &self,
        state: &mut State<f32>,
        ids: &[u8],
        request: &Request<'_>,
        observer: &mut dyn Observer<f32>,
    ) -> ControlFlow<()> {
        if ids.is_empty() {
            return observer.advanced(0);
        }
        let taken = With::State(state.take());
        let (advanced, flow) = self.call(ids, taken, request, &mut |piece| hand_over(piece, observer));
        if let Some(advanced) = advanced {
            *state = advanced;
        }
        flow
    }

    /// Waits until a call has been run. The state is there again, advanced, unless the call was not run.
    fn call(
        &self,
        ids: &[u8],
        with: With,
        request: &Request<'_>,
        taker: Taker<'_>,
    ) -> (Option<State<f32>>, ControlFlow<()>) {
        let kind =
            CallKind { length: ids.len(), pass: with.kind(), taps: request.taps.to_vec(), logits: request.logits };
        let call = Call { caller: Caller::default(), kind, ids: ids.to_vec(), with };
        let caller = call.caller.clone();
        if self.lock().add(call).is_break() {
            return (None, ControlFlow::Break(()));
        }
        loop {
            let led = self.lock().lead(&caller, |runner, length| self.runners[runner].batch(length));
            if let Some((runner, calls)) = led {
                let lead = Lead { gathering: self, runner: Some(runner), unanswered: Vec::new() };
                match <[Call; 1]>::try_from(calls) {
                    Ok([call]) => return lead.run_alone(runner, call, taker),
                    Err(calls) => lead.run(runner, calls),
                }
            }
            if let News::Answer(answer) = caller.wait() {
                return settle(answer, taker);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic is done under the lock but asking for memory.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// The next news.
    fn wait(&self) -> News {
        let mut news = self.0.news.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match news.take() {
                Some(news) => return news,
                None => news = self.0.came.wait(news).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn tell(&self, news: News) {
        let mut told = self.0.news.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has been answered need not lead.
        if !matches!(*told, Some(News::Answer(_))) {
            *told = Some(news);
        }
        drop(told);
        self.0.came.notify_one();
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Queue {
    /// Adds a call, unless no call is run any more.
    fn add(&mut self, call: Call) -> ControlFlow<()> {
        if self.failure.is_some() {
            return ControlFlow::Break(());
        }
        self.waiting.push_back(call);
        ControlFlow::Continue(())
    }

    /// A runner and the calls that it is to run, the caller's own first; `None` if the caller is not to lead now.
    fn lead(&mut self, caller: &Caller, batch: impl Fn(usize, usize) -> usize) -> Option<(usize, Vec<Call>)> {
        let oldest = self.waiting.front().filter(|call| call.caller.is(caller))?;
        let runner = self.free.pop()?;
        let kind = oldest.kind.clone();
        let most = batch(runner, kind.length).max(1);
        let mut calls = Vec::new();
        let mut others = VecDeque::with_capacity(self.waiting.len());
        for call in self.waiting.drain(..) {
            match calls.len() < most && call.kind == kind {
                true => calls.push(call),
                false => others.push_back(call),
            }
        }
        self.waiting = others;
        self.wake_leader();
        Some((runner, calls))
    }

    /// Tells the thread that is to lead next, if one can.
    fn wake_leader(&self) {
        if let (Some(oldest), false) = (self.waiting.front(), self.free.is_empty()) {
            oldest.caller.tell(News::Lead);
        }
    }

    /// Runs no call any more.
    fn fail(&mut self, error: EngineError) {
        self.failure.get_or_insert(error);
        self.waiting.drain(..).for_each(|call| call.caller.tell(News::Answer(None)));
    }
}

/// A thread that runs calls. When it is done, however that comes, the runner is free and every call has its answer.
struct Lead<'a, R: Runner> {
    gathering: &'a Gathering<R>,
    /// Until it is free.
    runner: Option<usize>,
    unanswered: Vec<Caller>,
}

impl<R: Runner> Lead<'_, R> {
    /// Runs calls of one kind, and keeps what each is given.
    fn run(mut self, runner: usize, calls: Vec<Call>) {
        self.unanswered = calls.iter().map(|call| call.caller.clone()).collect();
        let mut pieces: Vec<Vec<Piece>> = calls.iter().map(|_| Vec::new()).collect();
        let passed = self.pass(runner, calls, &mut |i, piece| {
            pieces[i].push(piece);
            ControlFlow::Continue(())
        });
        match passed {
            Ok((states, ControlFlow::Continue(()))) => {
                self.free();
                let states = states.into_iter().map(Some).chain(std::iter::repeat(None));
                for ((caller, pieces), state) in self.unanswered.drain(..).zip(pieces).zip(states) {
                    caller.tell(News::Answer(Some(Given { pieces, state })));
                }
            }
            Ok((_, ControlFlow::Break(()))) => {}
            Err(error) => self.gathering.lock().fail(error),
        }
    }

    /// Runs the thread's own call, and hands over what it is given as it comes.
    fn run_alone(self, runner: usize, call: Call, taker: Taker<'_>) -> (Option<State<f32>>, ControlFlow<()>) {
        match self.pass(runner, vec![call], &mut |_, piece| taker(&piece)) {
            Ok((states, flow)) => (states.into_iter().next(), flow),
            Err(error) => {
                self.gathering.lock().fail(error);
                (None, ControlFlow::Break(()))
            }
        }
    }

    /// Runs calls of one kind; gives their states, where they have some.
    fn pass(
        &self,
        runner: usize,
        calls: Vec<Call>,
        take: Take<'_>,
    ) -> Result<(Vec<State<f32>>, ControlFlow<()>), EngineError> {
        let runner = &self.gathering.runners[runner];
        let CallKind { pass, taps, logits, .. } = calls[0].kind.clone();
        let request = Request { taps: &taps, logits };
        let (ids, with): (Vec<Vec<u8>>, Vec<With>) = calls.into_iter().map(|call| (call.ids, call.with)).unzip();
        let sequences: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
        let (mut poolings, mut states) = (Vec::new(), Vec::new());
        for with in with {
            match with {
                With::Nothing => {}
                With::Pooling(pooling) => poolings.push(pooling),
                With::State(state) => states.push(state),
            }
        }
        let flow = match pass {
            PassKind::Whole => runner.encode(&sequences, &request, take),
            PassKind::Pooled(_) => runner.pool(&sequences, &taps, &poolings, take),
            PassKind::Fed => {
                runner.feed(&mut states.iter_mut().collect::<Vec<&mut State<f32>>>(), &sequences, &request, take)
            }
        }?;
        Ok((states, flow))
    }
}

impl<R: Runner> Lead<'_, R> {
    /// Lets the next calls be run.
    fn free(&mut self) {
        if let Some(runner) = self.runner.take() {
            let mut queue = self.gathering.lock();
            queue.free.push(runner);
            queue.wake_leader();
        }
    }
}

impl<R: Runner> Drop for Lead<'_, R> {
    fn drop(&mut self) {
        self.free();
        self.unanswered.drain(..).for_each(|caller| caller.tell(News::Answer(None)));
    }
}

/// Takes what a call was given, on its own thread.
fn settle(answer: Answer, taker: Taker<'_>) -> (Option<State<f32>>, ControlFlow<()>) {
    let Some(given) = answer else { return (None, ControlFlow::Break(())) };
    (given.state, given.pieces.into_iter().try_for_each(|piece| taker(&piece)))
}

/// Tells an observer of a piece.
fn hand_over(piece: &Piece, observer: &mut dyn Observer<f32>) -> ControlFlow<()> {
    match piece {
        Piece::Hidden { tap, start, rows } => observer.hidden(*tap, *start, rows.rows()),
        Piece::Logits { start, rows } => observer.logits(*start, rows.rows()),
        Piece::Vectors { .. } => unreachable!("nothing was to be pooled"),
        Piece::Advanced(work) => return observer.advanced(*work),
    }
    ControlFlow::Continue(())
}

/// Tells an observer of vectors of a piece.
fn hand_over_vectors(piece: &Piece, observer: &mut dyn VectorObserver) -> ControlFlow<()> {
    match piece {
        Piece::Vectors { tap, first, rows } => observer.vectors(*tap, *first, rows.rows()),
        Piece::Hidden { .. } | Piece::Logits { .. } => unreachable!("vectors alone were asked for"),
        Piece::Advanced(work) => return observer.advanced(*work),
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests;
