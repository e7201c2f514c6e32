//! What a checkpoint's `config.json` says about the function it computes.
//!
//! [`Config::parse`] turns any of the family's dialects (Hugging Face `mamba` and `mamba2`, state-spaces, Caduceus and its
//! descendants) into one type. A key is ignored only when it cannot change the function; a key that can, with a value
//! that is not known here, is an error. [`Config::to_json`] writes them again.

use std::fmt;

mod caduceus;
mod classifier;
mod error;
mod fields;
mod hugging_face;
mod json;
mod mixer;
mod new;
mod state_spaces;
mod write;

use fields::Fields;
pub(crate) use fields::excerpt;

pub use error::ConfigError;
pub use mixer::{Mamba2Config, MambaConfig, MixerConfig};

/// A model's sizes and the choices that decide its function.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The published family that the checkpoint belongs to.
    pub family: Family,
    /// Width of the residual stream, D. An RCPS model carries 2 D channels.
    pub d_model: usize,
    /// Number of layers.
    pub n_layer: usize,
    /// Rows of the embedding on disk, V, padding included.
    pub vocab_size: usize,
    /// The sizes of every layer's mixer.
    pub mixer: MixerConfig,
    /// The norm before every mixer and after the last layer.
    pub norm: NormConfig,
    /// Which way the mixers run.
    pub directions: Directions,
    /// Present when the model is reverse-complement equivariant by parameter sharing.
    pub rcps: Option<Rcps>,
    /// What is computed from the output of the final norm.
    pub head: Head,
    /// Whose names the tensors bear.
    pub naming: Naming,
    /// Window, in bases, that the model was trained at, where the checkpoint says so.
    pub trained_context: Option<u64>,
}

/// The published families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Mamba, causal.
    Mamba,
    /// Mamba-2, causal.
    Mamba2,
    /// Caduceus without parameter sharing (Ph, "post-hoc").
    CaduceusPh,
    /// Caduceus with reverse-complement parameter sharing (PS).
    CaduceusPs,
    /// PlantCaduceus: the PS form with its own vocabulary.
    PlantCaduceus,
    /// PlantCAD2: PlantCaduceus with Mamba-2 mixers.
    PlantCad2,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mamba => "Mamba",
            Self::Mamba2 => "Mamba-2",
            Self::CaduceusPh => "Caduceus-Ph",
            Self::CaduceusPs => "Caduceus-PS",
            Self::PlantCaduceus => "PlantCaduceus",
            Self::PlantCad2 => "PlantCAD2",
        })
    }
}

/// Whose code wrote the checkpoint, and so named its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Hugging Face transformers.
    HuggingFace,
    /// state-spaces/mamba.
    StateSpaces,
    /// Caduceus and its descendants.
    Caduceus,
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HuggingFace => "transformers",
            Self::StateSpaces => "state-spaces/mamba",
            Self::Caduceus => "Caduceus",
        })
    }
}

/// A norm's kind and epsilon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormConfig {
    /// Root-mean-square or layer norm.
    pub kind: NormKind,
    /// Added to the mean square (or the variance).
    pub epsilon: f64,
}

/// The two norms of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// x / sqrt(mean(x²) + ε) · w
    Rms,
    /// (x − mean) / sqrt(var + ε) · w + b
    Layer,
}

/// Which way the mixers run along the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    /// Left to right alone.
    Causal,
    /// A left-to-right and a right-to-left mixer in every layer.
    Bidirectional {
        /// How the two outputs are joined.
        strategy: Strategy,
        /// Whether the reverse mixer uses the forward one's input and output projections.
        tied: bool,
    },
}

/// How the outputs of the two directions are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Sum.
    Add,
    /// Element by element product.
    Multiply,
}

/// Reverse-complement parameter sharing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcps {
    /// Whether add and norm are fused. The fused block of the published code swaps the two halves of hidden and residual
    /// in every layer and the unfused one does not, so that this is part of the function.
    pub fused_add_norm: bool,
    /// Token id → id of its complement, one for each row of the embedding, `[V]`.
    pub complement_map: Vec<u8>,
}

/// What is computed from the output of the final norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Nothing: the backbone alone.
    None,
    /// Logits over the vocabulary.
    LanguageModel {
        /// Whether the head's matrix is the embedding.
        tied: bool,
    },
    /// Logits over labels, from the pooled output.
    SequenceClassification {
        /// Number of labels.
        n_labels: usize,
        /// How positions are pooled.
        pooling: ClassifierPooling,
    },
}

/// How a classification head pools positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassifierPooling {
    /// Mean over positions.
    Mean,
    /// Maximum over positions.
    Max,
    /// The last position.
    Last,
    /// The first position.
    First,
}

impl Config {
    /// Reads a `config.json`.
    ///
    /// `Infinity` may stand bare, as Python writes it. The dialect is told by `model_type`; a file without one is
    /// state-spaces'.
    ///
    /// ```
    /// use longstrand_model::config::{Config, Directions};
    ///
    /// let text = br#"{"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 16}"#;
    /// let config = Config::parse(text)?;
    /// assert_eq!(config.mixer.d_inner(), 128);
    /// assert_eq!(config.directions, Directions::Causal);
    /// # Ok::<(), longstrand_model::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - the text is not a JSON object;
    /// - a size is absent, 0 or beyond reason;
    /// - a key that decides the function has a value that is not known;
    /// - the model has blocks that are not computed here (attention, MLP), or is of another family.
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        let value = json::parse(text).map_err(ConfigError::Json)?;
        let fields = Fields::root(&value)?;
        match fields.text("model_type")? {
            Some("mamba") => hugging_face::parse_mamba(&fields),
            Some("mamba2") => hugging_face::parse_mamba2(&fields),
            Some("caduceus") => caduceus::parse(&fields),
            Some(other) => Err(ConfigError::unsupported(format!("model_type \"{other}\""))),
            None if fields.has("d_model") => state_spaces::parse(&fields),
            None => Err(fields.missing("model_type")),
        }
    }

    /// Whether every position depends on those before it alone.
    pub fn is_causal(&self) -> bool {
        self.directions == Directions::Causal && self.rcps.is_none()
    }

    /// Channels of the residual stream and of the final norm's output: D, or 2 D in an RCPS model.
    pub fn hidden_width(&self) -> usize {
        if self.rcps.is_some() { 2 * self.d_model } else { self.d_model }
    }
}

/// The first key that gives the training window, in bases.
fn trained_context(fields: &Fields<'_>) -> Option<u64> {
    ["max_position_embeddings", "max_position", "max_seq_len", "seq_len"].into_iter().find_map(|key| fields.hint(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_taps_than_are_computed_are_refused_in_every_dialect() {
        for (text, key) in [
            (
                r#"{"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 16, "conv_kernel": 17}"#,
                "conv_kernel",
            ),
            (
                r#"{"model_type": "mamba2", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 16, "num_heads": 2,
                    "n_groups": 1, "conv_kernel": 17}"#,
                "conv_kernel",
            ),
            (r#"{"d_model": 64, "n_layer": 2, "vocab_size": 12, "ssm_cfg": {"d_conv": 17}}"#, "ssm_cfg.d_conv"),
            (
                r#"{"d_model": 64, "n_layer": 2, "vocab_size": 12, "ssm_cfg": {"layer": "Mamba2", "d_conv": 17}}"#,
                "ssm_cfg.d_conv",
            ),
            (
                r#"{"model_type": "caduceus", "d_model": 64, "n_layer": 2, "vocab_size": 12, "ssm_cfg": {"d_conv": 17}}"#,
                "ssm_cfg.d_conv",
            ),
        ] {
            let message = Config::parse(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(message, format!("\"{key}\": expected a whole number from 1 to 16, found 17"));
            assert!(Config::parse(text.replace("17", "16").as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_object_is_told() {
        assert_eq!(Config::parse(b"[1]").unwrap_err().to_string(), "expected a JSON object, found [1]");
    }
}
