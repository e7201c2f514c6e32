use half::bf16;

use super::{Case, IGNORED, LENGTHS, Loss, Random, WIDTHS, assert_close, case, nans, widen};
use crate::{
    cross_entropy::cuda::{self, LossSums},
    cuda::{
        Buffer, Device, Real, View, testing,
        testing::{tolerance, widen as widen_real},
    },
};

/// Widths around that of the widest row of a thread, and those that have vectors.
const BORDERS: &[usize] = &[4, 15, 20, 31, 32, 33, 64];

/// Widths that the reference, whose vocabularies have no more tokens than labels, does not have.
const WIDE: &[usize] = &[256, 1000, 4096];

/// NaN that lie behind the gradient.
const BEYOND: usize = 9;

/// A case on a device.
struct Uploaded {
    width: usize,
    logits: Buffer<f32>,
    labels: Buffer<u8>,
    weights: Option<Buffer<f32>>,
}

impl Uploaded {
    fn new(device: &Device, case: &Case) -> Self {
        Self {
            width: case.width,
            logits: device.upload(&case.logits).unwrap(),
            labels: device.upload(&case.labels).unwrap(),
            weights: case.weights.as_ref().map(|weights| device.upload(weights).unwrap()),
        }
    }

    fn targets(&self) -> cuda::Targets<'_> {
        cuda::Targets { labels: self.labels.view(), weights: self.weights.as_ref().map(Buffer::view) }
    }

    fn forward(&self, logits: View<'_, f32>, sums: &mut LossSums) {
        cuda::forward(logits, self.width, &self.targets(), sums).unwrap();
    }

    /// The gradient, `before` elements away from a 16-byte border.
    fn backward<T: Real>(&self, logits: View<'_, f32>, before: usize) -> Vec<T> {
        let nans = vec![T::from_f32(f32::NAN); before + logits.len() + BEYOND];
        let mut d_logits = logits.device().upload(&nans).unwrap();
        let out = d_logits.view_mut().slice(before..before + logits.len());
        cuda::backward(logits, self.width, &self.targets(), 0.125, out).unwrap();
        let host = d_logits.view().to_vec().unwrap();
        let (out, beyond) = host[before..].split_at(logits.len());
        assert!(host[..before].iter().chain(beyond).all(|x| x.to_f32().is_nan()), "written outside");
        out.to_vec()
    }
}

fn run<T: Real>(device: &Device, case: &Case) -> (Loss, Vec<T>) {
    let (uploaded, mut sums) = (Uploaded::new(device, case), LossSums::new(device).unwrap());
    uploaded.forward(uploaded.logits.view(), &mut sums);
    (sums.read().unwrap(), uploaded.backward(uploaded.logits.view(), 0))
}

/// Losses and gradients next to nothing, as of a label that is all but certain, may be off by what one of a mean weight may.
fn assert_equal<T: Real>(what: &str, (loss, d_logits): &(Loss, Vec<T>), expected: &(Loss, Vec<f64>)) {
    let (what, mut got) = (format!("{what} {}", T::NAME), widen_real(d_logits));
    let (mut gradient, mean) = (expected.1.clone(), 0.125 * expected.0.weight / expected.0.counted.max(1) as f64);
    got.push(mean);
    gradient.push(mean);
    assert_close(&format!("{what} gradient"), &got, &gradient, tolerance::<T>(2e-6));
    let (got, expected) = (loss, &expected.0);
    assert_close(&format!("{what} sum"), &[got.sum, got.weight], &[expected.sum, expected.weight], 1e-6);
    assert_close(&format!("{what} weight"), &[got.weight], &[expected.weight], 1e-13);
    assert_eq!((got.counted, got.correct), (expected.counted, expected.correct), "{what}");
}

fn equals_reference<T: Real>() {
    let Some(device) = testing::device() else { return };
    for &width in WIDTHS.iter().chain(BORDERS) {
        for &len in LENGTHS {
            for weighted in [false, true] {
                let case = case(len, width, weighted);
                let (loss, _, d_logits) = case.run_reference();
                let what = format!("V {width} L {len} weighted {weighted}");
                assert_equal(&what, &run::<T>(&device, &case), &(loss, d_logits));
            }
        }
    }
}

#[test]
fn f32_equals_the_reference() {
    equals_reference::<f32>();
}

#[test]
fn bf16_equals_the_reference() {
    equals_reference::<bf16>();
}

/// The room's equations for a vocabulary of any size.
fn equations(case: &Case) -> (Loss, Vec<f64>) {
    let (mut total, mut d_logits) = (Loss::default(), vec![0.0; case.logits.len()]);
    let rows = case.logits.chunks(case.width).zip(d_logits.chunks_mut(case.width));
    for (t, (row, d_row)) in rows.enumerate() {
        if case.labels[t] == IGNORED {
            continue;
        }
        let (label, weight) = (usize::from(case.labels[t]), case.weights.as_ref().map_or(1.0, |w| w[t].into()));
        let row = widen(row);
        let normaliser = row.iter().map(|x| x.exp()).sum::<f64>().ln();
        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let is_first = row.iter().position(|&x| x == most) == Some(label);
        total = total.and(Loss::of(normaliser - row[label], weight, is_first));
        for (d_x, x) in d_row.iter_mut().zip(&row) {
            *d_x = 0.125 * weight * (x - normaliser).exp();
        }
        d_row[label] -= 0.125 * weight;
    }
    (total, d_logits)
}

#[test]
fn vocabularies_of_more_tokens_than_labels_keep_to_the_equations() {
    let Some(device) = testing::device() else { return };
    for &width in WIDE {
        for len in [1, 31, 33, 257] {
            for weighted in [false, true] {
                let mut case = case(len, width, weighted);
                let raise = |(row, &label): (&mut [f32], &u8)| row[usize::from(label)] += 8.0;
                case.logits.chunks_mut(width).zip(&case.labels).step_by(3).for_each(raise);
                let (what, expected) = (format!("V {width} L {len} weighted {weighted}"), equations(&case));
                assert_equal(&what, &run::<f32>(&device, &case), &expected);
                assert_equal(&what, &run::<bf16>(&device, &case), &expected);
            }
        }
    }
}

#[test]
fn losses_are_added_until_the_sums_are_zeroed() {
    let Some(device) = testing::device() else { return };
    let (first, second) = (case(1000, 12, true), case(77, 100, false));
    let mut sums = LossSums::new(&device).unwrap();
    assert_eq!(sums.read().unwrap(), Loss::default());
    for case in [&first, &second] {
        let case = Uploaded::new(&device, case);
        case.forward(case.logits.view(), &mut sums);
    }
    let both = run::<f32>(&device, &first).0.and(run::<f32>(&device, &second).0);
    assert_eq!(sums.read().unwrap(), both);
    sums.zero().unwrap();
    assert_eq!(sums.read().unwrap(), Loss::default());
}

#[test]
fn no_positions_add_nothing() {
    let Some(device) = testing::device() else { return };
    let empty = Case { width: 12, logits: vec![], labels: vec![], weights: None };
    assert_eq!(run::<f32>(&device, &empty), (Loss::default(), vec![]));
}

#[test]
fn two_runs_are_the_same_bits() {
    let Some(device) = testing::device() else { return };
    for (len, width) in [(1_000_003, 12), (100_003, 17), (20_001, 100), (1009, 1000)] {
        let case = case(len, width, true);
        assert!(run::<f32>(&device, &case) == run::<f32>(&device, &case), "V {width}");
    }
}

#[test]
fn rows_that_are_not_aligned_are_the_same_bits() {
    let Some(device) = testing::device() else { return };
    for width in [12, 16, 32, 100] {
        let case = case(301, width, true);
        let (uploaded, mut sums) = (Uploaded::new(&device, &case), LossSums::new(&device).unwrap());
        let shifted = device.upload(&[&[f32::NAN], &case.logits[..]].concat()).unwrap();
        let shifted = shifted.view().slice(1..);
        uploaded.forward(shifted, &mut sums);
        let (loss, d_logits) = run::<bf16>(&device, &case);
        assert_eq!(sums.read().unwrap(), loss, "V {width}");
        for (logits, before) in [(shifted, 0), (shifted, 1), (uploaded.logits.view(), 3)] {
            assert!(uploaded.backward::<bf16>(logits, before) == d_logits, "V {width} {before}");
        }
    }
}

#[test]
fn of_equal_logits_the_first_is_what_is_said() {
    let Some(device) = testing::device() else { return };
    for width in [4, 12, 32, 40] {
        let case = Case { width, logits: vec![1.5; 3 * width], labels: vec![2, IGNORED, 0], weights: None };
        let loss = run::<f32>(&device, &case).0;
        assert_eq!((loss.counted, loss.correct), (2, 1), "V {width}");
        assert_close("sum", &[loss.sum], &[2.0 * (width as f64).ln()], 1e-6);
    }
}

#[test]
fn a_row_of_gradients_adds_up_to_nothing_even_of_huge_logits() {
    let Some(device) = testing::device() else { return };
    for width in [16, 64] {
        let logits = Random::new(2).vector(64 * width, -1e4, 1e4);
        let case = Case { logits, ..case(64, width, false) };
        for row in run::<f32>(&device, &case).1.chunks(width) {
            assert!(row.iter().sum::<f32>().abs() < 1e-6, "{row:?}");
        }
    }
}

#[test]
fn what_is_ignored_is_not_looked_at() {
    let Some(device) = testing::device() else { return };
    for width in [2, 12, 40] {
        let logits = Random::new(1).vector(3 * width, -1.0, 1.0);
        let case = |labels: [u8; 3]| Case {
            width,
            logits: [&logits[..width], &vec![f32::NAN; width], &logits[2 * width..]].concat(),
            labels: labels.to_vec(),
            weights: Some(vec![1.0, f32::NAN, 0.5]),
        };
        let (loss, d_logits) = run::<f32>(&device, &case([1, IGNORED, 0]));
        assert!(loss.sum > 0.0 && (loss.weight, loss.counted) == (1.5, 2), "{loss:?}");
        assert!(nans(&d_logits).is_empty() && d_logits[width..2 * width] == vec![0.0; width], "{d_logits:?}");
        assert_eq!(run::<f32>(&device, &case([IGNORED; 3])), (Loss::default(), vec![0.0; 3 * width]));
    }
}

#[test]
fn a_nan_reaches_its_row_and_the_sum() {
    let Some(device) = testing::device() else { return };
    for width in [12, 20, 40] {
        let mut sick = case(5, width, false);
        sick.labels = vec![1, 2, 3, 4, 5];
        sick.logits[2 * width + 11] = f32::NAN;
        let row: Vec<usize> = (2 * width..3 * width).collect();
        let (loss, d_logits) = run::<f32>(&device, &sick);
        assert!(loss.sum.is_nan() && (loss.weight, loss.counted) == (5.0, 5), "{loss:?}");
        assert_eq!(nans(&d_logits), row);
        sick.logits[2 * width..3 * width].fill(f32::NAN);
        let (loss, d_logits) = run::<f32>(&device, &sick);
        assert!(loss.sum.is_nan() && loss.correct <= 4, "a row of NaN says nothing");
        assert_eq!(nans(&d_logits), row);
    }
}

#[test]
fn a_label_outside_the_vocabulary_is_a_loss_of_nan() {
    let Some(device) = testing::device() else { return };
    for width in [4, 12, 31, 40] {
        let mut sick = case(3, width, false);
        sick.labels = vec![1, width as u8, 2];
        let (loss, d_logits) = run::<f32>(&device, &sick);
        assert!(loss.sum.is_nan() && loss.counted == 3 && loss.correct <= 2, "{loss:?}");
        assert_eq!(nans(&d_logits), (width..2 * width).collect::<Vec<_>>());
    }
}

#[test]
#[should_panic(expected = "length of the logits")]
fn logits_of_another_length_are_refused() {
    let Some(device) = testing::device() else { panic!("length of the logits (no device)") };
    let (mut sums, labels) = (LossSums::new(&device).unwrap(), device.zeros::<u8>(2).unwrap());
    let targets = cuda::Targets { labels: labels.view(), weights: None };
    let _ = cuda::forward(device.zeros::<f32>(9).unwrap().view(), 4, &targets, &mut sums);
}
