//! Tensors of random numbers.

use std::f64::consts::TAU;

use super::Tensor;
use crate::random::{Draws, Purpose};

/// The random numbers of one mixer, or of what is outside of layers.
pub(super) struct Fill {
    seed: u64,
    layer: u64,
    first: u32,
}

impl Fill {
    pub(super) fn new(seed: u64, layer: u64, is_reverse: bool) -> Self {
        const REVERSE: u32 = 1 << 16;
        Self { seed, layer, first: if is_reverse { REVERSE } else { 0 } }
    }

    fn draws(&self, tensor: Tensor) -> Draws {
        Draws::new(self.seed, Purpose::Initial, self.layer, self.first + tensor as u32)
    }

    /// Values made of one number in [0, 1) each.
    pub(super) fn of_units(&self, tensor: Tensor, n: usize, value: impl Fn(f64) -> f64) -> Vec<f32> {
        let draws = self.draws(tensor);
        let pairs = (0..n.div_ceil(2) as u64).flat_map(|i| draws.units(i));
        pairs.take(n).map(|unit| value(unit) as f32).collect()
    }

    pub(super) fn uniform(&self, tensor: Tensor, n: usize, low: f64, high: f64) -> Vec<f32> {
        self.of_units(tensor, n, |unit| low + (high - low) * unit)
    }

    /// U(−b, b) with b = 1/√inputs: PyTorch's Kaiming initialisation with a = √5.
    pub(super) fn fan_in(&self, tensor: Tensor, n: usize, inputs: usize) -> Vec<f32> {
        let bound = (inputs as f64).sqrt().recip();
        self.uniform(tensor, n, -bound, bound)
    }

    /// N(0, std²), by Box and Muller's transform of pairs.
    pub(super) fn normal(&self, tensor: Tensor, n: usize, std: f64) -> Vec<f32> {
        let draws = self.draws(tensor);
        let pair = |i| {
            let [a, b] = draws.units(i);
            let radius = std * (-2.0 * (1.0 - a).ln()).sqrt();
            let (sin, cos) = (TAU * b).sin_cos();
            [radius * cos, radius * sin]
        };
        (0..n.div_ceil(2) as u64).flat_map(pair).take(n).map(|x| x as f32).collect()
    }
}
