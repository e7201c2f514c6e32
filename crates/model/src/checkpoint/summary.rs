//! What a checkpoint is, in a few lines.

use serde::Serialize;

use super::Checkpoint;
use crate::config::{ClassifierPooling, Config, Directions, Head, MixerConfig, NormKind, Rcps, Strategy};

/// A checkpoint's facts, for people and for JSON. What a model does not have is `None`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The checkpoint's name.
    pub name: String,
    /// The published family.
    pub family: String,
    /// Number of parameters; a tied one counts once.
    pub parameters: u64,
    /// Number of layers.
    pub n_layer: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Channels of an embedding of the final norm's output.
    pub hidden_width: usize,
    /// Width inside the mixer.
    pub d_inner: usize,
    /// State size.
    pub d_state: usize,
    /// Taps of the convolution.
    pub d_conv: usize,
    /// Rank of the step-size projection; Mamba.
    pub dt_rank: Option<usize>,
    /// Number of heads; Mamba-2.
    pub n_heads: Option<usize>,
    /// Channels of a head; Mamba-2.
    pub head_dim: Option<usize>,
    /// Groups of heads; Mamba-2.
    pub n_groups: Option<usize>,
    /// Kind and epsilon of the norm.
    pub norm: String,
    /// Which way the mixers run.
    pub directions: String,
    /// Reverse-complement parameter sharing: `fused` or `unfused`.
    pub rcps: Option<String>,
    /// What is computed from the final norm's output.
    pub head: String,
    /// The tokenizer's alphabet.
    pub vocabulary: String,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Window that the model was trained at, in bases.
    pub trained_context: Option<u64>,
    /// Element types of the weights on disk.
    pub stored_types: Vec<String>,
    /// SHA-256 of config, weights and alphabet.
    pub digest: String,
}

impl Summary {
    pub(super) fn of(checkpoint: &Checkpoint) -> Self {
        let Config { family, d_model, n_layer, vocab_size, mixer, .. } = &checkpoint.config;
        let (mamba, mamba2) = match mixer {
            MixerConfig::Mamba(mamba) => (Some(mamba), None),
            MixerConfig::Mamba2(mamba2) => (None, Some(mamba2)),
        };
        Self {
            name: checkpoint.name.clone(),
            family: family.to_string(),
            parameters: checkpoint.weights.parameter_count(),
            n_layer: *n_layer,
            d_model: *d_model,
            hidden_width: checkpoint.config.hidden_width(),
            d_inner: mixer.d_inner(),
            d_state: mixer.d_state(),
            d_conv: mixer.d_conv(),
            dt_rank: mamba.map(|mamba| mamba.dt_rank),
            n_heads: mamba2.map(|mamba2| mamba2.n_heads),
            head_dim: mamba2.map(|mamba2| mamba2.head_dim),
            n_groups: mamba2.map(|mamba2| mamba2.n_groups),
            norm: norm(&checkpoint.config),
            directions: directions(checkpoint.config.directions),
            rcps: checkpoint.config.rcps.as_ref().map(rcps),
            head: head(checkpoint.config.head),
            vocabulary: checkpoint.tokenizer.clone(),
            vocab_size: *vocab_size,
            trained_context: checkpoint.config.trained_context,
            stored_types: checkpoint.stored_types.iter().map(ToString::to_string).collect(),
            digest: checkpoint.digest.clone(),
        }
    }
}

fn norm(config: &Config) -> String {
    let kind = match config.norm.kind {
        NormKind::Rms => "RMS",
        NormKind::Layer => "layer",
    };
    format!("{kind}, epsilon {:e}", config.norm.epsilon)
}

fn directions(directions: Directions) -> String {
    match directions {
        Directions::Causal => "causal".into(),
        Directions::Bidirectional { strategy, tied } => {
            let strategy = match strategy {
                Strategy::Add => "add",
                Strategy::Multiply => "multiply",
            };
            let tied = if tied { "tied" } else { "separate" };
            format!("bidirectional, {strategy}, {tied} projections")
        }
    }
}

fn rcps(rcps: &Rcps) -> String {
    if rcps.fused_add_norm { "fused" } else { "unfused" }.into()
}

fn head(head: Head) -> String {
    match head {
        Head::None => "none".into(),
        Head::LanguageModel { tied: true } => "language model, tied to the embedding".into(),
        Head::LanguageModel { tied: false } => "language model".into(),
        Head::SequenceClassification { n_labels, pooling } => {
            let pooling = match pooling {
                ClassifierPooling::Mean => "mean",
                ClassifierPooling::Max => "max",
                ClassifierPooling::Last => "last",
                ClassifierPooling::First => "first",
            };
            format!("classification, {n_labels} labels, {pooling} pooling")
        }
    }
}
