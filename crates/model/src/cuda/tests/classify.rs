use std::thread;

use longstrand_kernels::Reference;
use longstrand_kernels::cuda::Device;

use super::{CASES, LENGTHS, bidirectional_mamba2, checkpoint, device, sequence};
use crate::checkpoint::Checkpoint;
use crate::config::{ClassifierPooling, Head};
use crate::cuda::Arithmetic;
use crate::{Chunking, Engine, Gpus, Model, Processor};

pub(in crate::cuda) const POOLINGS: [ClassifierPooling; 4] =
    [ClassifierPooling::Mean, ClassifierPooling::Max, ClassifierPooling::First, ClassifierPooling::Last];

/// The same model with a classification head of three labels.
pub(in crate::cuda) fn classifier(checkpoint: &Checkpoint, pooling: ClassifierPooling) -> Checkpoint {
    let mut classifier = checkpoint.clone();
    let d = classifier.config.d_model;
    classifier.config.head = Head::SequenceClassification { n_labels: 3, pooling };
    let score = |i: usize| ((7 * i + i / d) % 13) as f32 / 13.0 - 0.4;
    classifier.weights.score = Some((0..3 * d).map(score).collect());
    classifier.weights.lm_head = None;
    classifier
}

/// Models of all kinds, without their heads' weight.
pub(in crate::cuda) fn models() -> impl Iterator<Item = (String, Checkpoint)> {
    CASES.iter().map(|&case| (case.to_string(), checkpoint(case))).chain(bidirectional_mamba2())
}

fn engine(device: &Device, arithmetic: Arithmetic, checkpoint: &Checkpoint) -> Engine {
    Engine::new(&Processor::Cuda(Gpus::new(vec![device.clone()], arithmetic)), checkpoint).unwrap()
}

fn logits(engine: &Engine, ids: &[u8]) -> Vec<f32> {
    let flow = engine.classify(ids, Chunking::Auto, &mut engine.scratch());
    flow.continue_value().unwrap_or_else(|| panic!("{:?}", engine.failure())).expect("a classification head")
}

#[test]
fn sequences_have_the_reference_s_logits_by_every_pooling() {
    let Some(device) = device() else { return };
    for (case, checkpoint) in models() {
        for pooling in POOLINGS {
            let checkpoint = classifier(&checkpoint, pooling);
            let model = Model::new(Reference, &checkpoint);
            for (arithmetic, tolerance) in [(Arithmetic::Single, 1e-4), (Arithmetic::Bf16, 0.1)] {
                let engine = engine(&device, arithmetic, &checkpoint);
                for len in LENGTHS {
                    let ids = sequence(len, 3);
                    let expected = model.classify(&ids, Chunking::Whole, &mut model.scratch()).unwrap();
                    let found = logits(&engine, &ids);
                    let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
                    let is_close = |(&x, y): (&f32, &f64)| (f64::from(x) - y).abs() <= tolerance * largest.max(1.0);
                    let what = format!("{case} {pooling:?} {arithmetic:?} of {len}");
                    assert!(found.iter().zip(&expected).all(is_close), "{what}: {found:?}, expected {expected:?}");
                }
            }
        }
    }
}

#[test]
fn sequences_that_are_classified_together_have_the_bits_of_each_alone() {
    let Some(device) = device() else { return };
    for (case, pooling) in [("hf-mamba2", ClassifierPooling::Last), ("caduceus-ps", ClassifierPooling::First)] {
        let engine = engine(&device, Arithmetic::Single, &classifier(&checkpoint(case), pooling));
        let sequences: Vec<Vec<u8>> = (0..24).map(|i| sequence([40, 41, 200][i % 3], i)).collect();
        let alone: Vec<Vec<f32>> = sequences.iter().map(|ids| logits(&engine, ids)).collect();
        let together: Vec<Vec<f32>> = thread::scope(|scope| {
            let threads: Vec<_> = sequences.iter().map(|ids| scope.spawn(|| logits(&engine, ids))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(together, alone, "{case} {pooling:?}");
    }
}

#[test]
fn a_model_without_such_a_head_has_no_classes() {
    let Some(device) = device() else { return };
    let engine = engine(&device, Arithmetic::Single, &checkpoint("hf-mamba"));
    assert_eq!(engine.classify(&sequence(9, 1), Chunking::Auto, &mut engine.scratch()).continue_value(), Some(None));
}
