use super::*;
use crate::config::ClassifierPooling;
use crate::cuda::tests::classify::{POOLINGS, classifier, models};

/// What is computed of sequences.
#[derive(PartialEq)]
struct Learned<S> {
    /// Of one sequence after another.
    logits: Vec<Vec<f64>>,
    gradients: Weights<S>,
}

/// Sequences of some lengths, so many of each.
fn sequences(groups: &[(usize, usize)]) -> Vec<Vec<Vec<u8>>> {
    let of_group = |(i, &(count, len)): (usize, &(usize, usize))| (0..count).map(move |j| sequence(len, 5 * i + j));
    groups.iter().enumerate().map(|group| of_group(group).collect()).collect()
}

/// Of a quarter of the cross-entropy with the class that has the sequence's number.
fn d_logits(number: usize, logits: &[f64]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|x| x.exp()).sum();
    let d = |(class, x): (usize, &f64)| (x.exp() / sum - f64::from(u8::from(class == number % logits.len()))) / 4.0;
    logits.iter().enumerate().map(d).collect()
}

fn expected<B: Backend>(backend: B, checkpoint: &Checkpoint, groups: &[(usize, usize)]) -> Learned<B::Scalar> {
    let Checkpoint { config, weights, .. } = checkpoint;
    let trainee = Trainee::new(backend, config, weights);
    let (mut gradients, mut scratch) = (Gradients::new(config, weights), trainee.scratch());
    let mut logits = Vec::new();
    for ids in sequences(groups).iter().flatten() {
        let classified = trainee.classify(ids, Chunking::Whole, &mut scratch).expect("a classification head");
        let of_sequence: Vec<f64> = classified.logits().iter().map(|x| x.to_f64()).collect();
        classified.backward(&d_logits(logits.len(), &of_sequence), &mut gradients);
        logits.push(of_sequence);
    }
    Learned { logits, gradients: gradients.fold(config, weights) }
}

fn found(trainee: &mut CudaTrainee, checkpoint: &Checkpoint, groups: &[(usize, usize)]) -> Learned<f32> {
    let Checkpoint { config, weights, .. } = checkpoint;
    let mut logits: Vec<Vec<f64>> = Vec::new();
    for group in sequences(groups) {
        let ids: Vec<&[u8]> = group.iter().map(Vec::as_slice).collect();
        let before = logits.len();
        let mut take = |place: usize, of_sequence: &[f64]| {
            assert_eq!(before + place, logits.len(), "sequences in order");
            logits.push(of_sequence.to_vec());
            d_logits(before + place, of_sequence)
        };
        assert!(trainee.classify(&ids, &mut take, &mut Meter::new(&Unwatched, 0, 0)).unwrap().is_continue());
    }
    let mut gradients = Gradients::new(config, weights);
    trainee.take(&mut gradients).unwrap();
    Learned { logits, gradients: gradients.fold(config, weights) }
}

/// Asserts that a device comes to the reference's logits and gradients.
fn check(device: &Device, what: &str, checkpoint: &Checkpoint, groups: &[(usize, usize)], columns: usize) {
    let expected = self::expected(Reference, checkpoint, groups);
    for (arithmetic, precision, tolerance) in
        [(Arithmetic::Single, Precision::Full, 2e-4), (Arithmetic::Bf16, Precision::Bf16, 0.15)]
    {
        let what = format!("{what} {arithmetic:?} {groups:?} in {columns}");
        let found = self::found(&mut trainee(device, arithmetic, checkpoint, columns), checkpoint, groups);
        for (i, (found, expected)) in found.logits.iter().zip(&expected.logits).enumerate() {
            let largest = expected.iter().fold(1.0_f64, |largest, x| largest.max(x.abs()));
            let far = found.iter().zip(expected).fold(0.0_f64, |far, (x, y)| far.max((x - y).abs()));
            assert!(far < tolerance * largest, "{what}: logits of sequence {i} {found:?}, expected {expected:?}");
        }
        // In bf16 another position may have a maximum, which changes where gradients go.
        if arithmetic == Arithmetic::Bf16 && is_max(checkpoint) {
            continue;
        }
        let (far, tensor) = error(checkpoint, &found.gradients, &expected.gradients);
        let cpu = self::expected(Cpu::with_precision(Level::widest(), precision), checkpoint, groups);
        let (of_cpu, _) = error(checkpoint, &cpu.gradients, &expected.gradients);
        assert!(far < tolerance.max(4.0 * of_cpu), "{what}: {far:e} {tensor}, CPU {of_cpu:e}");
    }
}

fn is_max(checkpoint: &Checkpoint) -> bool {
    matches!(checkpoint.config.head, Head::SequenceClassification { pooling: ClassifierPooling::Max, .. })
}

#[test]
fn gradients_of_the_published_heads_are_those_of_the_reference() {
    let Some(device) = device() else { return };
    for case in ["caduceus-ph-seqcls", "caduceus-ps-seqcls"] {
        let mut checkpoint = checkpoint(case);
        for of in POOLINGS {
            if let Head::SequenceClassification { pooling, .. } = &mut checkpoint.config.head {
                *pooling = of;
            }
            let what = format!("{case} {of:?}");
            for (groups, columns) in [
                (&[(3, 1)][..], 4096),
                (&[(3, 9)], 4096),
                (&[(2, 136)], 4096),
                (&[(1, 301)], 4096),
                // Longer than what a chunk has room for.
                (&[(1, 301)], 128),
                // More than what go together.
                (&[(5, 64)], 256),
                (&[(2, 40), (1, 1), (3, 13), (1, 301)], 512),
            ] {
                check(&device, &what, &checkpoint, groups, columns);
            }
        }
    }
}

#[test]
fn gradients_of_every_model_with_a_head_are_those_of_the_reference() {
    let Some(device) = device() else { return };
    for (i, (case, checkpoint)) in models().enumerate() {
        for (pooling, columns) in [(POOLINGS[i % 4], 4096), (POOLINGS[(i + 1) % 4], 128)] {
            let what = format!("{case} {pooling:?}");
            check(&device, &what, &classifier(&checkpoint, pooling), &[(2, 33), (1, 301)], columns);
        }
    }
}

#[test]
fn two_runs_of_a_classifier_are_the_same_bits_and_sums_begin_anew() {
    let Some(device) = device() else { return };
    for case in ["hf-mamba", "hf-mamba2-groups", "caduceus-ph", "caduceus-ps"] {
        for pooling in POOLINGS {
            let checkpoint = classifier(&checkpoint(case), pooling);
            for (arithmetic, columns) in
                [(Arithmetic::Single, 4096), (Arithmetic::Bf16, 4096), (Arithmetic::Single, 128)]
            {
                let mut trainee = trainee(&device, arithmetic, &checkpoint, columns);
                let groups = [(3, 70), (1, 301)];
                let first = found(&mut trainee, &checkpoint, &groups);
                let second = found(&mut trainee, &checkpoint, &groups);
                assert!(first == second, "{case} {pooling:?} {arithmetic:?} {columns}");
            }
        }
    }
}

#[test]
fn a_classifier_s_other_weights_take_the_place_of_these() {
    let Some(device) = device() else { return };
    let mut checkpoint = checkpoint("caduceus-ps-seqcls");
    let groups = [(2, 50)];
    let mut trainee = trainee(&device, Arithmetic::Single, &checkpoint, 4096);
    let before = found(&mut trainee, &checkpoint, &groups);
    checkpoint.weights.tensors_mut().into_iter().flatten().for_each(|x| *x *= 0.9);
    trainee.update(&checkpoint.weights).unwrap();
    let after = found(&mut trainee, &checkpoint, &groups);
    let expected = expected(Reference, &checkpoint, &groups);
    let (far, tensor) = error(&checkpoint, &after.gradients, &expected.gradients);
    assert!(far < 1e-3, "{far:e} {tensor}");
    assert!(error(&checkpoint, &before.gradients, &expected.gradients).0 > 1e-2);
}

#[test]
fn a_watch_breaks_gradients_off() {
    /// Stops at once.
    struct Stopped;

    impl crate::Watch for Stopped {
        fn is_cancelled(&self) -> bool {
            true
        }
    }

    let Some(device) = device() else { return };
    let checkpoint = checkpoint("caduceus-ph-seqcls");
    let mut trainee = trainee(&device, Arithmetic::Single, &checkpoint, 4096);
    let flow = trainee.classify(&[&sequence(20, 1)], &mut d_logits, &mut Meter::new(&Stopped, 0, 0));
    assert!(flow.unwrap().is_break());
}
