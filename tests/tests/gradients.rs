//! Gradients against the published reference code, finite differences, and every way to cut the work.

use longstrand_kernels::{
    Backend, Cpu, Reference, RoundedReference, Rows,
    backend::{Precision, Scalar},
    cross_entropy::Targets,
    simd::Level,
};
use longstrand_model::{
    Chunking, Meter, Model, Observer, Request, Tap, Unwatched,
    checkpoint::{Checkpoint, MixerWeights, Weights},
    config::{ClassifierPooling, Config, Directions, Head, Naming, Strategy},
    train::{Example, Gradients, IGNORED, Loss, Trainee},
};
use longstrand_tests::{
    fixture::{self, Expected, assert_close},
    synthetic::{self, Family, Shape},
};

/// A sequence to be learnt.
#[derive(Clone, Debug)]
struct Sequence {
    ids: Vec<u8>,
    labels: Vec<u8>,
    weights: Option<Vec<f64>>,
}

impl Sequence {
    /// Pseudo-random ids; of the labels about half are ignored, and weights differ.
    fn random(len: usize, seed: u64) -> Self {
        let (ids, mut labels) = (synthetic::ids(len, seed), synthetic::ids(len, seed + 1));
        let skips = synthetic::ids(len, seed + 2);
        labels.iter_mut().zip(&skips).filter(|(_, skip)| **skip > 8).for_each(|(label, _)| *label = IGNORED);
        Self { ids, labels, weights: Some(skips.iter().map(|&x| f64::from(x) / 8.0 - 0.5).collect()) }
    }

    /// Ids and labels that a vocabulary of eight has.
    fn within(mut self, vocabulary: usize) -> Self {
        for id in self.ids.iter_mut().chain(&mut self.labels).filter(|id| **id != IGNORED) {
            *id %= vocabulary as u8;
        }
        self
    }

    fn normaliser(&self) -> f64 {
        let weight = |t: usize| self.weights.as_ref().map_or(1.0, |weights| weights[t]);
        (0..self.ids.len()).filter(|&t| self.labels[t] != IGNORED).map(weight).sum()
    }

    fn weights<S: Scalar>(&self) -> Option<Vec<S>> {
        self.weights.as_ref().map(|weights| weights.iter().map(|&w| S::from_f64(w)).collect())
    }
}

fn checkpoint(case: &str) -> Checkpoint {
    let folder = fixture::root().join(case);
    Checkpoint::load(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

fn chunks_of(positions: usize) -> Chunking {
    Chunking::Positions(positions.try_into().expect("positions"))
}

fn widen<S: Scalar>(values: &[S]) -> Vec<f64> {
    values.iter().map(|x| x.to_f64()).collect()
}

/// The loss and the gradients of the mean loss over all sequences.
fn learn<B: Backend>(
    backend: B,
    config: &Config,
    weights: &Weights,
    sequences: &[Sequence],
    chunking: Chunking,
) -> (Loss, Gradients<B::Scalar>) {
    let trainee = Trainee::new(backend, config, weights);
    let (mut scratch, mut gradients) = (trainee.scratch(), Gradients::new(config, weights));
    let normaliser = sequences.iter().map(Sequence::normaliser).sum();
    let mut loss = Loss::default();
    for sequence in sequences {
        let weights = sequence.weights();
        let example = Example { ids: &sequence.ids, labels: &sequence.labels, weights: weights.as_deref() };
        let mut meter = Meter::new(&Unwatched, 0, 0);
        let one = trainee.gradients(&example, normaliser, chunking, &mut scratch, &mut gradients, &mut meter);
        loss = loss.and(one.continue_value().flatten().expect("a language model"));
    }
    (loss, gradients)
}

/// A gradient fixture: the case of its model and its sequences.
struct Given {
    expected: Expected,
    checkpoint: Checkpoint,
    sequences: Vec<Sequence>,
}

impl Given {
    fn read(name: &str) -> Self {
        let folder = fixture::root().join(name);
        let expected = Expected::read(&folder);
        let about = fixture::read_json(&folder.join("tolerance.json")).expect("tolerance.json");
        let checkpoint = checkpoint(about["model"].as_str().expect("the model's case"));
        let (labels, shape) = expected.require("labels");
        let labels = labels.chunks_exact(shape[1]);
        let sequences = expected.ids("input_ids").into_iter().zip(labels);
        let is_causal = checkpoint.config.is_causal();
        let sequences = sequences.map(|(ids, labels)| Self::sequence(ids, labels, is_causal)).collect();
        Self { expected, checkpoint, sequences }
    }

    /// A causal model's label at a position is that of the next.
    fn sequence(ids: Vec<u8>, labels: &[f64], is_causal: bool) -> Sequence {
        let label = |&label: &f64| if label < 0.0 { IGNORED } else { label as u8 };
        let mut labels: Vec<u8> = labels.iter().map(label).collect();
        if is_causal {
            labels.remove(0);
            labels.push(IGNORED);
        }
        Sequence { ids, labels, weights: None }
    }

    fn learn<B: Backend>(&self, backend: B, chunking: Chunking) -> (Loss, Weights<B::Scalar>) {
        let Checkpoint { config, weights, .. } = &self.checkpoint;
        let (loss, gradients) = learn(backend, config, weights, &self.sequences, chunking);
        (loss, gradients.fold(config, weights))
    }

    fn check<B: Backend>(&self, what: &str, backend: B, loss_tolerance: f64, tolerance: f64) {
        let (loss, gradients) = self.learn(backend.clone(), Chunking::Auto);
        assert_close(
            &format!("{what} loss"),
            &[loss.sum / loss.weight],
            &self.expected.require("loss").0,
            loss_tolerance,
        );
        let named = gradients.named(&self.checkpoint.config);
        for tensor in &named {
            let (expected, shape) = self.expected.require(&format!("grad.{}", tensor.spec.name));
            assert_eq!(shape, tensor.spec.shape, "{}", tensor.spec.name);
            assert_close(&format!("{what} {}", tensor.spec.name), &widen(tensor.values), &expected, tolerance);
        }
        self.check_weighted(what, backend, loss_tolerance.max(1e-9));
    }

    fn check_weighted<B: Backend>(&self, what: &str, backend: B, tolerance: f64) {
        let Some((weights, shape)) = self.expected.get("loss_weights") else { return };
        let mut sequences = self.sequences.clone();
        for (sequence, weights) in sequences.iter_mut().zip(weights.chunks_exact(shape[1])) {
            sequence.weights = Some(weights.to_vec());
        }
        let Checkpoint { config, weights, .. } = &self.checkpoint;
        let (loss, _) = learn(backend, config, weights, &sequences, Chunking::Auto);
        let expected = self.expected.require("weighted_loss").0;
        assert_close(&format!("{what} weighted loss"), &[loss.sum / loss.weight], &expected, tolerance);
    }
}

const FIXTURES: [&str; 3] = ["grad-hf-mamba", "grad-caduceus-ph", "grad-caduceus-ps"];

/// What is stored is rounded to f32.
#[test]
fn f64_agrees_with_every_gradient_fixture() {
    for name in FIXTURES {
        Given::read(name).check(&format!("f64 {name}"), Reference, 1e-12, 1e-7);
    }
}

#[test]
fn f32_agrees_with_every_gradient_fixture_at_every_level() {
    for name in FIXTURES {
        let given = Given::read(name);
        for level in Level::available() {
            given.check(&format!("{level} {name}"), Cpu::new(level), 2e-6, 2e-5);
        }
    }
}

/// What rounding to eight bits does to small models: a few percent of the smallest tensors, which are what is left of
/// sums that cancel, and less of the gradient as a whole.
#[test]
fn bf16_is_close_to_every_gradient_fixture() {
    for name in FIXTURES {
        let given = Given::read(name);
        let (_, truth) = given.learn(Reference, Chunking::Auto);
        for level in Level::available() {
            let cpu = Cpu::with_precision(level, Precision::Bf16);
            given.check(&format!("{level} in bf16 {name}"), cpu, 1e-3, 5e-2);
            let (_, found) = given.learn(cpu, Chunking::Auto);
            assert_near(&format!("{level} {name}"), &found.map(widen), &truth, 2e-2);
        }
    }
}

/// With the same numbers rounded, what is left is the arithmetic of f32, and a bf16 that is another here and there.
#[test]
fn bf16_is_the_reference_that_rounds_the_same_whatever_the_model() {
    for case in LANGUAGE_MODELS {
        let Checkpoint { config, weights, .. } = checkpoint(case);
        let sequences = [Sequence::random(300, 31).within(config.vocab_size)];
        let (loss, truth) = learn(RoundedReference, &config, &weights, &sequences, Chunking::Whole);
        for level in Level::available() {
            let cpu = Cpu::with_precision(level, Precision::Bf16);
            let (found, gradients) = learn(cpu, &config, &weights, &sequences, chunks_of(128));
            let what = format!("{level} in bf16 {case}");
            assert_close(&what, &[found.sum], &[loss.sum], 1e-4);
            let (found, truth) = (gradients.fold(&config, &weights).map(widen), truth.fold(&config, &weights));
            assert_same(&what, &config, &found, &truth, 2e-2);
            assert_near(&what, &found, &truth, 5e-3);
        }
    }
}

/// Compares the gradient of all parameters together, by its length.
fn assert_near(what: &str, found: &Weights<f64>, truth: &Weights<f64>, tolerance: f64) {
    let (found, truth) = (found.tensors().concat(), truth.tensors().concat());
    let error: Vec<f64> = found.iter().zip(&truth).map(|(found, truth)| found - truth).collect();
    let error = length(&error) / length(&truth);
    assert!(error < tolerance, "{what}: off by {error:e} of its length");
}

/// Σ w · cross-entropy / Σ w of the logits that a pass without gradients gives.
struct MeanLoss<'a> {
    sequence: &'a Sequence,
    width: usize,
    loss: f64,
}

impl Observer<f64> for MeanLoss<'_> {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, f64>) {}

    fn logits(&mut self, start: u64, rows: Rows<'_, f64>) {
        let logits: Vec<f64> = (0..rows.len()).flat_map(|t| rows.row(t)).copied().collect();
        let (weights, start) = (self.sequence.weights::<f64>().expect("weights"), start as usize);
        let targets = Targets {
            labels: &self.sequence.labels[start..start + rows.len()],
            weights: Some(&weights[start..start + rows.len()]),
        };
        self.loss += Reference.cross_entropy(&logits, self.width, &targets, None).sum / self.sequence.normaliser();
    }
}

fn mean_loss(config: &Config, weights: &Weights, sequence: &Sequence) -> f64 {
    let model = Model::of_weights(Reference, config.clone(), weights);
    let mut observer = MeanLoss { sequence, width: config.vocab_size, loss: 0.0 };
    let request = Request { taps: &[], logits: true };
    let pass = model.encode(&sequence.ids, Chunking::Whole, &request, &mut model.scratch(), &mut observer);
    assert!(pass.is_continue());
    observer.loss
}

/// Compares each tensor's gradient with the loss on both sides of the weights, along a direction that is half the gradient
/// itself and half random.
fn check_differences(
    what: &str,
    config: &Config,
    weights: &Weights,
    gradient: &Weights<f64>,
    loss: impl Fn(&Weights) -> f64,
) {
    const STEP: f64 = 1.0 / 16384.0;
    for (i, tensor) in gradient.named(config).into_iter().enumerate() {
        let name = &tensor.spec.name;
        // A model that looks at its first position alone has nothing to learn about its states there.
        let norm = length(tensor.values).max(1e-6);
        let random: Vec<f64> =
            synthetic::ids(tensor.values.len(), i as u64).iter().map(|&x| f64::from(x) - 8.5).collect();
        let noise = length(&random);
        let direction = tensor.values.iter().zip(&random).map(|(g, r)| g / norm + r / noise);
        let direction: Vec<f64> = direction.map(|x| x * STEP).collect();
        let moved = |sign: f64| {
            let mut moved = weights.clone();
            for (x, step) in moved.tensors_mut()[i].iter_mut().zip(&direction) {
                *x = (f64::from(*x) + sign * step) as f32;
            }
            moved
        };
        let (above, below) = (moved(1.0), moved(-1.0));
        let steps = above.tensors()[i].iter().zip(below.tensors()[i]).map(|(&a, &b)| f64::from(a) - f64::from(b));
        let foreseen: f64 = tensor.values.iter().zip(steps).map(|(g, step)| g * step).sum();
        let found = loss(&above) - loss(&below);
        let error = (found - foreseen).abs() / (norm * length(&direction));
        assert!(error < 2e-5, "{what} {name}: the loss moves by {found:e}, its gradient says {foreseen:e} ({error:e})");
    }
}

fn length(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// One of each way to join directions, of each mixer, norm and bias, and of the two forms of RCPS.
const LANGUAGE_MODELS: [&str; 16] = [
    "hf-mamba",
    "hf-mamba-variant",
    "hf-mamba2",
    "hf-mamba2-groups",
    "ss-mamba2",
    "caduceus-uni",
    "caduceus-ph-bias",
    "caduceus-ph-ewmul",
    "caduceus-ph-layernorm",
    "caduceus-ph-untied",
    "caduceus-ps-ewmul",
    "caduceus-ps-layernorm-unfused",
    "caduceus-ps-odd",
    "caduceus-ps-unfused",
    "caduceus-ps-untied",
    "plantcaduceus",
];

#[test]
fn gradients_are_what_the_loss_does_nearby() {
    for case in LANGUAGE_MODELS {
        let Checkpoint { config, weights, .. } = checkpoint(case);
        let sequence = Sequence::random(9, 31).within(config.vocab_size);
        let (_, gradients) = learn(Reference, &config, &weights, std::slice::from_ref(&sequence), Chunking::Whole);
        let gradients = gradients.fold(&config, &weights);
        check_differences(case, &config, &weights, &gradients, |weights| mean_loss(&config, weights, &sequence));
        for chunk in [4, 1] {
            let (_, parts) = learn(Reference, &config, &weights, std::slice::from_ref(&sequence), chunks_of(chunk));
            assert_same(
                &format!("{case} in chunks of {chunk}"),
                &config,
                &parts.fold(&config, &weights),
                &gradients,
                1e-11,
            );
        }
    }
}

fn assert_same<S: Scalar>(what: &str, config: &Config, found: &Weights<S>, expected: &Weights<S>, tolerance: f64) {
    for (found, expected) in found.named(config).iter().zip(expected.named(config)) {
        let what = format!("{what} {}", found.spec.name);
        assert_close(&what, &widen(found.values), &widen(expected.values), tolerance);
    }
}

/// Mamba-2 in both directions is in no fixture: a reverse mixer is made of the forward one.
#[test]
fn mamba2_learns_in_both_directions() {
    let Checkpoint { mut config, mut weights, .. } = checkpoint("hf-mamba2-groups");
    for tied in [true, false] {
        config.directions = Directions::Bidirectional { strategy: Strategy::Add, tied };
        config.naming = Naming::Caduceus;
        for layer in &mut weights.layers {
            let mut reverse = layer.forward.clone();
            if let MixerWeights::Mamba2(reverse) = &mut reverse {
                reverse.conv_weight.reverse();
                reverse.dt_bias.reverse();
                if tied {
                    (reverse.in_proj, reverse.out_proj) = (None, None);
                }
            }
            layer.reverse = Some(reverse);
        }
        let sequence = Sequence::random(9, 37);
        let (_, gradients) = learn(Reference, &config, &weights, std::slice::from_ref(&sequence), Chunking::Whole);
        let gradients = gradients.fold(&config, &weights);
        let what = format!("tied {tied}");
        check_differences(&what, &config, &weights, &gradients, |weights| mean_loss(&config, weights, &sequence));
        let (_, parts) = learn(Reference, &config, &weights, std::slice::from_ref(&sequence), chunks_of(4));
        assert_same(&what, &config, &parts.fold(&config, &weights), &gradients, 1e-11);
        let (_, narrow) = learn(Cpu::new(Level::widest()), &config, &weights, &[sequence], chunks_of(4));
        let narrow = narrow.fold(&config, &weights).map(widen);
        assert_same(&what, &config, &narrow, &gradients, 2e-5);
    }
}

const COEFFICIENTS: [f64; 4] = [0.5, -1.25, 2.0, 0.75];

fn classify<B: Backend>(
    backend: B,
    config: &Config,
    weights: &Weights,
    ids: &[u8],
    chunking: Chunking,
) -> (Vec<f64>, Weights<B::Scalar>) {
    let trainee = Trainee::new(backend, config, weights);
    let (mut scratch, mut gradients) = (trainee.scratch(), Gradients::new(config, weights));
    let classified = trainee.classify(ids, chunking, &mut scratch).expect("a classification head");
    let logits = widen(classified.logits());
    classified.backward(&COEFFICIENTS[..logits.len()], &mut gradients);
    (logits, gradients.fold(config, weights))
}

fn weighted_logits(config: &Config, weights: &Weights, ids: &[u8]) -> f64 {
    let model = Model::of_weights(Reference, config.clone(), weights);
    let logits = model.classify(ids, Chunking::Whole, &mut model.scratch()).expect("a classification head");
    logits.iter().zip(COEFFICIENTS).map(|(x, c)| x * c).sum()
}

/// The published classifiers, and one of three layers, whose halves have changed places at the end.
fn classifiers() -> Vec<(&'static str, Config, Weights)> {
    let mut odd = checkpoint("caduceus-ps-odd");
    odd.weights.score = Some(odd.weights.embedding[..3 * odd.config.d_model].to_vec());
    odd.config.head = Head::SequenceClassification { n_labels: 3, pooling: ClassifierPooling::Mean };
    let cases = ["caduceus-ph-seqcls", "caduceus-ps-seqcls"].map(|case| (case, checkpoint(case)));
    cases.into_iter().chain([("three layers", odd)]).map(|(case, c)| (case, c.config, c.weights)).collect()
}

#[test]
fn classifiers_learn_with_every_pooling() {
    let ids = synthetic::ids(9, 41);
    for (case, mut config, weights) in classifiers() {
        for pooling in
            [ClassifierPooling::Mean, ClassifierPooling::Max, ClassifierPooling::First, ClassifierPooling::Last]
        {
            let Head::SequenceClassification { n_labels, .. } = config.head else { panic!("{case} is a classifier") };
            config.head = Head::SequenceClassification { n_labels, pooling };
            let what = format!("{case} {pooling:?}");
            let (logits, gradients) = classify(Reference, &config, &weights, &ids, Chunking::Whole);
            let model = Model::of_weights(Reference, config.clone(), &weights);
            let expected = model.classify(&ids, Chunking::Whole, &mut model.scratch()).expect("a classification head");
            assert_close(&what, &logits, &expected, 1e-12);
            if pooling == ClassifierPooling::Mean || case == "three layers" {
                check_differences(&what, &config, &weights, &gradients, |weights| {
                    weighted_logits(&config, weights, &ids)
                });
            }
            let (logits, parts) = classify(Reference, &config, &weights, &ids, chunks_of(4));
            assert_close(&what, &logits, &expected, 1e-12);
            assert_same(&what, &config, &parts, &gradients, 1e-11);
            let (_, narrow) = classify(Cpu::new(Level::widest()), &config, &weights, &ids, Chunking::Auto);
            assert_same(&what, &config, &narrow.map(widen), &gradients, 2e-5);
        }
    }
}

const FAMILIES: [Family; 4] = [Family::Mamba, Family::Mamba2, Family::CaduceusPh, Family::CaduceusPs];

fn small(family: Family, seed: u64) -> Checkpoint {
    Shape { family, d_model: 32, n_layer: 2 }.checkpoint(seed)
}

fn check_chunks<B: Backend>(backend: &B, what: &str, len: usize, chunks: &[usize], tolerance: f64) {
    for family in FAMILIES {
        let Checkpoint { config, weights, .. } = small(family, 51);
        let sequences = [Sequence::random(len, 52)];
        let (loss, whole) = learn(backend.clone(), &config, &weights, &sequences, Chunking::Whole);
        let whole = whole.fold(&config, &weights);
        for &chunk in chunks {
            let (parts_loss, parts) = learn(backend.clone(), &config, &weights, &sequences, chunks_of(chunk));
            let what = format!("{what} {family:?} in chunks of {chunk}");
            assert_same(&what, &config, &parts.fold(&config, &weights), &whole, tolerance);
            assert_close(&what, &[parts_loss.sum], &[loss.sum], tolerance);
        }
    }
}

#[test]
fn chunks_of_any_size_agree() {
    for level in Level::available() {
        check_chunks(&Cpu::new(level), &level.to_string(), 2000, &[256, 257, 1000], 1e-5);
    }
    check_chunks(&Reference, "f64", 300, &[128, 129], 1e-11);
}

/// Where borders of chunks move the last bit of an f32, its bf16 may be another, so that this is no closer than rounding.
#[test]
fn chunks_of_any_size_agree_in_bf16() {
    for level in Level::available() {
        let cpu = Cpu::with_precision(level, Precision::Bf16);
        check_chunks(&cpu, &format!("{level} in bf16"), 2000, &[256, 257, 1000], 1e-3);
    }
}

#[test]
fn chunks_agree_over_twenty_thousand_positions() {
    check_chunks(&Cpu::new(Level::widest()), "f32", 20_000, &[4096], 1e-5);
}

#[test]
fn threads_do_not_change_a_bit() {
    let cpus = [Precision::Full, Precision::Bf16].map(|precision| Cpu::with_precision(Level::widest(), precision));
    for family in FAMILIES {
        let Checkpoint { config, weights, .. } = small(family, 61);
        let sequences = [Sequence::random(700, 62), Sequence::random(33, 63)];
        let with = |cpu, threads: usize, chunking| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| learn(cpu, &config, &weights, &sequences, chunking))
        };
        for (cpu, chunking) in cpus.into_iter().flat_map(|cpu| [(cpu, Chunking::Whole), (cpu, chunks_of(256))]) {
            let one = with(cpu, 1, chunking);
            assert!(one == with(cpu, 3, chunking), "{family:?} {cpu:?} {chunking:?}");
            assert!(one == with(cpu, 1, chunking), "{family:?} {cpu:?} {chunking:?} again");
        }
    }
}

#[test]
fn where_nothing_is_asked_nothing_is_learnt() {
    for family in FAMILIES {
        let Checkpoint { config, weights, .. } = small(family, 71);
        let mut sequence = Sequence::random(100, 72);
        sequence.labels.fill(IGNORED);
        let (loss, gradients) = learn(Cpu::new(Level::widest()), &config, &weights, &[sequence], chunks_of(64));
        assert_eq!(loss, Loss::default(), "{family:?}");
        assert!(gradients == Gradients::new(&config, &weights), "{family:?}");
    }
}

#[test]
fn gradients_add_up() {
    let Checkpoint { config, weights, .. } = small(Family::CaduceusPs, 81);
    let sequences = [Sequence::random(50, 82), Sequence::random(50, 83)];
    let trainee = Trainee::new(Reference, &config, &weights);
    let mut scratch = trainee.scratch();
    let mut add = |sequence: &Sequence, gradients: &mut Gradients<f64>| {
        let weights = sequence.weights();
        let example = Example { ids: &sequence.ids, labels: &sequence.labels, weights: weights.as_deref() };
        let mut meter = Meter::new(&Unwatched, 0, 0);
        let loss = trainee.gradients(&example, 10.0, Chunking::Auto, &mut scratch, gradients, &mut meter);
        loss.continue_value().flatten().expect("a language model");
    };
    let zeros = Gradients::new(&config, &weights);
    let (mut both, mut one, mut other) = (zeros.clone(), zeros.clone(), zeros.clone());
    sequences.iter().for_each(|sequence| add(sequence, &mut both));
    add(&sequences[0], &mut one);
    add(&sequences[1], &mut other);
    one.add(&other);
    assert_same("sum", &config, &one.fold(&config, &weights), &both.fold(&config, &weights), 1e-13);
    one.zero();
    assert!(one == zeros);
}
