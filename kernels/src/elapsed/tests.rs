use super::{Steps, UNLIMITED, cpu, reference};
use crate::{
    Rows,
    simd::Level,
    testing::{LENGTHS, Random, assert_close, nans, widen},
};

const WIDTHS: &[usize] = &[1, 3, 5, 16, 17, 48, 100];
const LIMITS: [(f64, f64); 2] = [UNLIMITED, (0.05, 0.4)];

/// Δ from column 1 on of rows of `width + 2`, and the bias.
fn case(len: usize, width: usize) -> (Vec<f32>, Vec<f32>) {
    let mut random = Random::new((len * 1000 + width) as u64);
    (random.vector(len * (width + 2), -6.0, 3.0), random.vector(width, -1.0, 1.0))
}

fn run(level: Level, (delta, bias): &(Vec<f32>, Vec<f32>), limit: (f64, f64)) -> Vec<f64> {
    let mut sums = vec![0.5; bias.len()];
    let delta = Rows::columns(delta, bias.len() + 2, 1, bias.len());
    cpu::add(level, &Steps { bias, limit, delta }, &mut sums);
    sums
}

#[test]
fn cpu_equals_reference() {
    for &width in WIDTHS {
        for (&len, limit) in LENGTHS.iter().flat_map(|len| LIMITS.map(|limit| (len, limit))) {
            let case = case(len, width);
            let (delta, bias) = (widen(&case.0), widen(&case.1));
            let mut expected = vec![0.5; width];
            let delta = Rows::columns(&delta, width + 2, 1, width);
            reference::add(&Steps { bias: &bias, limit, delta }, &mut expected);
            for level in Level::available() {
                assert_close(&format!("{level} D {width} L {len}"), &run(level, &case, limit), &expected, 1e-6);
            }
        }
    }
}

#[test]
fn sums_do_not_depend_on_threads_and_what_is_no_number_spoils_its_channel_alone() {
    let mut case = case(769, 100);
    for level in Level::available() {
        let whole = run(level, &case, UNLIMITED);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(whole, pool.install(|| run(level, &case, UNLIMITED)), "{threads} threads");
        }
    }
    case.0[300 * 102 + 1 + 17] = f32::NAN;
    for (level, limit) in Level::available().into_iter().flat_map(|level| LIMITS.map(|limit| (level, limit))) {
        assert_eq!(nans(&run(level, &case, limit)), [17], "{level}");
    }
}
