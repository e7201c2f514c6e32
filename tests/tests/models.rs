//! Every model fixture, at every SIMD level of this machine in f32 and in f64 on the reference path.

use std::{
    collections::BTreeMap,
    ops::AddAssign,
    path::{Path, PathBuf},
};

use longstrand_kernels::{Backend, Cpu, Reference, Rows, backend::Scalar, simd::Level};
use longstrand_model::{
    Chunking, Model, Observer, Request, Tap,
    checkpoint::Checkpoint,
    config::{Head, Naming},
};
use longstrand_tests::fixture::{self, Expected, assert_close};

/// Everything a pass hands over.
#[derive(Default)]
struct Collected {
    hidden: BTreeMap<Tap, Vec<f64>>,
    logits: Vec<f64>,
}

impl<S: Scalar> Observer<S> for Collected {
    fn hidden(&mut self, tap: Tap, start: u64, rows: Rows<'_, S>) {
        let all = self.hidden.entry(tap).or_default();
        assert_eq!(all.len() as u64, start * rows.width() as u64, "positions come in order");
        all.extend((0..rows.len()).flat_map(|t| rows.row(t)).map(|x| x.to_f64()));
    }

    fn logits(&mut self, _: u64, rows: Rows<'_, S>) {
        self.logits.extend((0..rows.len()).flat_map(|t| rows.row(t)).map(|x| x.to_f64()));
    }
}

/// The files that hold a case's weights: a case in two formats is read from both.
fn weights(case: &Path) -> Vec<PathBuf> {
    ["model.safetensors", "pytorch_model.bin"].map(|file| case.join(file)).into_iter().filter(|p| p.exists()).collect()
}

/// Largest differences, relative to the largest magnitude.
struct Tolerances {
    logits: f64,
    hidden: f64,
}

/// The rounding of the reference code in f32, as measured when the fixture was made.
fn rounding(case: &Path, len: usize, tensor: &str) -> f64 {
    fixture::tolerance(case, &[&format!("L{len}"), tensor, "rel_to_max"]).unwrap_or(0.0)
}

/// f32 is held to four times the rounding of the reference code, and at least 4e-6.
fn in_f32(case: &Path, len: usize) -> Tolerances {
    Tolerances { logits: (4.0 * rounding(case, len, "logits")).max(4e-6), hidden: 1e-5 }
}

/// f64 is held to its own rounding, and its hidden states to that of the reference code, which stores them in f32.
fn in_f64(case: &Path, len: usize) -> Tolerances {
    Tolerances { logits: 1e-10, hidden: (1.01 * rounding(case, len, "final")).max(1e-6) }
}

/// What has been compared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Compared {
    /// Tensors of logits.
    logits: usize,
    /// Tensors of hidden states.
    hidden: usize,
}

impl AddAssign for Compared {
    fn add_assign(&mut self, other: Self) {
        self.logits += other.logits;
        self.hidden += other.hidden;
    }
}

/// Checks all cases, of which there must be enough, each with logits.
fn check_all<B: Backend>(backend: &B, what: &str, tolerances: impl Fn(&Path, usize) -> Tolerances) -> Compared {
    let cases = fixture::model_cases();
    assert!(cases.len() >= 20, "only {} model fixtures", cases.len());
    let mut all = Compared::default();
    for case in &cases {
        let compared = check(backend, what, case, &tolerances);
        assert!(compared.logits > 0, "{}: no logits are compared", case.display());
        all += compared;
    }
    all
}

fn check<B: Backend>(
    backend: &B,
    what: &str,
    case: &Path,
    tolerances: &impl Fn(&Path, usize) -> Tolerances,
) -> Compared {
    let expected = Expected::read(case);
    let mut compared = Compared::default();
    for file in weights(case) {
        let checkpoint = Checkpoint::load(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let model = Model::new(backend.clone(), &checkpoint);
        for len in expected.lengths() {
            let tolerances = tolerances(case, len);
            let what = format!("{what} {} L {len}", fixture::name(case));
            compared += match checkpoint.config.head {
                Head::SequenceClassification { .. } => check_classes(&model, &what, &expected, len, &tolerances),
                _ => check_positions(&model, &what, &expected, len, &tolerances, checkpoint.config.naming),
            };
        }
    }
    compared
}

fn check_classes<B: Backend>(
    model: &Model<B>,
    what: &str,
    expected: &Expected,
    len: usize,
    tolerances: &Tolerances,
) -> Compared {
    let got: Vec<f64> = expected
        .ids(&format!("L{len}.input_ids"))
        .iter()
        .flat_map(|ids| model.classify(ids, Chunking::Auto, &mut model.scratch()).expect("a classification head"))
        .map(Scalar::to_f64)
        .collect();
    assert_close(what, &got, &expected.require(&format!("L{len}.logits_f64")).0, tolerances.logits);
    Compared { logits: 1, hidden: 0 }
}

fn check_positions<B: Backend>(
    model: &Model<B>,
    what: &str,
    expected: &Expected,
    len: usize,
    tolerances: &Tolerances,
    naming: Naming,
) -> Compared {
    let blocks = model.config().n_layer;
    let taps: Vec<Tap> = (0..=blocks).map(Tap::Block).chain([Tap::Last]).collect();
    let mut all = Collected::default();
    let sequences = expected.ids(&format!("L{len}.input_ids"));
    for ids in &sequences {
        let mut one = Collected::default();
        let request = Request { taps: &taps, logits: true };
        assert!(model.encode(ids, Chunking::Auto, &request, &mut model.scratch(), &mut one).is_continue());
        all.logits.extend(one.logits);
        for (tap, rows) in one.hidden {
            all.hidden.entry(tap).or_default().extend(rows);
        }
    }
    let (logits, _) = expected.require(&format!("L{len}.logits_f64"));
    let got = match expected.get(&format!("L{len}.positions")) {
        Some((positions, _)) => at_positions(&all.logits, &positions, model.config().vocab_size),
        None => all.logits,
    };
    assert_close(&format!("{what} logits"), &got, &logits, tolerances.logits);
    let mut compared = Compared { logits: 1, hidden: 0 };
    for tap in taps {
        if let Some(truth) = hidden_truth(expected, len, tap, blocks, naming) {
            assert_close(&format!("{what} {tap:?}"), &all.hidden[&tap], &truth, tolerances.hidden);
            compared.hidden += 1;
        }
    }
    compared
}

fn at_positions(logits: &[f64], positions: &[f64], width: usize) -> Vec<f64> {
    positions.iter().flat_map(|&t| &logits[t as usize * width..][..width]).copied().collect()
}

/// What the fixture says of a tap: each family's reference code returns its hidden states in another way.
fn hidden_truth(expected: &Expected, len: usize, tap: Tap, blocks: usize, naming: Naming) -> Option<Vec<f64>> {
    let get = |name: String| expected.get(&format!("L{len}.{name}")).map(|(values, _)| values);
    let sum = |x: Vec<f64>, y: Vec<f64>| Some(x.iter().zip(&y).map(|(x, y)| x + y).collect());
    match (tap, naming) {
        (Tap::Last, _) => get("final".into()),
        (Tap::Block(0), Naming::Caduceus) => get("hidden.0".into()),
        (Tap::Block(n), Naming::Caduceus) => {
            let output = if n == blocks { "block_out_last".into() } else { format!("hidden.{n}") };
            sum(get(format!("residual.{}", n - 1))?, get(output)?)
        }
        (Tap::Block(0), _) => None,
        (Tap::Block(n), _) => {
            let pair = || sum(get(format!("block.{}.hidden", n - 1))?, get(format!("block.{}.residual", n - 1))?);
            pair().or_else(|| get(format!("hidden.{}", n - 1)))
        }
    }
}

/// The comparisons that the repository's fixtures allow; another folder of fixtures may allow more.
const FEWEST: Compared = Compared { logits: 78, hidden: 207 };

fn assert_enough(compared: Compared) {
    assert!(compared.logits >= FEWEST.logits && compared.hidden >= FEWEST.hidden, "{compared:?} of {FEWEST:?}");
}

#[test]
fn f32_agrees_with_every_fixture_at_every_level() {
    for level in Level::available() {
        assert_enough(check_all(&Cpu::new(level), &level.to_string(), in_f32));
    }
}

#[test]
fn f64_agrees_with_every_fixture() {
    assert_enough(check_all(&Reference, "f64", in_f64));
}
