//! `config.json` of Caduceus, PlantCaduceus and PlantCAD2, flat or with a nested `layer_cfg`.
//!
//! The nested form is that of the repository's Mamba-2 branch; it and PlantCAD2's flat form are read from their authors'
//! configurations, not checked against their weights.

use super::classifier;
use super::fields::Fields;
use super::state_spaces::{self, Version};
use super::{Config, ConfigError, Directions, Family, Head, MixerConfig, Naming, NormConfig, NormKind, Rcps, Strategy};

/// PlantCaduceus's complement map: `[PAD] [MASK] [UNK] a c g t` and one row of padding.
const PLANT_COMPLEMENT: [u8; 8] = [0, 1, 2, 6, 5, 4, 3, 7];

pub(super) fn parse(fields: &Fields<'_>) -> Result<Config, ConfigError> {
    state_spaces::refuse_other_blocks(fields)?;
    let (ssm, version) = ssm_cfg(fields)?;
    let d_model = fields.required_size("d_model")?;
    let vocab_size = state_spaces::padded_vocab_size(fields)?;
    let norm = norm_fields(fields)?;
    let rcps = rcps(fields, &norm, vocab_size)?;
    let kind = if norm.bool_or("rms_norm", true)? { NormKind::Rms } else { NormKind::Layer };
    let mixer = state_spaces::mixer(&ssm, version, d_model)?;
    Ok(Config {
        family: family(rcps.as_ref(), &mixer),
        d_model,
        n_layer: fields.required_size("n_layer")?,
        vocab_size,
        mixer,
        norm: NormConfig { kind, epsilon: norm.epsilon_or("norm_epsilon", 1e-5)? },
        directions: directions(fields)?,
        head: head(fields, rcps.is_some())?,
        rcps,
        naming: Naming::Caduceus,
        trained_context: super::trained_context(fields),
    })
}

/// The family of a model with these mixers: PlantCaduceus's are told by their tokens.
pub(super) fn family(rcps: Option<&Rcps>, mixer: &MixerConfig) -> Family {
    match (rcps, mixer) {
        (None, _) => Family::CaduceusPh,
        (Some(rcps), MixerConfig::Mamba(_)) if rcps.complement_map == PLANT_COMPLEMENT => Family::PlantCaduceus,
        (Some(rcps), MixerConfig::Mamba2(_)) if rcps.complement_map == PLANT_COMPLEMENT => Family::PlantCad2,
        (Some(_), _) => Family::CaduceusPs,
    }
}

/// The mixer's settings and version. The flat form names no version: PlantCAD2's has `d_intermediate` and no `dt_rank`.
fn ssm_cfg<'a>(fields: &Fields<'a>) -> Result<(Fields<'a>, Version), ConfigError> {
    if fields.has("layer_cfg") {
        return nested_ssm_cfg(&fields.object("layer_cfg")?);
    }
    let ssm = fields.object("ssm_cfg")?;
    let version = match state_spaces::layer_version(&ssm)? {
        Some(version) => version,
        None if fields.has("d_intermediate") && !ssm.has("dt_rank") => Version::Mamba2,
        None => Version::Mamba,
    };
    Ok((ssm, version))
}

fn nested_ssm_cfg<'a>(layer: &Fields<'a>) -> Result<(Fields<'a>, Version), ConfigError> {
    if layer.text("mode")?.is_some_and(|mode| mode != "mamba-only") {
        return Err(layer.invalid("mode", "\"mamba-only\""));
    }
    let mamba = layer.object("mamba_cfg")?;
    let version = match mamba.text("version")? {
        Some("v1") | None => Version::Mamba,
        Some("v2") => Version::Mamba2,
        Some(_) => return Err(mamba.invalid("version", "\"v1\" or \"v2\"")),
    };
    let mlp = mamba.object("mlp_cfg")?;
    state_spaces::refuse_other_blocks(&mlp)?;
    if !mlp.has("d_intermediate") && mamba.is_filled("mlp_cfg") {
        return Err(ConfigError::unsupported("MLP blocks (\"mlp_cfg\" is not empty)"));
    }
    Ok((mamba.object("ssm_cfg")?, version))
}

fn norm_fields<'a>(fields: &Fields<'a>) -> Result<Fields<'a>, ConfigError> {
    if fields.has("norm_cfg") { fields.object("norm_cfg") } else { Ok(fields.clone()) }
}

fn directions(fields: &Fields<'_>) -> Result<Directions, ConfigError> {
    if !fields.bool_or("bidirectional", true)? {
        return Ok(Directions::Causal);
    }
    let strategy = match fields.text("bidirectional_strategy")? {
        None | Some("add") => Strategy::Add,
        Some("ew_multiply") => Strategy::Multiply,
        Some(_) => {
            return Err(fields.invalid("bidirectional_strategy", "\"add\" or \"ew_multiply\""));
        }
    };
    Ok(Directions::Bidirectional { strategy, tied: fields.bool_or("bidirectional_weight_tie", true)? })
}

fn rcps(fields: &Fields<'_>, norm: &Fields<'_>, vocab_size: usize) -> Result<Option<Rcps>, ConfigError> {
    if !fields.bool_or("rcps", false)? {
        return Ok(None);
    }
    if !fields.has("complement_map") {
        return Err(fields.missing("complement_map"));
    }
    let complement_map = complement_map(fields, vocab_size)?;
    Ok(Some(Rcps { fused_add_norm: norm.bool_or("fused_add_norm", true)?, complement_map }))
}

/// Reads the map by the number in each key; rows of padding that it leaves out are their own complement.
fn complement_map(fields: &Fields<'_>, vocab_size: usize) -> Result<Vec<u8>, ConfigError> {
    let invalid = || fields.invalid("complement_map", format!("a pairing of token ids below {vocab_size}"));
    if vocab_size > 1 + usize::from(u8::MAX) {
        return Err(ConfigError::unsupported("an RCPS vocabulary of more than 256 tokens"));
    }
    let mut map: Vec<u8> = (0..=u8::MAX).take(vocab_size).collect();
    for (token, complement) in fields.object("complement_map")?.entries() {
        let token = token.parse::<usize>().ok().filter(|&token| token < vocab_size).ok_or_else(invalid)?;
        let complement = complement.as_u64().filter(|&id| id < vocab_size as u64).ok_or_else(invalid)?;
        map[token] = complement as u8;
    }
    if (0..vocab_size).all(|token| usize::from(map[usize::from(map[token])]) == token) {
        return Ok(map);
    }
    Err(invalid())
}

/// A bare `Caduceus` may have been written by a model with a head: the tensors' names tell, when they are read.
fn head(fields: &Fields<'_>, rcps: bool) -> Result<Head, ConfigError> {
    let tied = rcps || fields.bool_or("tie_word_embeddings", true)?;
    match fields.texts("architectures")?.as_slice() {
        [] | ["CaduceusForMaskedLM"] => Ok(Head::LanguageModel { tied }),
        ["Caduceus"] => Ok(Head::None),
        ["CaduceusForSequenceClassification"] => classifier::parse(fields),
        _ => Err(fields.invalid("architectures", "CaduceusForMaskedLM, CaduceusForSequenceClassification or Caduceus")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn plant_cad2() -> Value {
        json!({
            "architectures": ["CaduceusForMaskedLM"], "model_type": "caduceus", "bidirectional": true,
            "bidirectional_strategy": "add", "bidirectional_weight_tie": true, "rcps": true, "fused_add_norm": true,
            "complement_map": {"0": 0, "1": 1, "2": 2, "3": 6, "4": 5, "5": 4, "6": 3, "7": 7},
            "d_intermediate": 0, "d_model": 768, "n_layer": 24, "vocab_size": 8, "rms_norm": true,
            "ssm_cfg": {"bias": false, "conv_bias": true, "d_conv": 4, "d_state": 64, "expand": 2},
        })
    }

    fn parse(value: &Value) -> Result<Config, ConfigError> {
        Config::parse(value.to_string().as_bytes())
    }

    #[test]
    fn plant_cad2_has_mamba2_mixers() {
        let config = parse(&plant_cad2()).unwrap();
        assert_eq!(config.family, Family::PlantCad2);
        let MixerConfig::Mamba2(mixer) = config.mixer else { panic!("a Mamba-2 mixer") };
        assert_eq!((mixer.projection_rows(), mixer.conv_channels(), mixer.n_heads), (3224, 1664, 24));
    }

    #[test]
    fn the_nested_form_is_the_same_model() {
        let flat = plant_cad2();
        let mut nested = flat.clone();
        let keys = nested.as_object_mut().unwrap();
        let ssm = keys.remove("ssm_cfg").unwrap();
        keys.remove("d_intermediate");
        keys.remove("rms_norm");
        keys.remove("fused_add_norm");
        let mamba = json!({"version": "v2", "ssm_cfg": ssm, "mlp_cfg": {"d_intermediate": 0}});
        nested["layer_cfg"] = json!({"mode": "mamba-only", "mamba_cfg": mamba});
        nested["norm_cfg"] = json!({"fused_add_norm": true, "rms_norm": true, "norm_epsilon": 1e-5});
        assert_eq!(parse(&nested).unwrap(), parse(&flat).unwrap());
        nested["layer_cfg"]["mode"] = json!("mamba-attention");
        assert!(parse(&nested).unwrap_err().to_string().starts_with("\"layer_cfg.mode\": expected"));
    }

    #[test]
    fn complement_keys_are_numbers_in_any_order() {
        let mut value = plant_cad2();
        value["vocab_size"] = json!(12);
        value["complement_map"] = json!({"10": 7, "2": 2, "7": 10, "8": 9, "9": 8});
        let rcps = parse(&value).unwrap().rcps.unwrap();
        assert_eq!(rcps.complement_map, [0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11, 12, 13, 14, 15]);
    }

    #[test]
    fn a_map_that_pairs_nothing_is_an_error() {
        for map in [json!({"3": 4}), json!({"3": 99}), json!({"x": 3}), json!({"3": -1})] {
            let mut value = plant_cad2();
            value["complement_map"] = map;
            let message = parse(&value).unwrap_err().to_string();
            assert!(message.starts_with("\"complement_map\": expected a pairing"), "{message}");
        }
        let mut value = plant_cad2();
        value["complement_map"] = Value::Null;
        assert_eq!(parse(&value).unwrap_err().to_string(), "missing key \"complement_map\"");
    }

    #[test]
    fn unknown_choices_are_errors() {
        for (key, choice) in [
            ("bidirectional_strategy", json!("concat")),
            ("architectures", json!(["CaduceusForTokenClassification"])),
            ("rms_norm", json!("layer")),
            ("bidirectional", json!("true,")),
        ] {
            let mut value = plant_cad2();
            value[key] = choice;
            let message = parse(&value).unwrap_err().to_string();
            assert!(message.starts_with(&format!("\"{key}\": expected")), "{message}");
        }
    }
}
