//! Steps of training: twenty against the published reference code, and what stops one.

#![allow(clippy::result_large_err, reason = "the errors are those that the loop has")]

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicU64, Ordering},
};

use longstrand_kernels::{Cpu, simd::Level};
use longstrand_model::{Unwatched, Watch, checkpoint::Checkpoint, train::IGNORED};
use longstrand_pretrain::{
    collectives::Alone,
    objective::Batch,
    optimizer::AdamWOptions,
    train::{Division, Learner},
};
use longstrand_tests::fixture::{self, Expected, assert_close};

/// A sequence and its labels, the next token of each position.
fn next_tokens(ids: &[f64]) -> Batch {
    let ids: Vec<u8> = ids.iter().map(|&id| id as u8).collect();
    let labels = ids[1..].iter().copied().chain([IGNORED]).collect();
    Batch { length: ids.len(), ids, labels, weights: None }
}

/// Loss and norm of the gradients before each step, and the parameters after the last.
#[test]
fn twenty_steps_are_those_of_the_reference() {
    let folder = fixture::root().join("train-hf-mamba");
    let expected = Expected::read(&folder);
    let (rates, ids) = (expected.require("lr").0, expected.require("input_ids"));
    assert_eq!((rates.len(), ids.1.as_slice()), (20, &[20, 4, 64][..]));
    let division = Division::new(4, 64);
    let options = AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };
    for (level, threads) in Level::available().into_iter().zip([2, 1, 3, 2]) {
        let Checkpoint { config, weights, .. } =
            Checkpoint::load(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let threads = NonZeroUsize::new(threads).expect("threads");
        let mut learner = Learner::new(Cpu::new(level), config, weights, options, 1.0, threads);
        let (mut losses, mut norms) = (Vec::new(), Vec::new());
        for (rate, batch) in rates.iter().zip(ids.0.chunks_exact(4 * 64)) {
            let read = |index: u32| Ok(next_tokens(&batch[64 * index as usize..][..64]));
            let gradients = learner.gradients(division, read, &mut Alone::default(), &Unwatched);
            let gradients = gradients.expect("threads").expect("nobody stops it");
            learner.update(*rate, &gradients).expect("threads");
            losses.push(gradients.mean_loss().expect("targets"));
            norms.push(gradients.norm);
        }
        assert_eq!(learner.optimizer().step(), 20);
        assert_close(&format!("{level} loss"), &losses, &expected.require("loss").0, 1e-5 / losses[0]);
        assert_close(&format!("{level} norm"), &norms, &expected.require("grad_norm").0, 1e-5);
        for tensor in learner.weights().named(learner.config()) {
            let (truth, _) = expected.require(&format!("final.{}", tensor.spec.name));
            assert_close(&format!("{level} {}", tensor.spec.name), tensor.values, &truth, 2e-5);
        }
    }
}

/// A step whose windows ask for nothing leaves no loss, no gradients and no NaN.
#[test]
fn a_step_without_targets_is_no_nan() {
    let Checkpoint { config, weights, .. } =
        Checkpoint::load(fixture::root().join("train-hf-mamba")).unwrap_or_else(|error| panic!("{error}"));
    let options = AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.0 };
    let level = Level::detect().expect("a level");
    let mut learner = Learner::new(Cpu::new(level), config, weights.clone(), options, 1.0, NonZeroUsize::MIN);
    let read = |_| Ok(Batch { length: 9, ids: vec![7; 9], labels: vec![IGNORED; 9], weights: None });
    let division = Division::new(3, 9);
    let gradients = learner.gradients(division, read, &mut Alone::default(), &Unwatched);
    let gradients = gradients.expect("threads").expect("nobody stops it");
    assert_eq!((gradients.mean_loss(), gradients.accuracy(), gradients.norm), (None, None, 0.0));
    assert!(gradients.are_finite());
    learner.update(1e-3, &gradients).expect("threads");
    assert!(*learner.weights() == weights);
}

/// Counts bases, and stops the work when there are as many.
struct Counting {
    bases: AtomicU64,
    limit: u64,
}

impl Watch for Counting {
    fn advanced(&self, bases: u64) {
        self.bases.fetch_add(bases, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.bases.load(Ordering::Relaxed) >= self.limit
    }
}

/// What was broken off within a window changes neither weights nor the gradients of the next try.
#[test]
fn a_step_that_is_broken_off_leaves_no_trace() {
    let folder = fixture::root().join("train-hf-mamba");
    let Checkpoint { config, weights, .. } = Checkpoint::load(folder).unwrap_or_else(|error| panic!("{error}"));
    let options = AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };
    let level = Level::detect().expect("a level");
    let mut learner = Learner::new(Cpu::new(level), config, weights.clone(), options, 1.0, NonZeroUsize::MIN);
    let division = Division::new(3, 5_000);
    let ids = |index: u32| (0..5_000).map(|i| f64::from(3 + (i * i + index) % 5)).collect::<Vec<_>>();
    let mut learn = |limit| {
        let watch = Counting { bases: AtomicU64::new(0), limit };
        let read = |index| Ok(next_tokens(&ids(index)));
        let gradients = learner.gradients(division, read, &mut Alone::default(), &watch).expect("threads");
        assert!(*learner.weights() == weights);
        (gradients, watch.bases.into_inner())
    };
    let (whole, bases) = learn(u64::MAX);
    assert!(bases == 15_000 && whole.as_ref().is_some_and(|gradients| !gradients.is_last));
    for limit in [1, 2_000, 4_000, 9_000, 14_900] {
        let (gradients, bases) = learn(limit);
        assert!(gradients.is_none() && bases < limit + 2_000, "{limit}: {bases}");
        assert!(learn(u64::MAX).0 == whole, "behind {limit}");
    }
}
