//! What the rooms' tests share: seeded numbers, sizes, and how results are looked at.

pub(crate) use crate::closeness::assert_close;

/// A small generator (SplitMix64) whose numbers depend on the seed alone.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Uniform in `[from, to)`, exactly representable in f32.
    pub(crate) fn uniform(&mut self, from: f32, to: f32) -> f32 {
        from + (to - from) * ((self.next() >> 40) as f32 / (1_u32 << 24) as f32)
    }

    /// Uniform in `[0, n)`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn vector(&mut self, n: usize, from: f32, to: f32) -> Vec<f32> {
        (0..n).map(|_| self.uniform(from, to)).collect()
    }
}

/// The same numbers in f64.
pub(crate) fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x.into()).collect()
}

/// Lengths that every law is tried on: the smallest, those around a vector and a tile, a prime, a long one.
pub(crate) const LENGTHS: &[usize] = &[1, 2, 7, 31, 32, 33, 255, 256, 257, 769, 1500];

/// The indices of what is not a number.
pub(crate) fn nans<T: Copy + Into<f64>>(x: &[T]) -> Vec<usize> {
    x.iter().enumerate().filter(|(_, x)| (**x).into().is_nan()).map(|(i, _)| i).collect()
}

/// The gradient of `f` at `x` by central differences in f64.
pub(crate) fn central_differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let at = |i: usize, step: f64| {
        let mut x = x.to_vec();
        x[i] += step;
        f(&x)
    };
    (0..x.len()).map(|i| (at(i, STEP) - at(i, -STEP)) / (2.0 * STEP)).collect()
}

/// Σ x · y: a scalar whose gradient with respect to `y` is `x`.
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// [`assert_close`] for sums of `terms` numbers of magnitude 1, which add up to `√terms` where their signs are random: a
/// tensor of few sums may be nothing but what they leave when they cancel.
pub(crate) fn assert_sums_close<T: Copy + Into<f64>>(
    what: &str,
    got: &[T],
    expected: &[f64],
    terms: usize,
    tolerance: f64,
) {
    let scale = (terms as f64).sqrt();
    let got: Vec<f64> = got.iter().map(|&x| x.into()).chain([scale]).collect();
    assert_close(what, &got, &[expected, &[scale]].concat(), tolerance);
}
