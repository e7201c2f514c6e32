//! A model that the reference code trained, against the logits that the reference code gave for it on real sequence.

use std::path::Path;

use longstrand_kernels::{Cpu, Rows, simd::Level};
use longstrand_model::{Chunking, Model, Observer, Request, Tap, checkpoint::Checkpoint};
use longstrand_tests::fixture::{Expected, assert_close};

struct Logits(Vec<f32>);

impl Observer<f32> for Logits {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, f32>) {}

    fn logits(&mut self, _: u64, rows: Rows<'_, f32>) {
        (0..rows.len()).for_each(|t| self.0.extend_from_slice(rows.row(t)));
    }
}

/// The logits were computed in f32 on a GPU, whose own rounding is part of the difference.
const TOLERANCE: f64 = 4e-6;

#[test]
fn the_model_has_its_logits_and_loss() {
    // Part of the repository, whatever LONGSTRAND_FIXTURES names.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/reference-trained");
    let expected = Expected::read(&folder);
    let checkpoint = Checkpoint::load(folder.join("model")).expect("the model");
    let (truth, _) = expected.require("logits");
    let labels = expected.ids("labels").concat();
    for level in Level::available() {
        let model = Model::new(Cpu::new(level), &checkpoint);
        let mut logits = Logits(Vec::new());
        for ids in expected.ids("input_ids") {
            let request = Request { taps: &[], logits: true };
            let pass = model.encode(&ids, Chunking::Auto, &request, &mut model.scratch(), &mut logits);
            assert!(pass.is_continue());
        }
        let logits: Vec<f64> = logits.0.into_iter().map(f64::from).collect();
        assert_close(&format!("{level} logits"), &logits, &truth, TOLERANCE);
        let (got, expected) = (mean_loss(&logits, &labels), mean_loss(&truth, &labels));
        assert!((got - expected).abs() < 1e-5, "{level}: a loss of {got}, expected {expected}");
        // A model whose loss is far from that of its card is not the model of the card.
        assert!((0.9..1.3).contains(&got), "a loss of {got} nats");
    }
}

/// Mean cross-entropy in nats over positions whose label is not 4.
fn mean_loss(logits: &[f64], labels: &[u8]) -> f64 {
    let losses: Vec<f64> = logits
        .chunks_exact(16)
        .zip(labels)
        .filter(|(_, label)| **label != 4)
        .map(|(row, &label)| row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[usize::from(label)])
        .collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}
