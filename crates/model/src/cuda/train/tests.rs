use longstrand_kernels::backend::{Precision, Scalar};
use longstrand_kernels::cuda::Device;
use longstrand_kernels::{Backend, Cpu, Reference, simd::Level};

use super::{CudaTrainee, Kind, Room};
use crate::Chunking;
use crate::checkpoint::{Checkpoint, TensorSpec, Weights};
use crate::config::Head;
use crate::cuda::Arithmetic;
use crate::cuda::tests::{CASES, bidirectional_mamba2, checkpoint, device, sequence};
use crate::train::{Example, Gradients, IGNORED, Loss, Trainee};
use crate::watch::{Meter, Unwatched};

mod classify;

/// Sequences, labels of which some are ignored, and weights.
struct Examples(Vec<(Vec<u8>, Vec<u8>, Vec<f32>)>);

impl Examples {
    fn new(count: usize, len: usize) -> Self {
        let one = |seed: usize| {
            let labels = sequence(len, seed + 11).into_iter().enumerate();
            let labels = labels.map(|(t, id)| if (t + seed) % 4 == 3 { IGNORED } else { id });
            let weights = (0..len).map(|t| 0.5 + (t % 5) as f32 / 4.0);
            (sequence(len, seed), labels.collect(), weights.collect())
        };
        Self((0..count).map(one).collect())
    }

    fn views(&self) -> Vec<Example<'_, f32>> {
        self.0.iter().map(|(ids, labels, weights)| Example { ids, labels, weights: Some(weights) }).collect()
    }
}

const NORMALISER: f64 = 100.0;

fn expected<B: Backend>(backend: B, checkpoint: &Checkpoint, examples: &Examples) -> (Weights<B::Scalar>, Loss) {
    let Checkpoint { config, weights, .. } = checkpoint;
    let trainee = Trainee::new(backend, config, weights);
    let (mut gradients, mut loss) = (Gradients::new(config, weights), Loss::default());
    for (ids, labels, weights) in &examples.0 {
        let weights: Vec<_> = weights.iter().map(|&w| B::Scalar::from_f64(w.into())).collect();
        let example = Example { ids, labels, weights: Some(&weights) };
        let mut meter = Meter::new(&Unwatched, 0, 0);
        let flow = trainee.gradients(
            &example,
            NORMALISER,
            Chunking::Whole,
            &mut trainee.scratch(),
            &mut gradients,
            &mut meter,
        );
        loss = loss.and(flow.continue_value().flatten().expect("a language model"));
    }
    (gradients.fold(config, weights), loss)
}

fn found(trainee: &mut CudaTrainee, checkpoint: &Checkpoint, examples: &Examples) -> (Weights<f32>, Loss) {
    let Checkpoint { config, weights, .. } = checkpoint;
    let mut meter = Meter::new(&Unwatched, 0, 0);
    assert!(trainee.gradients(&examples.views(), NORMALISER, &mut meter).unwrap().is_continue());
    let mut gradients = Gradients::new(config, weights);
    let loss = trainee.take(&mut gradients).unwrap();
    (gradients.fold(config, weights), loss)
}

fn trainee(device: &Device, arithmetic: Arithmetic, checkpoint: &Checkpoint, columns: usize) -> CudaTrainee {
    with_room(device, arithmetic, checkpoint, columns, 0)
}

/// With room for trails.
fn with_room(
    device: &Device,
    arithmetic: Arithmetic,
    checkpoint: &Checkpoint,
    columns: usize,
    room: usize,
) -> CudaTrainee {
    let Checkpoint { config, weights, .. } = checkpoint;
    let mut trainee = CudaTrainee::new(device.clone(), arithmetic, config, weights).unwrap();
    match &mut trainee.trainer {
        Kind::Single(trainer) => (trainer.columns, trainer.room) = (columns, room),
        Kind::Bf16(trainer) => (trainer.columns, trainer.room) = (columns, room),
    }
    trainee
}

/// The largest error of a tensor beside the tensor's largest value, and whose it is.
fn error<S: Scalar, T: Scalar>(checkpoint: &Checkpoint, found: &Weights<S>, expected: &Weights<T>) -> (f64, String) {
    let mut worst = (0.0, String::new());
    let specs = TensorSpec::all(&checkpoint.config);
    for ((found, expected), spec) in found.tensors().into_iter().zip(expected.tensors()).zip(specs) {
        let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(x.to_f64().abs()));
        let far = found.iter().zip(expected).fold(0.0_f64, |far, (x, y)| far.max((x.to_f64() - y.to_f64()).abs()));
        assert!(found.iter().all(|x| x.to_f64().is_finite()), "{}", spec.name);
        let relative = if largest > 0.0 { far / largest } else { far };
        if relative > worst.0 {
            worst = (relative, spec.name.clone());
        }
    }
    worst
}

fn language_models() -> impl Iterator<Item = (String, Checkpoint)> {
    let all = CASES.iter().map(|&case| (case.to_string(), checkpoint(case))).chain(bidirectional_mamba2());
    all.filter(|(_, checkpoint)| matches!(checkpoint.config.head, Head::LanguageModel { .. }))
}

#[test]
fn gradients_are_those_of_the_reference() {
    let Some(device) = device() else { return };
    for (case, checkpoint) in language_models() {
        for (arithmetic, precision, tolerance) in
            [(Arithmetic::Single, Precision::Full, 2e-4), (Arithmetic::Bf16, Precision::Bf16, 0.15)]
        {
            for (count, len, columns) in [(3, 1, 4096), (3, 9, 4096), (2, 136, 4096), (1, 301, 4096), (1, 301, 128)] {
                let examples = Examples::new(count, len);
                let (expected, expected_loss) = expected(Reference, &checkpoint, &examples);
                let mut trainee = trainee(&device, arithmetic, &checkpoint, columns);
                let (found, loss) = found(&mut trainee, &checkpoint, &examples);
                let what = format!("{case} {arithmetic:?} {count} of {len} in {columns}");
                assert_eq!((loss.weight, loss.counted), (expected_loss.weight, expected_loss.counted), "{what}");
                let of_loss = (loss.sum - expected_loss.sum).abs() / loss.weight.max(expected_loss.sum);
                assert!(of_loss < tolerance, "{what}: loss {} expected {}", loss.sum, expected_loss.sum);
                let (far, tensor) = error(&checkpoint, &found, &expected);
                let cpu = Cpu::with_precision(Level::widest(), precision);
                let (of_cpu, _) = error(&checkpoint, &self::expected(cpu, &checkpoint, &examples).0, &expected);
                assert!(far < tolerance.max(4.0 * of_cpu), "{what}: {far:e} {tensor}, CPU {of_cpu:e}");
            }
        }
    }
}

#[test]
fn two_runs_are_the_same_bits_and_sums_begin_anew() {
    let Some(device) = device() else { return };
    for case in ["hf-mamba", "hf-mamba2-groups", "caduceus-ph", "caduceus-ps"] {
        let checkpoint = checkpoint(case);
        for (arithmetic, columns) in [(Arithmetic::Single, 4096), (Arithmetic::Bf16, 4096), (Arithmetic::Single, 128)] {
            let examples = Examples::new(2, 300);
            let mut trainee = trainee(&device, arithmetic, &checkpoint, columns);
            let first = found(&mut trainee, &checkpoint, &examples);
            let second = found(&mut trainee, &checkpoint, &examples);
            assert!(first == second, "{case} {arithmetic:?} {columns}");
        }
    }
}

#[test]
fn what_is_kept_is_what_would_be_computed_again() {
    let Some(device) = device() else { return };
    let fixtures = ["hf-mamba", "hf-mamba2", "caduceus-ph", "caduceus-ph-bias", "caduceus-ps"];
    let fixtures = fixtures.into_iter().map(|case| (case.to_string(), checkpoint(case)));
    for (case, checkpoint) in fixtures.chain(bidirectional_mamba2()) {
        for arithmetic in [Arithmetic::Single, Arithmetic::Bf16] {
            let examples = Examples::new(2, 300);
            let found = |room| {
                self::found(&mut with_room(&device, arithmetic, &checkpoint, 4096, room), &checkpoint, &examples)
            };
            let (kept, again) = (found(usize::MAX), found(0));
            assert!(kept == again, "{case} {arithmetic:?}");
        }
    }
}

#[test]
fn what_is_put_away_comes_back_as_it_was() {
    let Some(device) = device() else { return };
    for case in ["hf-mamba", "hf-mamba2", "caduceus-ph", "caduceus-ps"] {
        let checkpoint = checkpoint(case);
        for arithmetic in [Arithmetic::Single, Arithmetic::Bf16] {
            let examples = Examples::new(1, 300);
            let here = found(&mut trainee(&device, arithmetic, &checkpoint, 128), &checkpoint, &examples);
            // All inputs; then those that some bytes have room for.
            for host in [u64::MAX, 1 << 17] {
                let mut trainee = trainee(&device, arithmetic, &checkpoint, 128);
                trainee.set_room(Room { device: Some(0), host });
                for _ in 0..2 {
                    assert!(found(&mut trainee, &checkpoint, &examples) == here, "{case} {arithmetic:?} {host}");
                }
                let spare = match &trainee.trainer {
                    Kind::Single(trainer) => trainer.shelves.spare_count(),
                    Kind::Bf16(trainer) => trainer.shelves.spare_count(),
                };
                let layers = checkpoint.config.n_layer;
                assert!(
                    spare == layers || host != u64::MAX && (1..=layers).contains(&spare),
                    "{case}: {spare} put away"
                );
            }
        }
    }
}

#[test]
fn other_weights_take_the_place_of_these() {
    let Some(device) = device() else { return };
    let mut checkpoint = checkpoint("caduceus-ps");
    let examples = Examples::new(2, 50);
    let mut trainee = trainee(&device, Arithmetic::Single, &checkpoint, 4096);
    let before = found(&mut trainee, &checkpoint, &examples);
    checkpoint.weights.tensors_mut().into_iter().flatten().for_each(|x| *x *= 0.9);
    trainee.update(&checkpoint.weights).unwrap();
    let (after, _) = found(&mut trainee, &checkpoint, &examples);
    let (expected, _) = expected(Cpu::new(Level::widest()), &checkpoint, &examples);
    let (far, tensor) = error(&checkpoint, &after, &expected);
    assert!(far < 1e-3, "{far:e} {tensor}");
    assert!(error(&checkpoint, &before.0, &expected).0 > 1e-2);
}
