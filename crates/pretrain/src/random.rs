//! Random numbers as a function of what they are for.
//!
//! Philox-4x32-10 (Salmon et al., SC 2011) turns a 128-bit counter and a 64-bit key into 128 bits that look random, with
//! no state. [`Draws`] uses it twice: the seed is the key and (step, index, purpose) the counter of a first block, whose
//! 128 bits are the key and the upper half of the counter of the blocks that are drawn. So the n-th draw of a window at
//! a step is the same whoever asks for it, when, and after what.

/// What numbers are drawn for. Different purposes have unrelated numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Purpose {
    /// Where the windows of a training step lie, and their strands.
    Window = 1,
    /// Which positions of a training window are masked, and by what.
    Mask = 2,
    /// Where the fixed windows of a validation lie.
    ValidationWindow = 3,
    /// Which positions of a validation window are masked, and by what.
    ValidationMask = 4,
    /// Initial weights: the step is the layer, the index the tensor.
    Initial = 5,
    /// Bases that are drawn from a model: the step is the sample, the index the prompt.
    Generate = 6,
    /// The order of sequences that are fine-tuned on: the step is the epoch.
    Order = 7,
    /// From which strand such a sequence is read: the step is the epoch, the index its place.
    Turn = 8,
    /// Which part of a table a sequence belongs to.
    Part = 9,
}

/// The random numbers that one thing needs, numbered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Draws {
    key: [u32; 2],
    upper: [u32; 2],
}

impl Draws {
    /// The numbers for `index` (such as a window of the batch) at `step`.
    pub fn new(seed: u64, purpose: Purpose, step: u64, index: u32) -> Self {
        let [step_low, step_high] = halves(step);
        let [a, b, c, d] = philox([step_low, step_high, index, purpose as u32], halves(seed));
        Self { key: [a, b], upper: [c, d] }
    }

    /// The `n`-th four words.
    pub fn block(&self, n: u64) -> [u32; 4] {
        let [low, high] = halves(n);
        philox([low, high, self.upper[0], self.upper[1]], self.key)
    }

    /// The `n`-th pair of numbers in [0, 1), 53 bits each.
    pub fn units(&self, n: u64) -> [f64; 2] {
        let [a, b, c, d] = self.block(n);
        [unit(join(a, b)), unit(join(c, d))]
    }

    /// The `n`-th number in [0, 1).
    pub fn unit(&self, n: u64) -> f64 {
        self.units(n)[0]
    }
}

/// A number in [0, 1) of the upper 53 of 64 random bits.
pub fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// A whole number below `bound` of 64 random bits; no two numbers differ in probability by more than 2⁻⁶⁴.
pub fn below(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// 64 bits of two words.
pub fn join(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// Philox-4x32 with 10 rounds.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for _ in 0..10 {
        let [low_0, high_0] = halves(u64::from(MULTIPLIERS[0]) * u64::from(counter[0]));
        let [low_1, high_1] = halves(u64::from(MULTIPLIERS[1]) * u64::from(counter[2]));
        counter = [high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0];
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that the authors of Random123 publish for philox4x32, 10 rounds.
    #[test]
    fn published_answers() {
        for (counter, key, expected) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox(counter, key), expected);
        }
    }

    #[test]
    fn every_argument_counts() {
        let base = Draws::new(1, Purpose::Window, 2, 3);
        let others = [
            Draws::new(2, Purpose::Window, 2, 3),
            Draws::new(1 << 32 | 1, Purpose::Window, 2, 3),
            Draws::new(1, Purpose::Mask, 2, 3),
            Draws::new(1, Purpose::Window, 3, 3),
            Draws::new(1, Purpose::Window, 1 << 32 | 2, 3),
            Draws::new(1, Purpose::Window, 2, 4),
        ];
        for other in others {
            assert_ne!(base.block(0), other.block(0));
        }
        assert_ne!(base.block(0), base.block(1));
        assert_ne!(base.block(0), base.block(1 << 32));
    }

    #[test]
    fn numbers_are_even() {
        let draws = Draws::new(7, Purpose::Mask, 0, 0);
        let n = 40_000;
        let mean: f64 = (0..n).map(|i| draws.unit(i)).sum::<f64>() / n as f64;
        assert!((mean - 0.5).abs() < 5.0 * (1.0_f64 / 12.0 / n as f64).sqrt(), "{mean}");
        let mut counts = [0_u64; 12];
        for i in 0..n {
            let [a, b, ..] = draws.block(i);
            counts[below(join(a, b), 12) as usize] += 1;
        }
        let expected = n as f64 / 12.0;
        let chi_square: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
        assert!(chi_square < 35.0, "{counts:?}");
        assert_eq!((below(u64::MAX, 12), below(0, 12), unit(0)), (11, 0, 0.0));
        assert!(unit(u64::MAX) < 1.0);
    }
}
