use super::{IGNORED, Loss, Targets, cpu, reference};
use crate::testing::{LENGTHS, Random, assert_close, central_differences, nans, widen};

#[cfg(feature = "cuda")]
mod cuda;

const WIDTHS: &[usize] = &[1, 2, 3, 8, 12, 16, 17, 100, 255];

struct Case {
    width: usize,
    logits: Vec<f32>,
    labels: Vec<u8>,
    weights: Option<Vec<f32>>,
}

/// One label in four is ignored.
fn case(len: usize, width: usize, weighted: bool) -> Case {
    let mut random = Random::new((len * 1000 + width) as u64);
    let label = |random: &mut Random| match random.below(4) {
        0 => IGNORED,
        _ => random.below(width) as u8,
    };
    Case {
        width,
        labels: (0..len).map(|_| label(&mut random)).collect(),
        // All negative, so that a lane outside the row would be the largest.
        logits: random.vector(len * width, -9.0, -1.0),
        weights: weighted.then(|| random.vector(len, 0.0, 2.0)),
    }
}

impl Case {
    fn targets(&self) -> Targets<'_, f32> {
        Targets { labels: &self.labels, weights: self.weights.as_deref() }
    }

    fn run(&self) -> (Loss, Vec<f32>, Vec<f32>) {
        let (mut losses, mut d_logits) = (vec![9.0; self.labels.len()], vec![9.0; self.logits.len()]);
        let loss = cpu::forward(&self.logits, self.width, &self.targets(), Some(&mut losses));
        cpu::backward(&self.logits, self.width, &self.targets(), 0.125, &mut d_logits);
        (loss, losses, d_logits)
    }

    fn run_reference(&self) -> (Loss, Vec<f64>, Vec<f64>) {
        let (logits, weights) = (widen(&self.logits), self.weights.as_deref().map(widen));
        let targets = Targets { labels: &self.labels, weights: weights.as_deref() };
        let (mut losses, mut d_logits) = (vec![9.0; self.labels.len()], vec![9.0; self.logits.len()]);
        let loss = reference::forward(&logits, self.width, &targets, Some(&mut losses));
        reference::backward(&logits, self.width, &targets, 0.125, &mut d_logits);
        (loss, losses, d_logits)
    }
}

#[test]
fn cpu_equals_reference() {
    for &width in WIDTHS {
        for &len in LENGTHS {
            for weighted in [false, true] {
                let case = case(len, width, weighted);
                let (loss, losses, d_logits) = case.run();
                let (expected, expected_losses, expected_d_logits) = case.run_reference();
                let what = format!("V {width} L {len} weighted {weighted}");
                assert_close(&format!("{what} losses"), &losses, &expected_losses, 1e-6);
                assert_close(&format!("{what} sum"), &[loss.sum], &[expected.sum], 1e-6);
                assert_close(&format!("{what} weight"), &[loss.weight], &[expected.weight], 1e-14);
                assert_eq!((loss.counted, loss.correct), (expected.counted, expected.correct), "{what}");
                assert_eq!(cpu::forward(&case.logits, width, &case.targets(), None), loss, "{what} without losses");
                assert_close(&format!("{what} gradient"), &d_logits, &expected_d_logits, 1e-6);
            }
        }
    }
}

#[test]
fn reference_gradients_are_those_of_central_differences() {
    for weighted in [false, true] {
        let case = case(7, 4, weighted);
        let weights = case.weights.as_deref().map(widen);
        let targets = Targets { labels: &case.labels, weights: weights.as_deref() };
        let loss = |logits: &[f64]| 0.125 * reference::forward(logits, 4, &targets, None).sum;
        let expected = central_differences(&widen(&case.logits), loss);
        assert_close("logits", &case.run_reference().2, &expected, 1e-8);
    }
}

#[test]
fn even_logits_cost_the_logarithm_of_their_number() {
    let targets = Targets { labels: &[2, IGNORED, 0], weights: Some(&[3.0, 100.0, 0.5]) };
    let mut losses = [9.0; 3];
    let loss = cpu::forward(&[1.5; 12], 4, &targets, Some(&mut losses));
    // Of equals the first is what is said.
    assert_eq!((loss.weight, loss.counted, loss.correct), (3.5, 2, 1));
    assert_close("sum", &[loss.sum], &[3.5 * 4.0_f64.ln()], 1e-7);
    assert_close("losses", &losses, &[4.0_f64.ln(), 0.0, 4.0_f64.ln()], 1e-7);
}

#[test]
fn nothing_but_ignored_labels_is_zero_and_not_nan() {
    let targets = Targets { labels: &[IGNORED; 3], weights: None };
    let logits = [f32::NAN, 1.0, f32::INFINITY, 2.0, f32::NEG_INFINITY, f32::NEG_INFINITY];
    let (mut losses, mut d_logits) = ([9.0; 3], [9.0; 6]);
    assert_eq!(cpu::forward(&logits, 2, &targets, Some(&mut losses)), Loss::default());
    cpu::backward(&logits, 2, &targets, 1.0, &mut d_logits);
    assert_eq!((losses, d_logits), ([0.0; 3], [0.0; 6]));
    assert_eq!(cpu::forward(&[], 2, &Targets { labels: &[], weights: None }, None), Loss::default());
}

#[test]
fn a_row_of_gradients_adds_up_to_nothing_even_of_huge_logits() {
    let case = Case { logits: Random::new(2).vector(64 * 16, -1e4, 1e4), ..case(64, 16, false) };
    for row in case.run().2.chunks(16) {
        assert!(row.iter().sum::<f32>().abs() < 1e-6, "{row:?}");
    }
}

#[test]
fn losses_do_not_depend_on_threads() {
    let case = case(20_001, 12, true);
    let [one, three, again] = [1, 3, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| case.run())
    });
    assert!(one == three && three == again);
}

#[test]
fn a_nan_reaches_its_row_and_the_sum() {
    let mut sick = case(5, 12, false);
    sick.labels = vec![1, 2, 3, 4, 5];
    sick.logits[2 * 12 + 11] = f32::NAN;
    let (loss, losses, d_logits) = sick.run();
    assert!(loss.sum.is_nan() && loss.weight == 5.0);
    assert_eq!(nans(&losses), [2]);
    assert_eq!(nans(&d_logits), (24..36).collect::<Vec<_>>());
    sick.logits[2 * 12..3 * 12].fill(f32::NAN);
    assert!(sick.run().0.correct <= 4, "a row of NaN says nothing");
}

#[test]
#[should_panic(expected = "label 4 at position 1 lies outside a vocabulary of 4")]
fn a_label_outside_the_vocabulary_is_refused() {
    cpu::forward(&[0.0; 8], 4, &Targets { labels: &[IGNORED, 4], weights: None }, None);
}

#[test]
#[should_panic(expected = "a vocabulary of 256, expected 1 to 255")]
fn a_vocabulary_that_has_the_ignored_label_is_refused() {
    cpu::forward(&[0.0; 256], 256, &Targets { labels: &[0], weights: None }, None);
}
