//! Gradients of all parameters, as the passes add them up and as a checkpoint holds them.

use longstrand_kernels::{backend::Scalar, embedding::add_complement};
use rayon::prelude::*;

use crate::checkpoint::{LayerWeights, LinearWeights, MixerWeights, NormWeights, Weights};
use crate::config::{Config, Head};
use crate::layer::Join;
use crate::strand::Arrangement;

/// Gradients of all parameters of a model, summed over sequences.
///
/// They lie as the passes use the weights: the channels of some layers reversed, convolutions and A transposed, A itself
/// in the place of its logarithm, and what is tied apart. [`Gradients::fold`] undoes that.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients<S> {
    /// In the layout of the passes.
    pub(crate) weights: Weights<S>,
    /// Of the second strand's embedding, the complement table, `[V, D]`.
    complement: Option<Vec<S>>,
    /// Of a head that is tied to the embedding, `[V, D]`.
    tied_head: Option<Vec<S>>,
}

impl<S: Scalar> Gradients<S> {
    /// Zeros for weights that follow their configuration.
    pub fn new(config: &Config, weights: &Weights) -> Self {
        let table = || vec![S::default(); weights.embedding.len()];
        Self {
            weights: weights.zeros_like(),
            complement: config.rcps.as_ref().map(|_| table()),
            tied_head: matches!(config.head, Head::LanguageModel { tied: true }).then(table),
        }
    }

    /// Forgets all that has been added.
    pub fn zero(&mut self) {
        self.all_mut().collect::<Vec<_>>().into_par_iter().for_each(|values| values.fill(S::default()));
    }

    /// Adds those of other sequences, of the same model.
    ///
    /// # Panics
    ///
    /// Panics if they are of another form.
    pub fn add(&mut self, other: &Self) {
        let others =
            other.weights.tensors().into_iter().chain(other.complement.as_deref()).chain(other.tied_head.as_deref());
        let mut count = 0;
        for (values, other) in self.all_mut().zip(others) {
            assert_eq!(values.len(), other.len(), "gradients of another model");
            values.iter_mut().zip(other).for_each(|(value, &other)| *value += other);
            count += 1;
        }
        assert_eq!(count, self.all_mut().count(), "gradients of another model");
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let more = [&self.complement, &self.tied_head].into_iter().flatten().map(Vec::len).sum::<usize>();
        (self.weights.parameter_count() as usize + more) * size_of::<S>()
    }

    /// The gradients in the layout of a checkpoint, by its own parameters: tied tensors once with the sum over all that use
    /// them, and log(−A) in the place of A. `weights` are those that the gradients were computed with.
    pub fn fold(&self, config: &Config, weights: &Weights) -> Weights<S> {
        let mut folded = self.weights.clone();
        folded.layers.par_iter_mut().zip(&weights.layers).enumerate().for_each(|(i, (layer, of))| {
            let flip = Arrangement::of_layer(config, i).swapped;
            fold_layer(layer, of, config, flip);
        });
        let flip = Arrangement::after_blocks(config, config.n_layer).swapped;
        fold_norm(&mut folded.norm_f, flip);
        let mut tied = self.tied_head.clone();
        for table in [folded.lm_head.as_mut(), folded.score.as_mut(), tied.as_mut()].into_iter().flatten() {
            flip_rows(table, config.d_model, flip);
        }
        if let (Some(complement), Some(rcps)) = (&self.complement, &config.rcps) {
            add_complement(complement, config.d_model, &rcps.complement_map, &mut folded.embedding);
        }
        folded.embedding.iter_mut().zip(tied.iter().flatten()).for_each(|(x, &tied)| *x += tied);
        folded
    }

    /// Where the gradient of a strand's embedding is added.
    pub(crate) fn table_mut(&mut self, strand: usize) -> &mut [S] {
        match (strand, &mut self.complement) {
            (1, Some(complement)) => complement,
            _ => &mut self.weights.embedding,
        }
    }

    /// Where the gradient of the language-model head is added.
    pub(crate) fn head_mut(&mut self) -> &mut [S] {
        self.tied_head.as_mut().or(self.weights.lm_head.as_mut()).expect("a language model has a head")
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut [S]> {
        let more = self.complement.as_deref_mut().into_iter().chain(self.tied_head.as_deref_mut());
        self.weights.tensors_mut().into_iter().chain(more)
    }
}

fn fold_layer<S: Scalar>(layer: &mut LayerWeights<S>, of: &LayerWeights, config: &Config, flip: bool) {
    let (d_model, taps) = (config.d_model, config.mixer.d_conv());
    let doubled = Join::of(config) == Join::SumBeforeProjection;
    fold_norm(&mut layer.norm, flip);
    let mixers = [Some((&mut layer.forward, &of.forward)), layer.reverse.as_mut().zip(of.reverse.as_ref())];
    for (mixer, of) in mixers.into_iter().flatten() {
        if let Some((in_proj, out_proj)) = mixer.projections_mut() {
            flip_rows(&mut in_proj.weight, d_model, flip);
            fold_output(out_proj, d_model, flip, doubled);
        }
        fold_core(mixer, of, taps);
    }
}

fn fold_norm<S>(norm: &mut NormWeights<S>, flip: bool) {
    if flip {
        norm.weight.reverse();
        norm.bias.iter_mut().for_each(|bias| bias.reverse());
    }
}

/// Reverses the channels of each row.
fn flip_rows<S>(table: &mut [S], width: usize, flip: bool) {
    if flip {
        table.chunks_exact_mut(width).for_each(<[S]>::reverse);
    }
}

/// Puts the rows of an output projection in order. A bias that the passes add once for two directions counts twice.
fn fold_output<S: Scalar>(out_proj: &mut LinearWeights<S>, d_model: usize, flip: bool, doubled: bool) {
    if flip {
        let inner = out_proj.weight.len() / d_model;
        out_proj.weight = out_proj.weight.chunks_exact(inner).rev().flatten().copied().collect();
        out_proj.bias.iter_mut().for_each(|bias| bias.reverse());
    }
    if doubled {
        out_proj.bias.iter_mut().flatten().for_each(|x| *x += *x);
    }
}

fn fold_core<S: Scalar>(mixer: &mut MixerWeights<S>, of: &MixerWeights, taps: usize) {
    match (mixer, of) {
        (MixerWeights::Mamba(mixer), MixerWeights::Mamba(of)) => {
            mixer.conv_weight = transpose(&mixer.conv_weight, mixer.conv_weight.len() / taps);
            mixer.a_log = transpose(&mixer.a_log, mixer.d.len());
            fold_a(&mut mixer.a_log, &of.a_log);
        }
        (MixerWeights::Mamba2(mixer), MixerWeights::Mamba2(of)) => {
            mixer.conv_weight = transpose(&mixer.conv_weight, mixer.conv_weight.len() / taps);
            fold_a(&mut mixer.a_log, &of.a_log);
        }
        _ => unreachable!("gradients follow the weights"),
    }
}

/// A = -exp(A_log), so that ∂A / ∂A_log = A.
fn fold_a<S: Scalar>(d_a: &mut [S], a_log: &[f32]) {
    for (d_a, &a_log) in d_a.iter_mut().zip(a_log) {
        *d_a = S::from_f64(d_a.to_f64() * -f64::from(a_log).exp());
    }
}

/// `[rows, columns]` to `[columns, rows]`.
fn transpose<S: Copy>(x: &[S], columns: usize) -> Vec<S> {
    let rows = x.len() / columns;
    (0..columns).flat_map(|c| (0..rows).map(move |r| x[r * columns + c])).collect()
}
