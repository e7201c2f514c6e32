//! Caduceus, PlantCaduceus and PlantCAD2, in their flat form.

use longstrand_seq::vocab::Vocabulary;
use serde_json::{Value, json};

use super::state_spaces::{mamba_cfg, mamba2_cfg, vocab_multiple};
use super::{CONTEXT_KEY, Object, insert_some, into_object};
use crate::config::{Config, Directions, Family, Head, MixerConfig, NormKind, Strategy, classifier};

pub(super) fn object(config: &Config, vocabulary: &Vocabulary) -> Object {
    let (strategy, weight_tie) = match config.directions {
        Directions::Bidirectional { strategy, tied } => (strategy, tied),
        Directions::Causal => (Strategy::Add, true),
    };
    let mut object = into_object(json!({
        "architectures": [architecture(config.head)],
        "auto_map": auto_map(config),
        "model_type": "caduceus",
        "d_model": config.d_model,
        "n_layer": config.n_layer,
        "vocab_size": config.vocab_size,
        "pad_vocab_size_multiple": vocab_multiple(config.vocab_size),
        "bidirectional": config.directions != Directions::Causal,
        "bidirectional_strategy": match strategy { Strategy::Add => "add", Strategy::Multiply => "ew_multiply" },
        "bidirectional_weight_tie": weight_tie,
        "rcps": config.rcps.is_some(),
        "complement_map": complement_map(config, vocabulary),
        "fused_add_norm": config.rcps.as_ref().is_none_or(|rcps| rcps.fused_add_norm),
        "rms_norm": config.norm.kind == NormKind::Rms,
        "norm_epsilon": config.norm.epsilon,
        "residual_in_fp32": false,
        "initializer_cfg": {
            "initializer_range": 0.02, "rescale_prenorm_residual": true, "n_residuals_per_layer": 1,
        },
        "torch_dtype": "float32",
    }));
    object.extend(mixer(config));
    object.extend(head(config.head));
    insert_some(&mut object, CONTEXT_KEY, config.trained_context);
    object
}

fn architecture(head: Head) -> &'static str {
    match head {
        Head::None => "Caduceus",
        Head::LanguageModel { .. } => "CaduceusForMaskedLM",
        Head::SequenceClassification { .. } => "CaduceusForSequenceClassification",
    }
}

/// Where transformers finds the code: not in a checkpoint's own folder, but beside the published weights.
fn auto_map(config: &Config) -> Value {
    let repository = match (config.family, &config.mixer) {
        (Family::PlantCaduceus, _) => "kuleshov-group/PlantCaduceus_l20",
        (_, MixerConfig::Mamba2(_)) => "kuleshov-group/PlantCAD2-Small-l24-d0768",
        (Family::CaduceusPs, _) => "kuleshov-group/caduceus-ps_seqlen-131k_d_model-256_n_layer-16",
        _ => "kuleshov-group/caduceus-ph_seqlen-131k_d_model-256_n_layer-16",
    };
    let class = |name: &str| format!("{repository}--{name}");
    json!({
        "AutoConfig": class("configuration_caduceus.CaduceusConfig"),
        "AutoModel": class("modeling_caduceus.Caduceus"),
        "AutoModelForMaskedLM": class("modeling_caduceus.CaduceusForMaskedLM"),
        "AutoModelForSequenceClassification": class("modeling_caduceus.CaduceusForSequenceClassification"),
    })
}

/// One key a row, in the order of the numbers: the published code reads the values in the order of the file.
fn complement_map(config: &Config, vocabulary: &Vocabulary) -> Object {
    let map = match &config.rcps {
        Some(rcps) => rcps.complement_map.as_slice(),
        None => vocabulary.complement_map(),
    };
    let complement = |row: usize| map.get(row).map_or(row, |&id| usize::from(id));
    (0..config.vocab_size).map(|row| (row.to_string(), complement(row).into())).collect()
}

/// The mixer's settings. Those of Mamba-2 are told by `d_intermediate` beside them and by having no `dt_rank`.
fn mixer(config: &Config) -> Object {
    let steps = json!({"dt_min": 0.001, "dt_max": 0.1, "dt_init_floor": 1e-4});
    match &config.mixer {
        MixerConfig::Mamba(mamba) => {
            let mut ssm = mamba_cfg(mamba, config.d_model);
            ssm.extend(into_object(steps));
            ssm.extend(into_object(json!({"dt_init": "random", "dt_scale": 1.0, "use_fast_path": true})));
            into_object(json!({"ssm_cfg": ssm}))
        }
        MixerConfig::Mamba2(mamba2) => {
            let mut ssm = mamba2_cfg(mamba2, config.d_model);
            ssm.extend(into_object(steps));
            into_object(json!({"ssm_cfg": ssm, "d_intermediate": 0}))
        }
    }
}

fn head(head: Head) -> Object {
    match head {
        Head::LanguageModel { tied: false } => into_object(json!({"tie_word_embeddings": false})),
        Head::SequenceClassification { n_labels, pooling } => classifier::object(n_labels, pooling),
        Head::None | Head::LanguageModel { tied: true } => Object::new(),
    }
}
