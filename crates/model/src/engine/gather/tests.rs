use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use longstrand_kernels::simd::Level;
use longstrand_kernels::{Cpu, Rows};

use super::*;
use crate::checkpoint::Checkpoint;
use crate::cuda::SharedRows;
use crate::pooling::{Poolers, Spans};
use crate::{Chunking, Model, Scratch};

/// Passes sequences one after another on the CPU, as a GPU would at once.
struct OneByOne {
    model: Model<Cpu>,
    batch: usize,
    /// How many sequences each pass had.
    passes: Mutex<Vec<usize>>,
    fails_at: usize,
    panics_at: usize,
}

impl OneByOne {
    fn new(case: &str, batch: usize) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(case);
        let model = Model::new(Cpu::new(Level::widest()), &Checkpoint::load(folder).unwrap());
        Self { model, batch, passes: Mutex::default(), fails_at: usize::MAX, panics_at: usize::MAX }
    }

    fn begin(&self, sequences: &[&[u8]]) -> Result<(), EngineError> {
        assert!(sequences.iter().all(|ids| ids.len() == sequences[0].len()), "sequences of several lengths");
        let pass = {
            let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
            passes.push(sequences.len());
            passes.len() - 1
        };
        assert!(pass != self.panics_at, "a pass that panics");
        if pass == self.fails_at { Err(EngineError::new("cuda:7", "it burns")) } else { Ok(()) }
    }
}

impl Runner for OneByOne {
    fn batch(&self, length: usize) -> usize {
        if length > 60 { 1 } else { self.batch }
    }

    fn encode(&self, sequences: &[&[u8]], request: &Request<'_>, take: Take<'_>) -> Passed {
        self.begin(sequences)?;
        let passed = sequences.iter().enumerate().try_for_each(|(i, ids)| {
            let mut teller = Teller { i, take: &mut *take };
            let chunking = Chunking::Positions(NonZeroUsize::new(8).unwrap());
            self.model.encode(ids, chunking, request, &mut self.model.scratch(), &mut teller)
        });
        Ok(passed)
    }

    fn pool(&self, sequences: &[&[u8]], taps: &[Tap], poolings: &[Pooling], take: Take<'_>) -> Passed {
        self.begin(sequences)?;
        assert!(
            poolings.iter().all(|pooling| pooling.reduction == poolings[0].reduction),
            "poolings of two reductions"
        );
        let passed = sequences.iter().zip(poolings).enumerate().try_for_each(|(i, (ids, pooling))| {
            let mut teller = Teller { i, take: &mut *take };
            let mut poolers = Poolers::new(taps, pooling, self.model.width(), &mut teller);
            let chunking = Chunking::Positions(NonZeroUsize::new(8).unwrap());
            let request = Request { taps, logits: false };
            self.model.encode(ids, chunking, &request, &mut self.model.scratch(), &mut poolers)
        });
        Ok(passed)
    }

    fn feed(
        &self,
        states: &mut [&mut State<f32>],
        sequences: &[&[u8]],
        request: &Request<'_>,
        take: Take<'_>,
    ) -> Passed {
        self.begin(sequences)?;
        let passed = sequences.iter().zip(states).enumerate().try_for_each(|(i, (ids, state))| {
            let mut teller = Teller { i, take: &mut *take };
            self.model.feed(state, ids, request, &mut self.model.scratch(), &mut teller)
        });
        Ok(passed)
    }
}

/// Tells what a pass gives of sequence `i`.
struct Teller<'a, 'b> {
    i: usize,
    take: &'a mut (dyn FnMut(usize, Piece) -> ControlFlow<()> + 'b),
}

fn shared(rows: Rows<'_, f32>) -> SharedRows {
    SharedRows::new((0..rows.len()).flat_map(|t| rows.row(t)).copied().collect(), rows.width())
}

impl Observer<f32> for Teller<'_, '_> {
    fn hidden(&mut self, tap: Tap, start: u64, rows: Rows<'_, f32>) {
        let _ = (self.take)(self.i, Piece::Hidden { tap, start, rows: shared(rows) });
    }

    fn logits(&mut self, start: u64, rows: Rows<'_, f32>) {
        let _ = (self.take)(self.i, Piece::Logits { start, rows: shared(rows) });
    }

    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        (self.take)(self.i, Piece::Advanced(work))
    }
}

impl VectorObserver for Teller<'_, '_> {
    fn vectors(&mut self, tap: Tap, first: usize, rows: Rows<'_, f32>) {
        let _ = (self.take)(self.i, Piece::Vectors { tap, first, rows: shared(rows) });
    }

    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        (self.take)(self.i, Piece::Advanced(work))
    }
}

/// Keeps all that it is told.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    hidden: Vec<(Tap, u64, Vec<f32>)>,
    vectors: Vec<(Tap, usize, Vec<f32>)>,
    logits: Vec<(u64, Vec<f32>)>,
    work: u64,
    breaks: bool,
    panics: bool,
}

impl Observer<f32> for Heard {
    fn hidden(&mut self, tap: Tap, start: u64, rows: Rows<'_, f32>) {
        assert!(!self.panics, "an observer that panics");
        self.hidden.push((tap, start, flat(rows)));
    }

    fn logits(&mut self, start: u64, rows: Rows<'_, f32>) {
        self.logits.push((start, flat(rows)));
    }

    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        self.work += work;
        if self.breaks { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl VectorObserver for Heard {
    fn vectors(&mut self, tap: Tap, first: usize, rows: Rows<'_, f32>) {
        self.vectors.push((tap, first, flat(rows)));
    }

    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        self.work += work;
        ControlFlow::Continue(())
    }
}

fn flat(rows: Rows<'_, f32>) -> Vec<f32> {
    (0..rows.len()).flat_map(|t| rows.row(t).to_vec()).collect()
}

const REQUESTS: [Request<'static>; 2] =
    [Request { taps: &[Tap::Last], logits: false }, Request { taps: &[Tap::Block(0), Tap::Block(1)], logits: true }];

/// The ids of call `i`; lengths of 1 to 5 tens and, now and then, one that is run alone.
fn ids(i: usize) -> Vec<u8> {
    let length = if i.is_multiple_of(11) { 100 } else { 10 * (1 + i % 5) };
    (0..length).map(|t| 4 + ((i * 7 + t * t) % 4) as u8).collect()
}

/// Does `work` of 0..n on so many threads that begin together.
fn on_threads(threads: usize, n: usize, work: impl Fn(usize) + Sync) {
    let (next, begin) = (AtomicUsize::new(0), Barrier::new(threads));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                begin.wait();
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= n {
                        break;
                    }
                    work(i);
                }
            });
        }
    });
}

#[test]
fn gathered_calls_give_what_each_gives_alone() {
    for (case, runners) in [("caduceus-ph", 1), ("caduceus-ps", 2), ("hf-mamba", 3)] {
        let gathering = Gathering::new((0..runners).map(|_| OneByOne::new(case, 4)).collect());
        let alone = OneByOne::new(case, 1);
        on_threads(16, 200, |i| {
            let (mut found, mut expected) = (Heard::default(), Heard::default());
            let request = &REQUESTS[i % 2];
            assert!(gathering.encode(&ids(i), request, &mut found).is_continue());
            let passed = alone.encode(&[&ids(i)], request, &mut |_, piece| hand_over(&piece, &mut expected));
            assert_eq!(passed, Ok(ControlFlow::Continue(())));
            assert_eq!(found, expected, "{case}, call {i}");
        });
        let passes: Vec<usize> = gathering.each().flat_map(|runner| runner.passes.lock().unwrap().clone()).collect();
        assert_eq!(passes.iter().sum::<usize>(), 200, "every call is run once");
        // Of more runners than processors few calls may have to wait.
        assert!(runners > 1 || passes.iter().any(|&sequences| sequences > 1), "{case}: nothing was gathered");
        assert!(passes.iter().all(|&sequences| sequences <= 4));
        assert_eq!(gathering.failure(), None);
        assert!(gathering.lock().waiting.is_empty() && gathering.lock().free.len() == AT_ONCE * runners);
    }
}

#[test]
fn gathered_calls_are_pooled_each_its_own_way() {
    let gathering = Gathering::new(vec![OneByOne::new("caduceus-ph", 8)]);
    let alone = OneByOne::new("caduceus-ph", 1);
    on_threads(12, 80, |i| {
        let ids = ids(i);
        let reduction = if i % 3 == 0 { Reduction::Max } else { Reduction::Mean };
        let pooling = Pooling { reduction, spans: Spans::new(i as u64 % 4..ids.len() as u64, 1 + i as u64 % 7) };
        let (mut found, mut expected) = (Heard::default(), Heard::default());
        let taps = REQUESTS[1].taps;
        assert!(gathering.pool(&ids, taps, &pooling, &mut found).is_continue());
        let take: Take<'_> = &mut |_, piece| hand_over_vectors(&piece, &mut expected);
        assert_eq!(alone.pool(&[&ids], taps, &[pooling], take), Ok(ControlFlow::Continue(())));
        assert_eq!(found, expected, "call {i}");
    });
    assert!(gathering.first().passes.lock().unwrap().iter().any(|&sequences| sequences > 1));
}

#[test]
fn gathered_calls_go_on_from_their_own_states() {
    let gathering = Gathering::new(vec![OneByOne::new("hf-mamba", 8)]);
    let model = &gathering.first().model;
    let request = Request { taps: &[], logits: true };
    on_threads(12, 60, |i| {
        let ids = ids(i);
        let (mut found, mut expected) = (Heard::default(), Heard::default());
        let mut states = [model.initial_state().unwrap(), model.initial_state().unwrap()];
        for ids in ids.chunks(4) {
            assert!(gathering.feed(&mut states[0], ids, &request, &mut found).is_continue());
            let mut scratch: Scratch<f32> = model.scratch();
            assert!(model.feed(&mut states[1], ids, &request, &mut scratch, &mut expected).is_continue());
        }
        assert_eq!((found, &states[0]), (expected, &states[1]), "call {i}");
        assert_eq!(states[0].position(), ids.len() as u64);
    });
    assert!(gathering.first().passes.lock().unwrap().iter().any(|&sequences| sequences > 1));
}

#[test]
fn an_observer_that_breaks_or_panics_ends_its_own_call_alone() {
    let gathering = Gathering::new(vec![OneByOne::new("caduceus-ph", 4)]);
    on_threads(8, 80, |i| {
        let mut heard = Heard { breaks: i % 5 == 1, panics: i % 7 == 2, ..Heard::default() };
        let flow = catch_unwind(AssertUnwindSafe(|| gathering.encode(&ids(i), &REQUESTS[0], &mut heard)));
        match (i % 5 == 1, i % 7 == 2) {
            (_, true) => assert!(flow.is_err() || heard.breaks, "call {i}"),
            (true, false) => assert_eq!(flow.ok(), Some(ControlFlow::Break(())), "call {i}"),
            (false, false) => assert_eq!(flow.ok(), Some(ControlFlow::Continue(())), "call {i}"),
        }
    });
    assert_eq!(gathering.failure(), None);
    assert!(gathering.encode(&ids(3), &REQUESTS[0], &mut Heard::default()).is_continue());
}

#[test]
fn an_error_breaks_its_calls_and_all_later_ones() {
    let gathering = Gathering::new(vec![OneByOne { fails_at: 5, ..OneByOne::new("caduceus-ph", 2) }]);
    let broken = AtomicUsize::new(0);
    on_threads(8, 100, |i| {
        if gathering.encode(&ids(i), &REQUESTS[0], &mut Heard::default()).is_break() {
            broken.fetch_add(1, Ordering::Relaxed);
        }
    });
    let passes = gathering.first().passes.lock().unwrap().clone();
    assert_eq!(passes.len(), 6, "nothing is run behind the one that failed");
    assert_eq!(broken.into_inner(), 100 - passes[..5].iter().sum::<usize>());
    assert_eq!(gathering.failure().unwrap().to_string(), "cuda:7: it burns");
    assert!(gathering.encode(&ids(0), &REQUESTS[0], &mut Heard::default()).is_break());
}

#[test]
fn a_pass_that_panics_leaves_nobody_waiting() {
    let gathering = Gathering::new(vec![OneByOne { panics_at: 3, ..OneByOne::new("caduceus-ph", 4) }]);
    let panicked = AtomicBool::new(false);
    on_threads(8, 60, |i| {
        let run = || gathering.encode(&ids(i), &REQUESTS[0], &mut Heard::default());
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            assert!(!panicked.swap(true, Ordering::Relaxed), "the thread that led panics alone");
        }
    });
    assert!(panicked.into_inner());
    assert_eq!(gathering.lock().free.len(), AT_ONCE);
}

#[test]
fn an_empty_sequence_is_not_run() {
    let gathering = Gathering::new(vec![OneByOne::new("hf-mamba", 4)]);
    let mut state = gathering.first().model.initial_state().unwrap();
    assert!(gathering.encode(&[], &REQUESTS[0], &mut Heard::default()).is_continue());
    assert!(gathering.feed(&mut state, &[], &REQUESTS[0], &mut Heard::default()).is_continue());
    assert_eq!(state, gathering.first().model.initial_state().unwrap());
    assert!(gathering.first().passes.lock().unwrap().is_empty());
}
