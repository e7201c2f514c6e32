//! transformers' `mamba` and `mamba2`.
//!
//! Transformers has no class for a classification head on these. A model with one is written as the class would be called,
//! with Caduceus' keys for the head; transformers reads its backbone as `MambaModel` or `Mamba2Model`.

use longstrand_seq::vocab::Vocabulary;
use serde_json::{Value, json};

use super::{CONTEXT_KEY, Object, expand, insert_some, into_object, limits};
use crate::config::{Config, Head, Mamba2Config, MambaConfig, classifier};

pub(super) fn mamba(config: &Config, mamba: &MambaConfig, vocabulary: &Vocabulary) -> Object {
    let own = json!({
        "intermediate_size": mamba.d_inner,
        "state_size": mamba.d_state,
        "conv_kernel": mamba.d_conv,
        "use_bias": mamba.bias,
        "use_conv_bias": mamba.conv_bias,
        "time_step_rank": mamba.dt_rank,
        "time_step_scale": 1.0,
        "time_step_init_scheme": "random",
    });
    object(config, "mamba", "Mamba", own, mamba.d_inner, vocabulary)
}

pub(super) fn mamba2(config: &Config, mamba2: &Mamba2Config, vocabulary: &Vocabulary) -> Object {
    let own = json!({
        "num_heads": mamba2.n_heads,
        "head_dim": mamba2.head_dim,
        "n_groups": mamba2.n_groups,
        "state_size": mamba2.d_state,
        "conv_kernel": mamba2.d_conv,
        "use_bias": mamba2.bias,
        "use_conv_bias": mamba2.conv_bias,
        "chunk_size": 256,
        "rms_norm": true,
    });
    let mut object = object(config, "mamba2", "Mamba2", own, mamba2.d_inner, vocabulary);
    insert_some(&mut object, "time_step_limit", limits(mamba2.dt_limit));
    object
}

/// The keys of both versions around those of one, whose classes begin with `class`.
fn object(
    config: &Config,
    model_type: &str,
    class: &str,
    own: Value,
    d_inner: usize,
    vocabulary: &Vocabulary,
) -> Object {
    let (kind, tied) = match config.head {
        Head::LanguageModel { tied } => ("ForCausalLM", tied),
        Head::SequenceClassification { .. } => ("ForSequenceClassification", true),
        Head::None => ("Model", true),
    };
    let mut object = into_object(json!({
        "architectures": [format!("{class}{kind}")],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layer,
        "expand": expand(d_inner, config.d_model),
    }));
    object.extend(into_object(own));
    object.extend(into_object(json!({
        "time_step_min": 0.001,
        "time_step_max": 0.1,
        "time_step_floor": 1e-4,
        "layer_norm_epsilon": config.norm.epsilon,
        "hidden_act": "silu",
        "initializer_range": 0.1,
        "rescale_prenorm_residual": false,
        "residual_in_fp32": true,
        "tie_word_embeddings": tied,
        "use_cache": true,
        "bos_token_id": (0..=u8::MAX).find(|&id| vocabulary.name(id) == Some("[BOS]")),
        "eos_token_id": vocabulary.sep(),
        "pad_token_id": vocabulary.pad(),
        "torch_dtype": "float32",
    })));
    if let Head::SequenceClassification { n_labels, pooling } = config.head {
        object.extend(classifier::object(n_labels, pooling));
    }
    insert_some(&mut object, CONTEXT_KEY, config.trained_context);
    object
}
