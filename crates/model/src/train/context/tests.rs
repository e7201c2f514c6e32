use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::{Barrier, Mutex};
use std::thread;

use longstrand_kernels::backend::{Precision, Scalar};
use longstrand_kernels::cross_entropy::IGNORED;
use longstrand_kernels::{Backend, Cpu, Reference, closeness::assert_close, simd::Level};

use super::{Context, Course};
use crate::Chunking;
use crate::checkpoint::{Checkpoint, Weights};
use crate::config::MixerConfig;
use crate::train::{Example, Gradients, Loss, Trainee};
use crate::watch::{Meter, Unwatched, Watch};

/// One of each way to join directions, of each mixer, and of each arrangement of strands.
const CASES: [&str; 7] = [
    "hf-mamba",
    "hf-mamba2-groups",
    "caduceus-uni",
    "caduceus-ph",
    "caduceus-ph-untied",
    "caduceus-ph-ewmul",
    "caduceus-ps",
];

/// Where ranks that are threads lay down what they have for each other.
struct Table<S> {
    parts: Mutex<Vec<Vec<S>>>,
    all_here: Barrier,
}

impl<S> Table<S> {
    fn new(ranks: usize) -> Self {
        Self { parts: Mutex::new((0..ranks).map(|_| Vec::new()).collect()), all_here: Barrier::new(ranks) }
    }
}

struct Seat<'a, S> {
    table: &'a Table<S>,
    rank: usize,
    ranks: usize,
}

impl<S: Clone> Context<S> for Seat<'_, S> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn gather(&mut self, own: Vec<S>) -> ControlFlow<(), Vec<Vec<S>>> {
        self.table.parts.lock().unwrap()[self.rank] = own;
        self.table.all_here.wait();
        let all = self.table.parts.lock().unwrap().clone();
        self.table.all_here.wait();
        ControlFlow::Continue(all)
    }
}

/// A sequence that ranks share.
struct Sequence {
    checkpoint: Checkpoint,
    ids: Vec<u8>,
    labels: Vec<u8>,
    chunk: usize,
}

impl Sequence {
    /// Every third position is asked for, and nothing in the first quarter.
    fn new(case: &str, length: usize, chunk: usize) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(case);
        let id = |t: usize| (3 + (t * t + t / 5) % 5) as u8;
        let label = |t: usize| if t.is_multiple_of(3) && 4 * t >= length { id(t + 1) } else { IGNORED };
        Self {
            checkpoint: Checkpoint::load(folder).unwrap(),
            ids: (0..length).map(id).collect(),
            labels: (0..length).map(label).collect(),
            chunk,
        }
    }

    /// The loss and the gradients by so many ranks, added in their order; `None` where the pass is broken off.
    fn learn<B: Backend>(
        &self,
        backend: &B,
        ranks: usize,
        watches: &[&dyn Watch],
    ) -> Option<(Loss, Weights<B::Scalar>)> {
        let Checkpoint { config, weights, .. } = &self.checkpoint;
        let trainee = Trainee::new(backend.clone(), config, weights);
        let table = Table::new(ranks);
        let of_rank = |rank: usize| {
            let border = |rank: usize| rank * self.ids.len() / ranks;
            let seat = &mut Seat { table: &table, rank, ranks };
            self.learn_stretch(&trainee, border(rank)..border(rank + 1), seat, watches[rank % watches.len()])
        };
        let parts: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..ranks).map(|rank| scope.spawn(move || of_rank(rank))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (mut loss, mut sum) = (Loss::default(), Gradients::new(config, weights));
        for part in parts {
            let (of_rank, gradients) = part?;
            loss = loss.and(of_rank);
            sum.add(&gradients);
        }
        Some((loss, sum.fold(config, weights)))
    }

    fn learn_stretch<B: Backend>(
        &self,
        trainee: &Trainee<B>,
        stretch: Range<usize>,
        context: &mut dyn Context<B::Scalar>,
        watch: &dyn Watch,
    ) -> Option<(Loss, Gradients<B::Scalar>)> {
        let length = stretch.len() as u64;
        let example = Example { ids: &self.ids[stretch.clone()], labels: &self.labels[stretch], weights: None };
        let mut gradients = Gradients::new(&self.checkpoint.config, &self.checkpoint.weights);
        let mut meter = Meter::new(watch, length, trainee.work(length));
        let course = &mut Course { context, meter: &mut meter };
        let chunking = Chunking::Positions(self.chunk.try_into().unwrap());
        let mut scratch = trainee.scratch();
        match trainee.gradients_of_stretch(&example, 3.0, chunking, &mut scratch, &mut gradients, course) {
            ControlFlow::Continue(loss) => Some((loss?, gradients)),
            ControlFlow::Break(()) => None,
        }
    }
}

fn check<B: Backend>(backend: &B, sequence: &Sequence, ranks: usize, what: &str, tolerance: f64)
where
    B::Scalar: Into<f64>,
{
    let whole = sequence.learn(backend, 1, &[&Unwatched]).unwrap();
    let parted = sequence.learn(backend, ranks, &[&Unwatched]).unwrap();
    assert_eq!(parted.0.counted, whole.0.counted);
    assert_close(&format!("{what}, loss"), &[parted.0.sum], &[whole.0.sum], tolerance);
    let config = &sequence.checkpoint.config;
    for (got, expected) in parted.1.named(config).into_iter().zip(whole.1.named(config)) {
        let expected: Vec<f64> = expected.values.iter().map(|x| x.to_f64()).collect();
        assert_close(&format!("{what}, {}", got.spec.name), got.values, &expected, tolerance);
    }
    assert!(sequence.learn(backend, ranks, &[&Unwatched]).unwrap() == parted, "{what}: other bits");
}

#[test]
fn stretches_add_up_to_the_whole() {
    for case in CASES {
        // The last ones have stretches shorter than a convolution, of one position even.
        for (length, chunk, ranks) in [(67, 64, 2), (67, 9, 3), (41, 5, 4), (11, 4, 4), (7, 2, 3), (4, 1, 4)] {
            let sequence = Sequence::new(case, length, chunk);
            let what = format!("{case}, {ranks} ranks, {length} positions in chunks of {chunk}");
            check(&Reference, &sequence, ranks, &what, 1e-12);
        }
    }
}

#[test]
fn vectorised_stretches_add_up_to_the_whole_up_to_rounding() {
    for case in CASES {
        for (length, chunk, ranks) in [(1_001, 256, 2), (501, 96, 4)] {
            let sequence = Sequence::new(case, length, chunk);
            let what = format!("{case}, {ranks} ranks, {length} positions in chunks of {chunk}");
            check(&Cpu::new(Level::widest()), &sequence, ranks, &what, 3e-6);
            let bf16 = Cpu::with_precision(Level::widest(), Precision::Bf16);
            check(&bf16, &sequence, ranks, &format!("{what} in bf16"), 1e-2);
        }
    }
}

/// The second of two ranks, the first of which it hears of what it says itself; counts the values that it says.
struct Echo(usize);

impl Context<f32> for Echo {
    fn rank(&self) -> usize {
        1
    }

    fn ranks(&self) -> usize {
        2
    }

    fn gather(&mut self, own: Vec<f32>) -> ControlFlow<(), Vec<Vec<f32>>> {
        self.0 += own.len();
        ControlFlow::Continue(vec![own.clone(), own])
    }
}

/// What a rank says does not grow with its stretch.
#[test]
fn what_is_exchanged_is_two_states_of_each_branch() {
    for (case, branches) in [("hf-mamba", 1), ("hf-mamba2-groups", 1), ("caduceus-ph", 2), ("caduceus-ps", 4)] {
        for length in [60, 600] {
            let sequence = Sequence::new(case, length, 32);
            let Checkpoint { config, weights, .. } = &sequence.checkpoint;
            let trainee = Trainee::new(Cpu::new(Level::widest()), config, weights);
            let mut echo = Echo(0);
            assert!(sequence.learn_stretch(&trainee, 0..length, &mut echo, &Unwatched).is_some());
            let (channels, steps) = match &config.mixer {
                MixerConfig::Mamba(c) => (c.d_inner, c.d_inner),
                MixerConfig::Mamba2(c) => (c.conv_channels(), c.n_heads),
            };
            let (columns, state) =
                ((config.mixer.d_conv() - 1) * channels, config.mixer.d_state() * config.mixer.d_inner());
            // Beside them a number of rows for each branch, and in each exchange of a strand whether to stop.
            let strands = if case == "caduceus-ps" { 2 } else { 1 };
            let of_layer = branches * (2 * (columns + steps + state) + 1) + 4 * strands;
            assert_eq!(echo.0, config.n_layer * of_layer, "{case}");
        }
    }
}

/// Stops at once.
struct Stopped;

impl Watch for Stopped {
    fn is_cancelled(&self) -> bool {
        true
    }
}

#[test]
fn what_stops_one_rank_stops_all() {
    let sequence = Sequence::new("caduceus-ps", 50, 8);
    for watches in [[&Stopped as &dyn Watch, &Unwatched, &Unwatched], [&Unwatched, &Unwatched, &Stopped]] {
        assert!(sequence.learn(&Reference, 3, &watches).is_none());
    }
}
