//! How results are held to the truth.

/// Asserts that the largest difference is at most `tolerance` times the largest expected magnitude.
///
/// A NaN is infinitely far from everything, another NaN too.
///
/// # Panics
///
/// Panics if a difference is larger, and says where, how large and what the first five pairs are; if the lengths
/// differ; or if there is nothing to compare.
pub fn assert_close<T: Copy + Into<f64>>(what: &str, got: &[T], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: lengths differ");
    assert!(!expected.is_empty(), "{what}: nothing to compare");
    let pairs = || got.iter().map(|&got| got.into()).zip(expected.iter().copied());
    let scale = expected.iter().fold(0.0_f64, |scale, x| scale.max(x.abs()));
    let (worst, error) = pairs()
        .map(|(got, expected)| if (got - expected).is_nan() { f64::INFINITY } else { (got - expected).abs() })
        .enumerate()
        .fold((0, 0.0), |worst, here| if here.1 > worst.1 { here } else { worst });
    assert!(
        error <= tolerance * scale,
        "{what}: largest error {error:e} at {worst} is more than {tolerance:e} of {scale:e}; first pairs {:?}",
        pairs().take(5).collect::<Vec<(f64, f64)>>()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_relative_to_the_largest_magnitude() {
        assert_close("close", &[100.0, 0.09], &[100.0, 0.0], 1e-3);
        assert_close("exact", &[0.0_f32], &[0.0], 0.0);
    }

    #[test]
    #[should_panic(
        expected = "far: largest error 1.1e-1 at 1 is more than 1e-3 of 1e2; first pairs [(100.0, 100.0), ("
    )]
    fn a_difference_beyond_the_bound_is_shown() {
        assert_close("far", &[100.0, 0.11], &[100.0, 0.0], 1e-3);
    }

    #[test]
    #[should_panic(expected = "largest error inf at 1")]
    fn a_nan_is_close_to_nothing() {
        assert_close("nan", &[1.0, f64::NAN], &[1.0, f64::NAN], 1.0);
    }

    #[test]
    #[should_panic(expected = "nothing to compare")]
    fn an_empty_comparison_is_refused() {
        assert_close::<f32>("empty", &[], &[], 1.0);
    }
}
