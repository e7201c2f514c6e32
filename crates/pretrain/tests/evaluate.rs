//! Measuring small models, and the built-in one on examples of its own validation.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use longstrand_kernels::simd::Level;
use longstrand_model::Unwatched;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_pretrain::evaluate::{Class, EvaluateError, Evaluation, Input, Measured, WindowsOf};
use longstrand_pretrain::objective::Masking;
use longstrand_seq::GenomeOptions;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::load(repository("tests/fixtures").join(name)).expect("a value of the test")
}

fn yeast(regions: &[&str], lengths: &[u64], fractions: &[f64]) -> WindowsOf {
    WindowsOf {
        path: repository("data/scerevisiae_R64-1-1.fa.gz"),
        genome: GenomeOptions::default(),
        regions: regions.iter().map(ToString::to_string).collect(),
        beds: Vec::new(),
        lengths: lengths.iter().map(|&length| NonZeroU64::new(length).expect("a value of the test")).collect(),
        max_ambiguous: 0.1,
        maskings: fractions.iter().map(|&select| Masking { select, ..Masking::default() }).collect(),
        seed: 1,
    }
}

fn measured(input: Input, threads: usize, checkpoint: &Checkpoint) -> Result<Vec<Measured>, EvaluateError> {
    let evaluation = Evaluation {
        input,
        limit: NonZeroU64::new(20),
        threads: NonZeroUsize::new(threads).expect("a value of the test"),
    };
    evaluation.run(checkpoint, Level::widest(), &Unwatched)
}

#[test]
fn classes_add_up_and_threads_change_nothing() {
    let ph = checkpoint("caduceus-ph");
    let windows = || Input::Genome(yeast(&["I:1,001-9,000"], &[100, 700], &[0.15, 0.5]));
    let one = measured(windows(), 1, &ph).expect("a value of the test");
    assert_eq!(one, measured(windows(), 3, &ph).expect("a value of the test"));
    let shapes: Vec<_> = one.iter().map(|m| (m.length, m.selected, m.windows, m.left_out)).collect();
    let expected =
        [(100, Some(0.15), 20, 0), (100, Some(0.5), 20, 0), (700, Some(0.15), 11, 1), (700, Some(0.5), 11, 1)];
    assert_eq!(shapes, expected);
    for measured in &one {
        let of = |class| *measured.tally.total(class);
        let sum = |classes: &[Class], value: fn(&longstrand_pretrain::evaluate::Total) -> f64| -> f64 {
            classes.iter().map(|&class| value(&of(class))).sum()
        };
        let all = of(Class::All);
        for parts in [&[Class::Masked, Class::Visible][..], &[0, 1, 2, 3].map(Class::Base)[..]] {
            assert_eq!(sum(parts, |total| total.targets as f64), all.targets as f64);
            assert_eq!(sum(parts, |total| total.correct as f64), all.correct as f64);
            assert!((sum(parts, |total| total.loss) / all.loss - 1.0).abs() < 1e-12);
        }
        let bases = (measured.length * measured.windows) as f64;
        assert!(
            (all.targets as f64 / bases / measured.selected.expect("a value of the test") - 1.0).abs() < 0.1,
            "{}",
            all.targets
        );
        assert!((of(Class::Masked).targets as f64 / all.targets as f64 - 0.8).abs() < 0.1);
        let curve: f64 = measured.tally.curve().stretches().map(|stretch| stretch.total.loss).sum();
        assert!((curve / all.loss - 1.0).abs() < 1e-12);
    }
}

#[test]
fn a_causal_model_is_asked_for_every_next_base() {
    let causal = checkpoint("hf-mamba");
    let measured =
        measured(Input::Genome(yeast(&["I:1,001-2,000"], &[250], &[0.15])), 2, &causal).expect("a value of the test");
    let [measured] = &measured[..] else { panic!("one length") };
    assert_eq!((measured.selected, measured.windows, measured.tally.total(Class::All).targets), (None, 4, 4 * 249));
    assert_eq!(measured.tally.total(Class::Masked).targets, 0);
    let stretches: Vec<_> = measured.tally.curve().stretches().map(|s| (s.positions, s.total.targets)).collect();
    assert_eq!(stretches.first(), Some(&(0..1, 4)));
    assert_eq!(stretches.last(), Some(&(128..256, 4 * (249 - 128))));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let ph = checkpoint("caduceus-ph");
    let error = measured(Input::Genome(yeast(&["I:1-50"], &[100], &[0.15])), 1, &ph).unwrap_err().to_string();
    assert!(
        error.ends_with("expected a window of 100 bases, found none; 1 were too short or too ambiguous"),
        "{error}"
    );
    let error = measured(Input::Genome(yeast(&["Z:1-50"], &[10], &[0.15])), 1, &ph).unwrap_err();
    assert!(matches!(error, EvaluateError::Region { .. }), "{error}");
    let error = measured(Input::Genome(yeast(&[], &[10], &[1.5])), 1, &ph).unwrap_err().to_string();
    assert_eq!(error, "expected a fraction of selected bases from 0 to 1, found 1.5");
    let error = measured(Input::Genome(yeast(&[], &[10], &[0.1])), 1, &checkpoint("caduceus-ph-seqcls")).unwrap_err();
    assert!(matches!(&error, EvaluateError::Usage(told) if told.contains("has no such head")), "{error}");
}
