//! AdamW, with clipping by the norm of all gradients.
//!
//! For every parameter p with gradient g at step t = 1, 2, … (Loshchilov & Hutter 2019, Alg. 2, with the decay multiplied
//! by the rate, as PyTorch does):
//!
//! ```text
//! g ← g · factor                        factor = min(1, limit / (‖all gradients‖₂ + 1e-6))
//! p ← p − rate · decay · p              tensors that decay
//! m ← β₁ m + (1 − β₁) g                 v ← β₂ v + (1 − β₂) g²
//! p ← p − rate · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
//! ```
//!
//! Parameters, gradients and moments are f32; the norm is summed in f64, in blocks of a fixed size that are added in
//! their order. Threads work on such blocks, so that the bits do not depend on how many there are.

mod decay;
mod norm;
mod state;

use rayon::prelude::*;

pub use decay::decays;
pub use norm::{clip_factor, global_norm};
pub use state::StateError;

/// What AdamW does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWOptions {
    /// β₁, of the mean of gradients.
    pub beta1: f64,
    /// β₂, of the mean of their squares.
    pub beta2: f64,
    /// ε, added to the root.
    pub epsilon: f64,
    /// The decay of tensors that [decay](decays).
    pub weight_decay: f64,
}

/// The optimizer with its state.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    options: AdamWOptions,
    step: u64,
    tensors: Vec<Moments>,
}

/// A tensor's state.
#[derive(Clone, Debug, PartialEq)]
struct Moments {
    name: String,
    decays: bool,
    mean: Vec<f32>,
    square: Vec<f32>,
}

/// Elements that a thread works on at a time.
const BLOCK: usize = 1 << 14;

impl AdamW {
    /// An optimizer that has not moved yet, for tensors of these names and shapes.
    pub fn new<'a>(options: AdamWOptions, tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Self {
        let moments = |(name, shape): (&str, &[usize])| {
            let zeros = vec![0.0; shape.iter().product()];
            Moments { name: name.into(), decays: decays(name, shape), mean: zeros.clone(), square: zeros }
        };
        Self { options, step: 0, tensors: tensors.into_iter().map(moments).collect() }
    }

    /// Updates done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// What it does.
    pub fn options(&self) -> AdamWOptions {
        self.options
    }

    /// The tensors' names and whether they decay, in their order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, bool)> {
        self.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.decays))
    }

    /// Bytes of its state.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| 8 * tensor.mean.len() as u64).sum()
    }

    /// Moves the parameters against the gradients times `factor`. Both come in the order of the tensors.
    ///
    /// The caller sees to it that the gradients are finite ([`global_norm`] tells): one NaN here spoils its tensor for ever.
    ///
    /// # Panics
    ///
    /// When the number or the length of tensors is another.
    pub fn update(&mut self, rate: f64, factor: f64, parameters: &mut [&mut [f32]], gradients: &[&[f32]]) {
        assert_eq!(parameters.len(), self.tensors.len(), "one slice of parameters for each tensor");
        assert_eq!(gradients.len(), self.tensors.len(), "one slice of gradients for each tensor");
        self.step += 1;
        let update = Update::new(&self.options, self.step, rate, factor);
        let tensors = self.tensors.iter_mut().zip(parameters).zip(gradients);
        let blocks: Vec<_> =
            tensors.flat_map(|((moments, values), gradient)| moments.blocks(values, gradient)).collect();
        blocks.into_par_iter().for_each(|block| update.apply(block));
    }
}

/// A part of a tensor with its gradient and state.
struct Block<'a> {
    decays: bool,
    values: &'a mut [f32],
    gradient: &'a [f32],
    mean: &'a mut [f32],
    square: &'a mut [f32],
}

impl Moments {
    fn blocks<'a>(&'a mut self, values: &'a mut [f32], gradient: &'a [f32]) -> impl Iterator<Item = Block<'a>> {
        let n = self.mean.len();
        assert_eq!((values.len(), gradient.len()), (n, n), "the length of {}", self.name);
        let decays = self.decays;
        let moments = self.mean.chunks_mut(BLOCK).zip(self.square.chunks_mut(BLOCK));
        let values = values.chunks_mut(BLOCK).zip(gradient.chunks(BLOCK));
        values.zip(moments).map(move |((values, gradient), (mean, square))| Block {
            decays,
            values,
            gradient,
            mean,
            square,
        })
    }
}

/// The numbers of one update.
struct Update {
    factor: f32,
    /// 1 − rate · decay
    keep: f32,
    betas: [f32; 2],
    /// 1 − β
    rests: [f32; 2],
    /// rate / (1 − β₁ᵗ)
    stride: f32,
    /// 1 / √(1 − β₂ᵗ)
    spread: f32,
    epsilon: f32,
}

impl Update {
    fn new(options: &AdamWOptions, step: u64, rate: f64, factor: f64) -> Self {
        let AdamWOptions { beta1, beta2, epsilon, weight_decay } = *options;
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        Self {
            factor: factor as f32,
            keep: (1.0 - rate * weight_decay) as f32,
            betas: [beta1 as f32, beta2 as f32],
            rests: [(1.0 - beta1) as f32, (1.0 - beta2) as f32],
            stride: (rate / correction(beta1)) as f32,
            spread: (1.0 / correction(beta2).sqrt()) as f32,
            epsilon: epsilon as f32,
        }
    }

    fn apply(&self, block: Block<'_>) {
        let keep = if block.decays { self.keep } else { 1.0 };
        let moments = block.mean.iter_mut().zip(block.square);
        for ((p, g), (m, v)) in block.values.iter_mut().zip(block.gradient).zip(moments) {
            let g = g * self.factor;
            *m = self.betas[0] * *m + self.rests[0] * g;
            *v = self.betas[1] * *v + self.rests[1] * (g * g);
            *p = keep * *p - self.stride * *m / (v.sqrt() * self.spread + self.epsilon);
        }
    }
}

#[cfg(test)]
mod tests;
