//! Every model fixture, at every SIMD level of this machine in f32 and in f64 on the reference path.

use std::{
    collections::BTreeMap,
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

struct Tolerances {
    logits: f64,
    hidden: f64,
}

/// f32 is held to the bounds; f64 logits to 1e-10, and its hidden states to the f32 in which they are stored.
fn tolerances<S: 'static>(case: &Path, len: usize) -> Tolerances {
    let rounding = fixture::tolerance(case, &[&format!("L{len}"), "logits", "rel_to_max"]).unwrap_or(0.0);
    let is_f64 = std::any::TypeId::of::<S>() == std::any::TypeId::of::<f64>();
    let logits = if is_f64 { 1e-10 } else { (4.0 * rounding).max(4e-6) };
    Tolerances { logits, hidden: 1e-5 }
}

fn check<B: Backend>(backend: &B, what: &str, case: &Path) {
    let expected = Expected::read(case);
    for file in weights(case) {
        let checkpoint = Checkpoint::load(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let model = Model::new(backend.clone(), &checkpoint);
        for len in expected.lengths() {
            let tolerances = tolerances::<B::Scalar>(case, len);
            let what = format!("{what} {} L {len}", fixture::name(case));
            match checkpoint.config.head {
                Head::SequenceClassification { .. } => check_classes(&model, &what, &expected, len, &tolerances),
                _ => check_positions(&model, &what, &expected, len, &tolerances, checkpoint.config.naming),
            }
        }
    }
}

fn check_classes<B: Backend>(model: &Model<B>, what: &str, expected: &Expected, len: usize, tolerances: &Tolerances) {
    let got: Vec<f64> = expected
        .ids(&format!("L{len}.input_ids"))
        .iter()
        .flat_map(|ids| model.classify(ids, Chunking::Auto, &mut model.scratch()).expect("a classification head"))
        .map(Scalar::to_f64)
        .collect();
    assert_close(what, &got, &expected.require(&format!("L{len}.logits_f64")).0, tolerances.logits);
}

fn check_positions<B: Backend>(
    model: &Model<B>,
    what: &str,
    expected: &Expected,
    len: usize,
    tolerances: &Tolerances,
    naming: Naming,
) {
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
    for tap in taps {
        if let Some(truth) = hidden_truth(expected, len, tap, blocks, naming) {
            assert_close(&format!("{what} {tap:?}"), &all.hidden[&tap], &truth, tolerances.hidden);
        }
    }
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

#[test]
fn f32_agrees_with_every_fixture_at_every_level() {
    let cases = fixture::model_cases();
    assert!(cases.len() >= 20, "only {} model fixtures", cases.len());
    for level in Level::available() {
        for case in &cases {
            check(&Cpu::new(level), &level.to_string(), case);
        }
    }
}

#[test]
fn f64_agrees_with_every_fixture() {
    for case in fixture::model_cases() {
        check(&Reference, "f64", &case);
    }
}
