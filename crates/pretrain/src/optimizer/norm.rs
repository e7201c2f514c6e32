//! The norm of all gradients, and how far it is brought down.

use rayon::prelude::*;

use super::BLOCK;

/// √Σ g² over all tensors; NaN or infinite when a gradient is.
pub fn global_norm(gradients: &[&[f32]]) -> f64 {
    let blocks: Vec<&[f32]> = gradients.iter().flat_map(|gradient| gradient.chunks(BLOCK)).collect();
    let sums: Vec<f64> = blocks.into_par_iter().map(sum_of_squares).collect();
    sums.into_iter().sum::<f64>().sqrt()
}

/// Sums in eight lanes, which compiles to vector code, then the lanes.
fn sum_of_squares(block: &[f32]) -> f64 {
    let mut lanes = [0.0; 8];
    let (whole, rest) = block.as_chunks::<8>();
    for values in whole {
        for (lane, &value) in lanes.iter_mut().zip(values) {
            *lane += f64::from(value) * f64::from(value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(value) * f64::from(value);
    }
    lanes.into_iter().sum()
}

/// What gradients of this norm are multiplied by so that it is at most `limit`: min(1, limit / (norm + 1e-6)). A norm that
/// is no number gives a factor that is none.
pub fn clip_factor(norm: f64, limit: f64) -> f64 {
    let factor = limit / (norm + 1e-6);
    if factor > 1.0 { 1.0 } else { factor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_norm_is_that_of_all_tensors() {
        let a: Vec<f32> = (0..100_003).map(|i| (i % 17) as f32 - 8.0).collect();
        let b = [3.0, -4.0];
        let expected: f64 = a.iter().chain(&b).map(|&x| f64::from(x) * f64::from(x)).sum();
        assert_eq!(global_norm(&[&a, &b]), expected.sqrt());
        assert_eq!(global_norm(&[&b]), 5.0);
        assert_eq!(global_norm(&[]), 0.0);
        assert!(global_norm(&[&b, &[f32::NAN]]).is_nan());
        assert_eq!(global_norm(&[&[1e-30, f32::MAX]]), f64::from(f32::MAX));
    }

    #[test]
    fn threads_change_no_bit() {
        let values: Vec<f32> =
            (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 * 1e-9 - 0.008).collect();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| global_norm(&[&values, &values[7..]])).to_bits()
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn the_factor_brings_down_and_never_up() {
        assert_eq!(clip_factor(0.0, 1.0), 1.0);
        assert_eq!(clip_factor(0.5, 1.0), 1.0);
        assert!((clip_factor(4.0, 1.0) - 0.25).abs() < 1e-6);
        assert!(clip_factor(f64::NAN, 1.0).is_nan());
        assert_eq!(clip_factor(2.0, f64::INFINITY), 1.0);
    }
}
