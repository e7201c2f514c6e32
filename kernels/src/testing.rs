//! What the rooms' tests share: seeded numbers and a comparison that says what is wrong.

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

/// Asserts that the largest difference is at most `tolerance` times the largest expected magnitude; otherwise says
/// where and shows the first five pairs.
pub(crate) fn assert_close<T: Copy + Into<f64>>(what: &str, got: &[T], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: lengths differ");
    let got: Vec<f64> = got.iter().map(|&x| x.into()).collect();
    let scale = expected.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    let (worst, error) = got
        .iter()
        .zip(expected)
        .map(|(g, e)| if (g - e).is_nan() { f64::INFINITY } else { (g - e).abs() })
        .enumerate()
        .fold((0, 0.0), |best, here| if here.1 > best.1 { here } else { best });
    assert!(
        error <= tolerance * scale,
        "{what}: largest error {error:e} at {worst} is more than {tolerance:e} of {scale:e}; first pairs {:?}",
        got.iter().zip(expected).take(5).collect::<Vec<_>>()
    );
}

/// Lengths that every law is tried on: the smallest, those around a vector and a tile, a prime, a long one.
pub(crate) const LENGTHS: &[usize] = &[1, 2, 7, 31, 32, 33, 255, 256, 257, 769, 1500];
