//! state-spaces/mamba, whose configuration takes no keys but its own.

use serde_json::json;

use super::{Object, expand, insert_some, into_object, limits};
use crate::config::{Config, Head, Mamba2Config, MambaConfig, MixerConfig, NormKind};

pub(super) fn object(config: &Config) -> Object {
    let tied = config.head != Head::LanguageModel { tied: false };
    let mut object = into_object(json!({
        "d_model": config.d_model,
        "n_layer": config.n_layer,
        "vocab_size": config.vocab_size,
        "ssm_cfg": ssm_cfg(config),
        "rms_norm": config.norm.kind == NormKind::Rms,
        "residual_in_fp32": true,
        "fused_add_norm": true,
        "pad_vocab_size_multiple": vocab_multiple(config.vocab_size),
    }));
    if matches!(config.mixer, MixerConfig::Mamba2(_)) {
        object.extend(into_object(json!({"d_intermediate": 0, "attn_layer_idx": [], "attn_cfg": {}})));
    }
    insert_some(&mut object, "tie_embeddings", (!tied).then_some(tied));
    insert_some(&mut object, "norm_epsilon", (config.norm.epsilon != 1e-5).then_some(config.norm.epsilon));
    object
}

/// What `vocab_size`, padded already, is a multiple of.
pub(super) fn vocab_multiple(vocab_size: usize) -> usize {
    if vocab_size.is_multiple_of(8) { 8 } else { 1 }
}

fn ssm_cfg(config: &Config) -> Object {
    match &config.mixer {
        MixerConfig::Mamba(mamba) => mamba_cfg(mamba, config.d_model),
        MixerConfig::Mamba2(mamba2) => {
            let mut object = into_object(json!({"layer": "Mamba2"}));
            object.extend(mamba2_cfg(mamba2, config.d_model));
            object
        }
    }
}

pub(super) fn mamba_cfg(mamba: &MambaConfig, d_model: usize) -> Object {
    into_object(json!({
        "d_state": mamba.d_state,
        "d_conv": mamba.d_conv,
        "expand": expand(mamba.d_inner, d_model),
        "dt_rank": mamba.dt_rank,
        "bias": mamba.bias,
        "conv_bias": mamba.conv_bias,
    }))
}

pub(super) fn mamba2_cfg(mamba2: &Mamba2Config, d_model: usize) -> Object {
    let mut object = into_object(json!({
        "d_state": mamba2.d_state,
        "d_conv": mamba2.d_conv,
        "expand": expand(mamba2.d_inner, d_model),
        "headdim": mamba2.head_dim,
        "ngroups": mamba2.n_groups,
        "bias": mamba2.bias,
        "conv_bias": mamba2.conv_bias,
    }));
    insert_some(&mut object, "dt_limit", limits(mamba2.dt_limit));
    object
}
