//! What is trained.

use longstrand_model::config::{Config, Mamba2Config, MambaConfig, MixerConfig, NormConfig};
use longstrand_seq::Vocabulary;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::init::InitOptions;

/// More than any size of a published model.
const LARGEST_SIZE: usize = 1 << 16;

/// A model's sizes and initial values.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// The kind of model.
    pub family: FamilyName,
    /// Width, D.
    pub d_model: usize,
    /// Number of layers.
    pub n_layer: usize,
    /// State size, N: 16 for Mamba, 128 for Mamba-2 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub d_state: Option<usize>,
    /// Taps of the convolution.
    pub d_conv: usize,
    /// Inner width by D.
    pub expand: usize,
    /// `mamba2`: channels of a head: 64, or a smaller power of two that divides the inner width, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// `mamba2`: groups of heads that share B and C.
    pub n_groups: usize,
    /// Added to a norm's mean square.
    pub norm_epsilon: f64,
    /// Standard deviation of the initial embedding.
    pub embedding_std: f64,
    /// The smallest initial step size.
    pub dt_min: f64,
    /// The largest.
    pub dt_max: f64,
    /// What initial step sizes are raised to.
    pub dt_floor: f64,
    /// Scale of the initial step-size projection.
    pub dt_scale: f64,
    /// Whether initial output projections are divided by the root of the number of layers.
    pub rescale_prenorm_residual: bool,
}

/// The kinds of model that can be trained.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FamilyName {
    /// Mamba, left to right.
    Mamba,
    /// Mamba-2, left to right.
    Mamba2,
    /// Both directions; either strand is an input like any other.
    CaduceusPh,
    /// Both directions, reverse-complement equivariant.
    CaduceusPs,
}

impl FamilyName {
    /// Whether each position depends on those before it alone.
    pub fn is_causal(self) -> bool {
        matches!(self, Self::Mamba | Self::Mamba2)
    }
}

impl Default for ModelSettings {
    /// Caduceus-Ph at 1,024 bases: width 256, 4 layers; the rest as all published Mamba models.
    fn default() -> Self {
        let InitOptions { embedding_std, dt_min, dt_max, dt_floor, dt_scale, rescale_prenorm_residual, .. } =
            InitOptions::default();
        Self {
            family: FamilyName::CaduceusPh,
            d_model: 256,
            n_layer: 4,
            d_state: None,
            d_conv: 4,
            expand: 2,
            head_dim: None,
            n_groups: 1,
            norm_epsilon: 1e-5,
            embedding_std,
            dt_min,
            dt_max,
            dt_floor,
            dt_scale,
            rescale_prenorm_residual,
        }
    }
}

impl ModelSettings {
    /// The model's configuration; `context` is the longest window of the training.
    ///
    /// # Errors
    ///
    /// - a size is 0 or beyond reason, or sizes do not go together
    pub fn config(&self, context: u64) -> Result<Config, ConfigError> {
        self.check_sizes()?;
        let (d_model, n_layer, vocabulary) = (self.d_model, self.n_layer, Vocabulary::caduceus());
        let published = match self.family {
            FamilyName::Mamba => Config::mamba(d_model, n_layer, &vocabulary),
            FamilyName::Mamba2 => Config::mamba2(d_model, n_layer, &vocabulary),
            FamilyName::CaduceusPh => Config::caduceus_ph(d_model, n_layer, &vocabulary),
            FamilyName::CaduceusPs => Config::caduceus_ps(d_model, n_layer, &vocabulary),
        };
        Ok(Config {
            mixer: self.mixer(&published.mixer)?,
            norm: NormConfig { epsilon: self.norm_epsilon, ..published.norm },
            trained_context: Some(context),
            ..published
        })
    }

    /// What initial weights depend on beside the configuration.
    pub fn initial(&self) -> InitOptions {
        InitOptions {
            embedding_std: self.embedding_std,
            dt_min: self.dt_min,
            dt_max: self.dt_max,
            dt_floor: self.dt_floor,
            dt_scale: self.dt_scale,
            rescale_prenorm_residual: self.rescale_prenorm_residual,
            ..InitOptions::default()
        }
    }

    /// The published mixer of this width, with what is set otherwise.
    fn mixer(&self, published: &MixerConfig) -> Result<MixerConfig, ConfigError> {
        let d_inner = self.expand * self.d_model;
        match *published {
            MixerConfig::Mamba(mamba) => {
                let d_state = self.d_state.unwrap_or(mamba.d_state);
                Ok(MixerConfig::Mamba(MambaConfig { d_inner, d_state, d_conv: self.d_conv, ..mamba }))
            }
            MixerConfig::Mamba2(mamba2) => {
                let head_dim = self.head_dim.unwrap_or(mamba2.head_dim);
                Ok(MixerConfig::Mamba2(Mamba2Config {
                    d_inner,
                    d_state: self.d_state.unwrap_or(mamba2.d_state),
                    d_conv: self.d_conv,
                    n_heads: self.n_heads(head_dim)?,
                    head_dim,
                    n_groups: self.n_groups,
                    norm_group: d_inner,
                    norm_epsilon: self.norm_epsilon,
                    ..mamba2
                }))
            }
        }
    }

    fn n_heads(&self, head_dim: usize) -> Result<usize, ConfigError> {
        let d_inner = self.expand * self.d_model;
        if !d_inner.is_multiple_of(head_dim) {
            let expected = format!("a divisor of the inner width, {d_inner}");
            return Err(ConfigError::value("model.head_dim", expected, head_dim));
        }
        let n_heads = d_inner / head_dim;
        if !n_heads.is_multiple_of(self.n_groups) {
            let expected = format!("a divisor of the number of heads, {n_heads}");
            return Err(ConfigError::value("model.n_groups", expected, self.n_groups));
        }
        Ok(n_heads)
    }

    fn check_sizes(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("model.d_model", self.d_model, LARGEST_SIZE),
            ("model.n_layer", self.n_layer, LARGEST_SIZE),
            ("model.d_state", self.d_state.unwrap_or(1), LARGEST_SIZE),
            ("model.d_conv", self.d_conv, longstrand_kernels::causal_conv1d::MAX_KERNEL),
            ("model.expand", self.expand, 1 << 6),
            ("model.head_dim", self.head_dim.unwrap_or(1), LARGEST_SIZE),
            ("model.n_groups", self.n_groups, LARGEST_SIZE),
        ];
        for (key, found, most) in sizes {
            if !(1..=most).contains(&found) {
                return Err(ConfigError::value(key, format!("a whole number from 1 to {most}"), found));
            }
        }
        for (key, found) in [("model.norm_epsilon", self.norm_epsilon), ("model.dt_min", self.dt_min)] {
            if !(found > 0.0 && found.is_finite()) {
                return Err(ConfigError::value(key, "a number above 0", found));
            }
        }
        if !(self.dt_max >= self.dt_min && self.dt_max.is_finite()) {
            return Err(ConfigError::value("model.dt_max", format!("at least dt_min, {}", self.dt_min), self.dt_max));
        }
        for (key, found) in [
            ("model.embedding_std", self.embedding_std),
            ("model.dt_floor", self.dt_floor),
            ("model.dt_scale", self.dt_scale),
        ] {
            if !(found >= 0.0 && found.is_finite()) {
                return Err(ConfigError::value(key, "a number of at least 0", found));
            }
        }
        Ok(())
    }
}
