use super::*;
use crate::testing::{LENGTHS, Random, assert_close, central_differences, dot, nans};

#[cfg(feature = "cuda")]
mod cuda;

#[test]
fn sums_and_maxima_are_those_of_each_channel() {
    for &len in LENGTHS {
        for width in [1, 3, 16, 100] {
            let rows = Random::new(len as u64).vector(len * width, -3.0, 1.0);
            let (mut sum, mut max) = (vec![0.0; width], vec![f64::NEG_INFINITY; width]);
            add_rows(&rows, &mut sum);
            max_rows(&rows, &mut max);
            for d in 0..width {
                let channel = || rows.iter().skip(d).step_by(width).map(|&x| f64::from(x));
                assert_eq!(sum[d], channel().fold(0.0, |sum, x| sum + x));
                assert_eq!(max[d], channel().fold(f64::NEG_INFINITY, f64::max));
            }
        }
    }
}

#[test]
fn a_cut_anywhere_gives_the_same_bits() {
    let width = 5;
    let rows = Random::new(9).vector(769 * width, -1.0, 1.0);
    let mut whole = vec![0.0; width];
    add_rows(&rows, &mut whole);
    for cut in [0, 1, 7, 256, 769] {
        let mut parts = vec![0.0; width];
        add_rows(&rows[..cut * width], &mut parts);
        add_rows(&rows[cut * width..], &mut parts);
        assert_eq!(whole, parts, "cut at {cut}");
    }
}

#[test]
fn both_precisions_give_the_same() {
    let rows = Random::new(4).vector(300, -1.0, 1.0);
    let wide: Vec<f64> = rows.iter().map(|&x| x.into()).collect();
    let (mut narrow_sum, mut wide_sum) = ([0.0; 3], [0.0; 3]);
    add_rows(&rows, &mut narrow_sum);
    add_rows(&wide, &mut wide_sum);
    assert_eq!(narrow_sum, wide_sum);
}

#[test]
fn a_nan_stays_in_its_channel_for_good() {
    let rows = [1.0, f32::NAN, f32::NAN, 2.0, 3.0, 4.0];
    for cut in [2, 4, 6] {
        let (mut sum, mut max) = ([0.0; 2], [f64::NEG_INFINITY; 2]);
        for part in [&rows[..cut], &rows[cut..]] {
            add_rows(part, &mut sum);
            max_rows(part, &mut max);
        }
        assert!(sum[0].is_nan() && sum[1].is_nan(), "{sum:?}");
        assert!(max[0].is_nan() && max[1].is_nan(), "{max:?}");
    }
    let mut max = [f64::NEG_INFINITY; 2];
    max_rows(&[1.0, f32::NAN], &mut max);
    assert_eq!(nans(&max), [1]);
}

#[test]
fn backward_of_the_mean_gives_each_row_its_share() {
    let mut d_rows = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    mean_rows_backward(&[8.0, -4.0], 4, &mut d_rows);
    assert_eq!(d_rows, [3.0, 1.0, 5.0, 3.0, 7.0, 5.0]);
}

#[test]
fn backward_is_that_of_central_differences_however_the_rows_are_cut() {
    let width = 3;
    let rows: Vec<f64> = Random::new(6).vector(7 * width, -1.0, 1.0).iter().map(|&x| x.into()).collect();
    let d_out = [0.5, -2.0, 3.0];
    let pooled = |rows: &[f64]| {
        let (mut sum, mut max) = (vec![0.0; width], vec![f64::NEG_INFINITY; width]);
        add_rows(rows, &mut sum);
        max_rows(rows, &mut max);
        (sum, max)
    };
    let (_, max) = pooled(&rows);
    for cut in [0, 1, 4, 7] {
        let (mut d_mean, mut d_max, mut left) = (vec![0.0; rows.len()], vec![0.0; rows.len()], d_out);
        for part in [0..cut * width, cut * width..rows.len()] {
            mean_rows_backward(&d_out, 7, &mut d_mean[part.clone()]);
            max_rows_backward(&rows[part.clone()], &max, &mut left, &mut d_max[part]);
        }
        let expected = central_differences(&rows, |rows| dot(&d_out, &pooled(rows).0) / 7.0);
        assert_close("mean", &d_mean, &expected, 1e-9);
        assert_close("max", &d_max, &central_differences(&rows, |rows| dot(&d_out, &pooled(rows).1)), 1e-9);
        assert_eq!(left, [0.0; 3]);
    }
}

#[test]
fn backward_of_equal_maxima_goes_to_the_first() {
    let (mut d_rows, mut d_max) = ([1.0_f32; 3], [5.0]);
    max_rows_backward(&[2.0, 7.0, 7.0], &[7.0], &mut d_max, &mut d_rows);
    assert_eq!(d_rows, [1.0, 6.0, 1.0]);
}

#[test]
#[should_panic(expected = "4 elements are not a whole number of rows of 3")]
fn a_part_of_a_row_is_refused() {
    add_rows(&[1.0_f32; 4], &mut [0.0; 3]);
}
