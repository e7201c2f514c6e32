//! Initial weights, as published.
//!
//! | tensor | value | source |
//! |---|---|---|
//! | projections, convolutions, untied language-model head | U(−b, b), b = 1/√(inputs of an output) | PyTorch's `Linear` and `Conv1d` |
//! | biases of projections | 0 | state-spaces/mamba, `_init_weights` |
//! | output projections | as above, divided by √(residuals a layer · layers) | GPT-2's rule as state-spaces/mamba has it |
//! | embedding, classification head | N(0, 0.02²) | `initializer_range` |
//! | norms' scales, D | 1; norms' shifts 0 | |
//! | Mamba: `A_log` | log 1, …, log N in every channel | Gu & Dao 2023, S4D-real |
//! | Mamba: `dt_proj` | weight U(−s, s), s = scale/√R; bias: a step size's inverse softplus | Gu & Dao 2023, 3.6 |
//! | Mamba-2: `A_log` | log of U(1, 16) | Dao & Gu 2024 |
//! | Mamba-2: `dt_bias` | a step size's inverse softplus | |
//!
//! A step size is log-uniform in [dt_min, dt_max] and at least dt_floor. transformers' own initial values differ in places
//! (an embedding of N(0, 0.1²), Mamba-2's A of 1, …, H); state-spaces' and Caduceus' are the ones of the published DNA models.
//!
//! The numbers of a tensor depend on seed, layer, direction and tensor alone: an untied model starts with the same
//! values as a tied one where both have them.

mod fill;

use longstrand_model::{
    checkpoint::{LayerWeights, LinearWeights, Mamba2Weights, MambaWeights, MixerWeights, NormWeights, Weights},
    config::{Config, Directions, Head, Mamba2Config, MambaConfig, MixerConfig, NormKind},
};

use fill::Fill;

/// What initial values depend on beside the model's sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InitOptions {
    /// Standard deviation of the embedding.
    pub embedding_std: f64,
    /// The smallest initial step size.
    pub dt_min: f64,
    /// The largest.
    pub dt_max: f64,
    /// What step sizes are raised to.
    pub dt_floor: f64,
    /// Scale of the step-size projection.
    pub dt_scale: f64,
    /// Whether output projections are divided by √(residuals a layer · layers).
    pub rescale_prenorm_residual: bool,
    /// Residual additions of a layer: 1, or 2 where a layer has an MLP too.
    pub residuals_per_layer: u32,
    /// −A of Mamba-2 is uniform between these.
    pub a_range: (f64, f64),
}

impl Default for InitOptions {
    /// As published for Mamba, Mamba-2 and Caduceus.
    fn default() -> Self {
        Self {
            embedding_std: 0.02,
            dt_min: 1e-3,
            dt_max: 0.1,
            dt_floor: 1e-4,
            dt_scale: 1.0,
            rescale_prenorm_residual: true,
            residuals_per_layer: 1,
            a_range: (1.0, 16.0),
        }
    }
}

/// The weights that a training of a model of `config` starts from.
pub fn initial_weights(config: &Config, options: &InitOptions, seed: u64) -> Weights {
    let init = Initial { config, options, seed };
    let outer = Fill::new(seed, 0, false);
    let (v, d) = (config.vocab_size, config.d_model);
    let lm_head = matches!(config.head, Head::LanguageModel { tied: false });
    let score = match config.head {
        Head::SequenceClassification { n_labels, .. } => {
            Some(outer.normal(Tensor::Score, n_labels * d, options.embedding_std))
        }
        _ => None,
    };
    Weights {
        embedding: outer.normal(Tensor::Embedding, v * d, options.embedding_std),
        layers: (0..config.n_layer).map(|layer| init.layer(layer)).collect(),
        norm_f: init.norm(),
        lm_head: lm_head.then(|| outer.fan_in(Tensor::LmHead, v * d, d)),
        score,
    }
}

/// Which numbers a tensor takes; never to be renumbered, so that a seed keeps its meaning.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Tensor {
    Embedding = 0,
    LmHead = 1,
    Score = 2,
    InProj = 3,
    ConvWeight = 4,
    ConvBias = 5,
    XProj = 6,
    DtWeight = 7,
    DtBias = 8,
    ALog = 9,
    OutProj = 10,
}

struct Initial<'a> {
    config: &'a Config,
    options: &'a InitOptions,
    seed: u64,
}

impl Initial<'_> {
    fn layer(&self, layer: usize) -> LayerWeights {
        let mixer = |is_reverse, has_projections| {
            let fill = Fill::new(self.seed, 1 + layer as u64, is_reverse);
            match &self.config.mixer {
                MixerConfig::Mamba(mamba) => MixerWeights::Mamba(self.mamba(mamba, &fill, has_projections)),
                MixerConfig::Mamba2(mamba2) => MixerWeights::Mamba2(self.mamba2(mamba2, &fill, has_projections)),
            }
        };
        let reverse = match self.config.directions {
            Directions::Causal => None,
            Directions::Bidirectional { tied, .. } => Some(mixer(true, !tied)),
        };
        LayerWeights { norm: self.norm(), forward: mixer(false, true), reverse }
    }

    fn norm(&self) -> NormWeights {
        let d = self.config.d_model;
        let bias = (self.config.norm.kind == NormKind::Layer).then(|| vec![0.0; d]);
        NormWeights { weight: vec![1.0; d], bias }
    }

    fn mamba(&self, mamba: &MambaConfig, fill: &Fill, has_projections: bool) -> MambaWeights {
        let MambaConfig { d_inner, d_state, d_conv, dt_rank, bias, conv_bias } = *mamba;
        let d = self.config.d_model;
        let scale = self.options.dt_scale / (dt_rank as f64).sqrt();
        let a_log: Vec<f32> = (1..=d_state).map(|n| (n as f64).ln() as f32).collect();
        MambaWeights {
            in_proj: has_projections.then(|| linear(fill, Tensor::InProj, 2 * d_inner, d, bias)),
            conv_weight: fill.fan_in(Tensor::ConvWeight, d_inner * d_conv, d_conv),
            conv_bias: conv_bias.then(|| fill.fan_in(Tensor::ConvBias, d_inner, d_conv)),
            x_proj: fill.fan_in(Tensor::XProj, (dt_rank + 2 * d_state) * d_inner, d_inner),
            dt_proj: LinearWeights {
                weight: fill.uniform(Tensor::DtWeight, d_inner * dt_rank, -scale, scale),
                bias: Some(self.step_sizes(fill, d_inner)),
            },
            a_log: a_log.repeat(d_inner),
            d: vec![1.0; d_inner],
            out_proj: has_projections.then(|| self.out_proj(fill, d_inner, bias)),
        }
    }

    fn mamba2(&self, mamba2: &Mamba2Config, fill: &Fill, has_projections: bool) -> Mamba2Weights {
        let Mamba2Config { d_inner, d_conv, n_heads, bias, conv_bias, .. } = *mamba2;
        let channels = mamba2.conv_channels();
        let (low, high) = self.options.a_range;
        Mamba2Weights {
            in_proj: has_projections
                .then(|| linear(fill, Tensor::InProj, mamba2.projection_rows(), self.config.d_model, bias)),
            conv_weight: fill.fan_in(Tensor::ConvWeight, channels * d_conv, d_conv),
            conv_bias: conv_bias.then(|| fill.fan_in(Tensor::ConvBias, channels, d_conv)),
            dt_bias: self.step_sizes(fill, n_heads),
            a_log: fill.of_units(Tensor::ALog, n_heads, |unit| (low + (high - low) * unit).ln()),
            d: vec![1.0; n_heads],
            norm: vec![1.0; d_inner],
            out_proj: has_projections.then(|| self.out_proj(fill, d_inner, bias)),
        }
    }

    /// Biases whose softplus is log-uniform in [dt_min, dt_max], at least dt_floor.
    fn step_sizes(&self, fill: &Fill, n: usize) -> Vec<f32> {
        let InitOptions { dt_min, dt_max, dt_floor, .. } = *self.options;
        let (low, high) = (dt_min.ln(), dt_max.ln());
        fill.of_units(Tensor::DtBias, n, |unit| inverse_softplus((low + (high - low) * unit).exp().max(dt_floor)))
    }

    fn out_proj(&self, fill: &Fill, d_inner: usize, bias: bool) -> LinearWeights {
        let mut out_proj = linear(fill, Tensor::OutProj, self.config.d_model, d_inner, bias);
        if self.options.rescale_prenorm_residual {
            let residuals = f64::from(self.options.residuals_per_layer) * self.config.n_layer as f64;
            let factor = residuals.sqrt().recip() as f32;
            out_proj.weight.iter_mut().for_each(|weight| *weight *= factor);
        }
        out_proj
    }
}

fn linear(fill: &Fill, tensor: Tensor, n_out: usize, n_in: usize, bias: bool) -> LinearWeights {
    LinearWeights { weight: fill.fan_in(tensor, n_out * n_in, n_in), bias: bias.then(|| vec![0.0; n_out]) }
}

/// x with ln(1 + exp x) = y, for y > 0: y + ln(1 − exp(−y)).
fn inverse_softplus(y: f64) -> f64 {
    y + (-(-y).exp_m1()).ln()
}

#[cfg(test)]
mod tests;
