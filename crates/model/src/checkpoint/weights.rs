//! The parameters of a model, widened to f32, row-major.

/// All parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Token embedding, `[V, D]`.
    pub embedding: Vec<f32>,
    /// One for each layer.
    pub layers: Vec<LayerWeights>,
    /// The norm after the last layer.
    pub norm_f: NormWeights,
    /// The language-model head, `[V, D]`; `None` when it is the embedding or there is none.
    pub lm_head: Option<Vec<f32>>,
    /// The classification head, `[labels, D]`.
    pub score: Option<Vec<f32>>,
}

/// A norm's scale and, for layer norms, shift.
#[derive(Clone, Debug, PartialEq)]
pub struct NormWeights {
    /// Scale, `[D]`.
    pub weight: Vec<f32>,
    /// Shift, `[D]`; layer norms alone.
    pub bias: Option<Vec<f32>>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWeights {
    /// The norm before the mixer.
    pub norm: NormWeights,
    /// The left-to-right mixer.
    pub forward: MixerWeights,
    /// The right-to-left mixer of bidirectional models.
    pub reverse: Option<MixerWeights>,
}

/// A mixer's parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum MixerWeights {
    /// Mamba.
    Mamba(MambaWeights),
    /// Mamba-2.
    Mamba2(Mamba2Weights),
}

/// An affine map.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearWeights {
    /// `[out, in]`
    pub weight: Vec<f32>,
    /// `[out]`
    pub bias: Option<Vec<f32>>,
}

/// A Mamba mixer; `I` is `d_inner`.
#[derive(Clone, Debug, PartialEq)]
pub struct MambaWeights {
    /// `[2 I, D]`, rows x then z; `None` in a reverse mixer that uses the forward one's.
    pub in_proj: Option<LinearWeights>,
    /// `[I, K]`
    pub conv_weight: Vec<f32>,
    /// `[I]`
    pub conv_bias: Option<Vec<f32>>,
    /// `[R + 2 N, I]`, rows Δ, B, C.
    pub x_proj: Vec<f32>,
    /// `[I, R]`; its bias is the step-size bias.
    pub dt_proj: LinearWeights,
    /// log(−A), `[I, N]`
    pub a_log: Vec<f32>,
    /// Skip, `[I]`
    pub d: Vec<f32>,
    /// `[D, I]`; `None` in a reverse mixer that uses the forward one's.
    pub out_proj: Option<LinearWeights>,
}

/// A Mamba-2 mixer; `I` is `d_inner`, `H` the heads, `C` the channels of the convolution, I + 2 G N.
#[derive(Clone, Debug, PartialEq)]
pub struct Mamba2Weights {
    /// `[I + C + H, D]`, rows z, x, B, C, Δ; `None` in a reverse mixer that uses the forward one's.
    pub in_proj: Option<LinearWeights>,
    /// `[C, K]`
    pub conv_weight: Vec<f32>,
    /// `[C]`
    pub conv_bias: Option<Vec<f32>>,
    /// Step-size bias, `[H]`
    pub dt_bias: Vec<f32>,
    /// log(−A), `[H]`
    pub a_log: Vec<f32>,
    /// Skip, `[H]`
    pub d: Vec<f32>,
    /// Scale of the gated norm, `[I]`
    pub norm: Vec<f32>,
    /// `[D, I]`; `None` in a reverse mixer that uses the forward one's.
    pub out_proj: Option<LinearWeights>,
}

impl Weights {
    /// Number of parameters; a tied one counts once.
    pub fn parameter_count(&self) -> u64 {
        let layers: usize = self.layers.iter().map(LayerWeights::len).sum();
        let heads = optional_len(&self.lm_head) + optional_len(&self.score);
        (self.embedding.len() + layers + self.norm_f.len() + heads) as u64
    }
}

impl NormWeights {
    fn len(&self) -> usize {
        self.weight.len() + optional_len(&self.bias)
    }
}

impl LayerWeights {
    fn len(&self) -> usize {
        self.norm.len() + self.forward.len() + self.reverse.as_ref().map_or(0, MixerWeights::len)
    }
}

impl MixerWeights {
    fn len(&self) -> usize {
        match self {
            Self::Mamba(mamba) => mamba.len(),
            Self::Mamba2(mamba2) => mamba2.len(),
        }
    }
}

impl LinearWeights {
    fn len(&self) -> usize {
        self.weight.len() + optional_len(&self.bias)
    }
}

impl MambaWeights {
    fn len(&self) -> usize {
        let projections = [&self.in_proj, &self.out_proj];
        let projections: usize = projections.into_iter().flatten().map(LinearWeights::len).sum();
        let vectors = [&self.conv_weight, &self.x_proj, &self.a_log, &self.d];
        let vectors: usize = vectors.into_iter().map(Vec::len).sum();
        projections + vectors + optional_len(&self.conv_bias) + self.dt_proj.len()
    }
}

impl Mamba2Weights {
    fn len(&self) -> usize {
        let projections = [&self.in_proj, &self.out_proj];
        let projections: usize = projections.into_iter().flatten().map(LinearWeights::len).sum();
        let vectors = [&self.conv_weight, &self.dt_bias, &self.a_log, &self.d, &self.norm];
        let vectors: usize = vectors.into_iter().map(Vec::len).sum();
        projections + vectors + optional_len(&self.conv_bias)
    }
}

fn optional_len(values: &Option<Vec<f32>>) -> usize {
    values.as_ref().map_or(0, Vec::len)
}
