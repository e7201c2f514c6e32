//! One answer for every way to cut the work: chunks, threads, and states carried by hand.

use std::{collections::BTreeMap, ops::ControlFlow};

use longstrand_kernels::{Backend, Cpu, Reference, Rows, TILE, backend::Scalar, simd::Level};
use longstrand_model::{Chunking, Model, Observer, Request, State, Tap, checkpoint::Checkpoint};
use longstrand_tests::{
    fixture::{self, Expected, assert_close},
    synthetic::{self, Family, Shape},
};

const FAMILIES: [Family; 4] = [Family::Mamba, Family::Mamba2, Family::CaduceusPh, Family::CaduceusPs];

/// Hidden states, by where they were read, and logits.
#[derive(Clone, Debug, Default, PartialEq)]
struct Outputs<S> {
    hidden: BTreeMap<Tap, Vec<S>>,
    logits: Vec<S>,
}

impl<S: Scalar> Observer<S> for Outputs<S> {
    fn hidden(&mut self, tap: Tap, _: u64, rows: Rows<'_, S>) {
        let hidden = self.hidden.entry(tap).or_default();
        (0..rows.len()).for_each(|t| hidden.extend_from_slice(rows.row(t)));
    }

    fn logits(&mut self, _: u64, rows: Rows<'_, S>) {
        (0..rows.len()).for_each(|t| self.logits.extend_from_slice(rows.row(t)));
    }
}

const REQUEST: Request<'static> = Request { taps: &[Tap::Block(1), Tap::Last], logits: true };

fn encode<B: Backend>(model: &Model<B>, ids: &[u8], chunking: Chunking) -> Outputs<B::Scalar>
where
    B::Scalar: Default,
{
    let mut outputs = Outputs::default();
    assert!(model.encode(ids, chunking, &REQUEST, &mut model.scratch(), &mut outputs).is_continue());
    outputs
}

fn chunks_of(positions: usize) -> Chunking {
    Chunking::Positions(positions.try_into().expect("positions"))
}

fn shape(family: Family) -> Shape {
    Shape { family, d_model: 32, n_layer: 3 }
}

fn widen<S: Scalar>(values: &[S]) -> Vec<f64> {
    values.iter().map(|x| x.to_f64()).collect()
}

#[test]
fn chunks_of_whole_tiles_give_the_same_bits() {
    let ids = synthetic::ids(20 * TILE + 77, 1);
    for family in FAMILIES {
        for level in Level::available() {
            let model = Model::new(Cpu::new(level), &shape(family).checkpoint(2));
            let whole = encode(&model, &ids, Chunking::Whole);
            for chunk in [TILE, 3 * TILE, 16 * TILE] {
                assert!(whole == encode(&model, &ids, chunks_of(chunk)), "{family:?} {level} chunks of {chunk}");
            }
            assert!(whole == encode(&model, &ids, Chunking::Auto), "{family:?} {level} auto");
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let ids = synthetic::ids(2 * TILE + 77, 3);
    for family in FAMILIES {
        let model = Model::new(Cpu::new(Level::widest()), &shape(family).checkpoint(4));
        let one = with_threads(1, &model, &ids);
        for threads in [2, 5] {
            assert!(one == with_threads(threads, &model, &ids), "{family:?} {threads} threads");
        }
    }
}

/// Every model case of the fixtures, on as many positions of its own ids.
fn each_case(positions: usize, check: impl Fn(&str, &Model<Cpu>, &[u8])) {
    let cases = fixture::model_cases();
    assert!(cases.len() >= 20, "only {} model fixtures", cases.len());
    for case in cases {
        let expected = Expected::read(&case);
        let longest = expected.lengths().pop().expect("a length");
        let ids = expected.ids(&format!("L{longest}.input_ids")).concat();
        let ids: Vec<u8> = ids.into_iter().cycle().take(positions).collect();
        let checkpoint = Checkpoint::load(&case).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        check(&fixture::name(&case), &Model::new(Cpu::new(Level::widest()), &checkpoint), &ids);
    }
}

#[test]
fn every_fixture_gives_the_same_bits_in_chunks_of_whole_tiles() {
    each_case(18 * TILE + 77, |name, model, ids| {
        let whole = encode(model, ids, Chunking::Whole);
        for chunk in [TILE, 16 * TILE] {
            assert!(whole == encode(model, ids, chunks_of(chunk)), "{name} chunks of {chunk}");
        }
        assert!(whole == encode(model, ids, Chunking::Auto), "{name} auto");
    });
}

#[test]
fn every_fixture_gives_the_same_bits_with_any_number_of_threads() {
    each_case(2 * TILE + 77, |name, model, ids| {
        let one = with_threads(1, model, ids);
        for threads in [2, 5] {
            assert!(one == with_threads(threads, model, ids), "{name} {threads} threads");
        }
    });
}

fn with_threads(threads: usize, model: &Model<Cpu>, ids: &[u8]) -> Outputs<f32> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    pool.install(|| encode(model, ids, Chunking::Whole))
}

#[test]
fn chunks_of_any_size_agree() {
    let ids = synthetic::ids(211, 5);
    for family in FAMILIES {
        let checkpoint = shape(family).checkpoint(6);
        for level in Level::available() {
            check_any_size(&Model::new(Cpu::new(level), &checkpoint), &ids, 2e-6, &format!("{family:?} {level}"));
        }
        check_any_size(&Model::new(Reference, &checkpoint), &ids, 1e-12, &format!("{family:?} f64"));
    }
}

fn check_any_size<B: Backend>(model: &Model<B>, ids: &[u8], tolerance: f64, what: &str) {
    let whole = encode(model, ids, Chunking::Whole);
    for chunk in [1, 7, 101] {
        let parts = encode(model, ids, chunks_of(chunk));
        let what = format!("{what} chunks of {chunk}");
        for tap in REQUEST.taps {
            assert_close(&what, &widen(&parts.hidden[tap]), &widen(&whole.hidden[tap]), tolerance);
        }
        assert_close(&what, &widen(&parts.logits), &widen(&whole.logits), tolerance);
    }
}

fn feed<B: Backend>(model: &Model<B>, state: &mut State<B::Scalar>, ids: &[u8]) -> Outputs<B::Scalar> {
    let mut outputs = Outputs::default();
    assert!(model.feed(state, ids, &REQUEST, &mut model.scratch(), &mut outputs).is_continue());
    outputs
}

#[test]
fn a_state_is_a_value() {
    let ids = synthetic::ids(300, 7);
    for family in [Family::Mamba, Family::Mamba2] {
        let model = Model::new(Cpu::new(Level::widest()), &shape(family).checkpoint(8));
        let mut state = model.initial_state().expect("a causal model");
        feed(&model, &mut state, &ids[..113]);
        let kept = state.clone();
        assert_eq!(kept.position(), 113);
        let first = feed(&model, &mut state, &ids[113..]);
        let mut again = kept.clone();
        assert!(first == feed(&model, &mut again, &ids[113..]), "{family:?}");
        assert!(state == again, "{family:?}");
        let whole = encode(&model, &ids, Chunking::Whole);
        let tail = &whole.logits[113 * 16..];
        assert_close(&format!("{family:?}"), &widen(&first.logits), &widen(tail), 2e-6);
    }
    for family in [Family::CaduceusPh, Family::CaduceusPs] {
        let model = Model::new(Cpu::new(Level::widest()), &shape(family).checkpoint(8));
        assert!(model.initial_state().is_none(), "{family:?} looks both ways");
    }
}

#[test]
fn parameter_sharing_makes_reverse_complements_agree() {
    let ids = synthetic::ids(333, 9);
    let complement: Vec<u8> = ids.iter().rev().map(|id| 17 - id).collect();
    for n_layer in [1, 2, 3] {
        let shape = Shape { family: Family::CaduceusPs, d_model: 32, n_layer };
        let model = Model::new(Cpu::new(Level::widest()), &shape.checkpoint(10));
        let (forward, reverse) = (encode(&model, &ids, Chunking::Whole), encode(&model, &complement, Chunking::Whole));
        let back: Vec<f64> = reverse
            .logits
            .chunks_exact(16)
            .rev()
            .flat_map(|row| (0..16).map(|id| if (7..=10).contains(&id) { 17 - id } else { id }).map(|id| row[id]))
            .map(f64::from)
            .collect();
        assert_close(&format!("{n_layer} layers"), &widen(&forward.logits), &back, 4e-6);
    }
}

/// What is reported of the work, in the order of the reports.
#[derive(Default)]
struct Progress(Vec<u64>);

impl<S> Observer<S> for Progress {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, S>) {}

    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        self.0.push(work);
        ControlFlow::Continue(())
    }
}

#[test]
fn progress_adds_up_to_the_work_and_never_stands_still() {
    let ids = synthetic::ids(212, 11);
    for family in FAMILIES {
        let shape = shape(family);
        let model = Model::new(Cpu::new(Level::widest()), &shape.checkpoint(12));
        for (chunk, chunks) in [(212, 1), (100, 3), (64, 4), (4, 53), (1, 212)] {
            let mut progress = Progress::default();
            let request = Request { taps: &[Tap::Last], logits: false };
            let pass = model.encode(&ids, chunks_of(chunk), &request, &mut model.scratch(), &mut progress);
            assert!(pass.is_continue());
            let Progress(reports) = progress;
            let what = format!("{family:?} chunks of {chunk}");
            assert_eq!(reports.iter().sum::<u64>(), model.work(ids.len() as u64), "{what}");
            // A causal model reports each chunk; another one each chunk of each sweep, of which the first leaves one out.
            let strands = if family == Family::CaduceusPs { 2 } else { 1 };
            let expected = if model.is_causal() { chunks } else { shape.n_layer * strands * (2 * chunks - 1) };
            assert_eq!(reports.len(), expected, "{what}");
            if chunk >= 4 {
                assert!(reports.iter().all(|&work| work > 0), "{what}: {reports:?}");
            }
        }
    }
}

#[test]
fn the_state_of_another_model_is_refused() {
    let model = |family, d_model, n_layer| {
        let shape = Shape { family, d_model, n_layer };
        Model::new(Cpu::new(Level::widest()), &shape.checkpoint(13))
    };
    let mamba = model(Family::Mamba, 32, 2);
    let others = [model(Family::Mamba, 32, 3), model(Family::Mamba, 64, 2), model(Family::Mamba2, 32, 2)];
    let endings = [
        "expected 2 layers, found 3",
        "expected sizes of convolution and scan (192, 1024), found (384, 2048)",
        "expected sizes of convolution and scan (192, 1024), found (576, 4096)",
    ];
    for (other, ending) in others.iter().zip(endings) {
        let mut state = other.initial_state().expect("a causal model");
        let fed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| feed(&mamba, &mut state, &[7])));
        let message = fed.expect_err("a refusal").downcast::<String>().expect("a message");
        assert_eq!(*message, format!("the state is another model's: {ending}"));
    }
}
