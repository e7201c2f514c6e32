//! The parameters of a model, row-major, and what has the same form: gradients, an optimizer's moments.

mod parts;

use parts::Part;

/// All parameters, or one number of type `S` for each of them. A parameter that is used in two places is here once.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights<S = f32> {
    /// Token embedding, `[V, D]`.
    pub embedding: Vec<S>,
    /// One for each layer.
    pub layers: Vec<LayerWeights<S>>,
    /// The norm after the last layer.
    pub norm_f: NormWeights<S>,
    /// The language-model head, `[V, D]`; `None` when it is the embedding or there is none.
    pub lm_head: Option<Vec<S>>,
    /// The classification head, `[labels, D]`.
    pub score: Option<Vec<S>>,
}

/// A norm's scale and, for layer norms, shift.
#[derive(Clone, Debug, PartialEq)]
pub struct NormWeights<S = f32> {
    /// Scale, `[D]`.
    pub weight: Vec<S>,
    /// Shift, `[D]`; layer norms alone.
    pub bias: Option<Vec<S>>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWeights<S = f32> {
    /// The norm before the mixer.
    pub norm: NormWeights<S>,
    /// The left-to-right mixer.
    pub forward: MixerWeights<S>,
    /// The right-to-left mixer of bidirectional models.
    pub reverse: Option<MixerWeights<S>>,
}

/// A mixer's parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum MixerWeights<S = f32> {
    /// Mamba.
    Mamba(MambaWeights<S>),
    /// Mamba-2.
    Mamba2(Mamba2Weights<S>),
}

/// An affine map.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearWeights<S = f32> {
    /// `[out, in]`
    pub weight: Vec<S>,
    /// `[out]`
    pub bias: Option<Vec<S>>,
}

/// A Mamba mixer; `I` is `d_inner`.
#[derive(Clone, Debug, PartialEq)]
pub struct MambaWeights<S = f32> {
    /// `[2 I, D]`, rows x then z; `None` in a reverse mixer that uses the forward one's.
    pub in_proj: Option<LinearWeights<S>>,
    /// `[I, K]`
    pub conv_weight: Vec<S>,
    /// `[I]`
    pub conv_bias: Option<Vec<S>>,
    /// `[R + 2 N, I]`, rows Δ, B, C.
    pub x_proj: Vec<S>,
    /// `[I, R]`; its bias is the step-size bias.
    pub dt_proj: LinearWeights<S>,
    /// log(−A), `[I, N]`
    pub a_log: Vec<S>,
    /// Skip, `[I]`
    pub d: Vec<S>,
    /// `[D, I]`; `None` in a reverse mixer that uses the forward one's.
    pub out_proj: Option<LinearWeights<S>>,
}

/// A Mamba-2 mixer; `I` is `d_inner`, `H` the heads, `C` the channels of the convolution, I + 2 G N.
#[derive(Clone, Debug, PartialEq)]
pub struct Mamba2Weights<S = f32> {
    /// `[I + C + H, D]`, rows z, x, B, C, Δ; `None` in a reverse mixer that uses the forward one's.
    pub in_proj: Option<LinearWeights<S>>,
    /// `[C, K]`
    pub conv_weight: Vec<S>,
    /// `[C]`
    pub conv_bias: Option<Vec<S>>,
    /// Step-size bias, `[H]`
    pub dt_bias: Vec<S>,
    /// log(−A), `[H]`
    pub a_log: Vec<S>,
    /// Skip, `[H]`
    pub d: Vec<S>,
    /// Scale of the gated norm, `[I]`
    pub norm: Vec<S>,
    /// `[D, I]`; `None` in a reverse mixer that uses the forward one's.
    pub out_proj: Option<LinearWeights<S>>,
}

impl<S> Weights<S> {
    /// Number of parameters; a tied one counts once.
    pub fn parameter_count(&self) -> u64 {
        self.tensors().iter().map(|values| values.len() as u64).sum()
    }

    /// Every tensor once, in the order of the fields: embedding, layers (norm, forward mixer, reverse mixer), final norm,
    /// heads.
    pub fn tensors(&self) -> Vec<&[S]> {
        let mut tensors = Vec::new();
        self.collect(&mut tensors);
        tensors
    }

    /// As [`Weights::tensors`], to be changed.
    pub fn tensors_mut(&mut self) -> Vec<&mut [S]> {
        let mut tensors = Vec::new();
        self.collect_mut(&mut tensors);
        tensors
    }

    /// The same form with the tensors that `of` makes, one from each, in the order of [`Weights::tensors`].
    pub fn map<T>(&self, mut of: impl FnMut(&[S]) -> Vec<T>) -> Weights<T> {
        Part::map(self, &mut of)
    }

    /// The same form, all zeros, of any number type.
    pub fn zeros_like<T: Clone + Default>(&self) -> Weights<T> {
        self.map(|values| vec![T::default(); values.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field of every part, each tensor of one element, numbered in the order of the fields.
    fn numbered() -> Weights<usize> {
        let mut count = 0;
        let mut next = || {
            count += 1;
            vec![count - 1]
        };
        let embedding = next();
        let mut norm = || NormWeights { weight: next(), bias: Some(next()) };
        let first = norm();
        let mut linear = || LinearWeights { weight: next(), bias: Some(next()) };
        let forward = MambaWeights {
            in_proj: Some(linear()),
            conv_weight: next(),
            conv_bias: Some(next()),
            x_proj: next(),
            dt_proj: LinearWeights { weight: next(), bias: Some(next()) },
            a_log: next(),
            d: next(),
            out_proj: Some(LinearWeights { weight: next(), bias: None }),
        };
        let reverse = Mamba2Weights {
            in_proj: None,
            conv_weight: next(),
            conv_bias: None,
            dt_bias: next(),
            a_log: next(),
            d: next(),
            norm: next(),
            out_proj: Some(LinearWeights { weight: next(), bias: Some(next()) }),
        };
        let (forward, reverse) = (MixerWeights::Mamba(forward), Some(MixerWeights::Mamba2(reverse)));
        Weights {
            embedding,
            layers: vec![LayerWeights { norm: first, forward, reverse }],
            norm_f: NormWeights { weight: next(), bias: None },
            lm_head: Some(next()),
            score: Some(next()),
        }
    }

    #[test]
    fn tensors_are_in_the_order_of_the_fields() {
        let mut weights = numbered();
        let count = weights.parameter_count() as usize;
        let expected: Vec<usize> = (0..count).collect();
        assert_eq!(weights.tensors().concat(), expected);
        for values in weights.tensors_mut() {
            values[0] += 1;
        }
        assert_eq!(weights.tensors().concat(), (1..=count).collect::<Vec<_>>());
    }

    #[test]
    fn a_map_keeps_the_form() {
        let weights = numbered();
        assert_eq!(weights.map(<[usize]>::to_vec), weights);
        let zeros: Weights<f64> = weights.zeros_like();
        assert_eq!(zeros.parameter_count(), weights.parameter_count());
        assert!(zeros.tensors().concat().iter().all(|&value| value == 0.0));
        let back = zeros.map(|values| vec![0_usize; values.len()]);
        assert_eq!(back, weights.zeros_like());
    }
}
