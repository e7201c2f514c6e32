//! `config.json` of transformers' `mamba` and `mamba2`.

use super::classifier;
use super::fields::Fields;
use super::{
    Config, ConfigError, Directions, Family, Head, Mamba2Config, MambaConfig, MixerConfig, Naming, NormConfig, NormKind,
};

/// Reads a `model_type: mamba` config. The legacy copies of state-spaces keys (`d_model`, `ssm_cfg`, ...) are not read,
/// as transformers does not read them.
pub(super) fn parse_mamba(fields: &Fields<'_>) -> Result<Config, ConfigError> {
    let d_model = fields.required_size("hidden_size")?;
    let expanded = fields.expanded(d_model)?;
    let mixer = MambaConfig {
        d_inner: fields.size_or("intermediate_size", expanded)?,
        d_state: fields.size_or("state_size", 16)?,
        d_conv: fields.taps("conv_kernel")?,
        dt_rank: fields.rank("time_step_rank", d_model)?,
        bias: fields.bool_or("use_bias", false)?,
        conv_bias: fields.bool_or("use_conv_bias", true)?,
    };
    let tied = fields.bool_or("tie_word_embeddings", true)?;
    let head = head(fields, "Mamba", tied)?;
    finish(fields, Family::Mamba, MixerConfig::Mamba(mixer), head)
}

/// Reads a `model_type: mamba2` config.
pub(super) fn parse_mamba2(fields: &Fields<'_>) -> Result<Config, ConfigError> {
    fields.refuse_false("rms_norm")?;
    let tied = fields.bool_or("tie_word_embeddings", false)?;
    let head = head(fields, "Mamba2", tied)?;
    let d_model = fields.required_size("hidden_size")?;
    let mixer = mamba2_mixer(fields, fields.expanded(d_model)?)?;
    finish(fields, Family::Mamba2, MixerConfig::Mamba2(mixer), head)
}

fn mamba2_mixer(fields: &Fields<'_>, d_inner: usize) -> Result<Mamba2Config, ConfigError> {
    let n_heads = fields.size_or("num_heads", 128)?;
    let head_dim = fields.size_or("head_dim", 64)?;
    if n_heads * head_dim != d_inner {
        let expected = format!("num_heads x head_dim = expand x hidden_size = {d_inner} (head_dim is {head_dim})");
        return Err(fields.invalid("num_heads", expected));
    }
    let n_groups = fields.size_or("n_groups", 8)?;
    if n_heads % n_groups != 0 {
        return Err(fields.invalid("n_groups", format!("a divisor of num_heads, {n_heads}")));
    }
    Ok(Mamba2Config {
        d_inner,
        d_state: fields.size_or("state_size", 128)?,
        d_conv: fields.taps("conv_kernel")?,
        n_heads,
        head_dim,
        n_groups,
        dt_limit: fields.limits_or("time_step_limit", (0.0, f64::INFINITY))?,
        norm_group: d_inner,
        norm_epsilon: fields.epsilon_or("layer_norm_epsilon", 1e-5)?,
        bias: fields.bool_or("use_bias", false)?,
        conv_bias: fields.bool_or("use_conv_bias", true)?,
    })
}

/// The head of `{class}ForCausalLM`, of the bare `{class}Model`, or of `{class}ForSequenceClassification`: a class that
/// transformers does not have, with the names and keys that Caduceus gives such a head.
fn head(fields: &Fields<'_>, class: &str, tied: bool) -> Result<Head, ConfigError> {
    let kind = match fields.texts("architectures")?.as_slice() {
        [] => Some("ForCausalLM"),
        [name] => name.strip_prefix(class),
        _ => None,
    };
    match kind {
        Some("ForCausalLM") => Ok(Head::LanguageModel { tied }),
        Some("ForSequenceClassification") => classifier::parse(fields),
        Some("Model") => Ok(Head::None),
        _ => {
            let expected = format!("{class}ForCausalLM, {class}ForSequenceClassification or {class}Model");
            Err(fields.invalid("architectures", expected))
        }
    }
}

fn finish(fields: &Fields<'_>, family: Family, mixer: MixerConfig, head: Head) -> Result<Config, ConfigError> {
    if fields.text("hidden_act")?.is_some_and(|name| name != "silu" && name != "swish") {
        return Err(fields.invalid("hidden_act", "\"silu\""));
    }
    let epsilon = fields.epsilon_or("layer_norm_epsilon", 1e-5)?;
    Ok(Config {
        family,
        d_model: fields.required_size("hidden_size")?,
        n_layer: fields.required_size("num_hidden_layers")?,
        vocab_size: fields.required_size("vocab_size")?,
        mixer,
        norm: NormConfig { kind: NormKind::Rms, epsilon },
        directions: Directions::Causal,
        rcps: None,
        head,
        naming: Naming::HuggingFace,
        trained_context: super::trained_context(fields),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClassifierPooling;

    #[test]
    fn older_exports_are_filled_in() {
        let text = br#"{"model_type": "mamba", "hidden_size": 48, "num_hidden_layers": 2, "vocab_size": 16}"#;
        let config = Config::parse(text).unwrap();
        let expected = MambaConfig { d_inner: 96, d_state: 16, d_conv: 4, dt_rank: 3, bias: false, conv_bias: true };
        assert_eq!(config.mixer, MixerConfig::Mamba(expected));
        assert_eq!(config.head, Head::LanguageModel { tied: true });
    }

    #[test]
    fn a_head_for_classes_has_the_keys_of_caduceus() {
        let text =
            br#"{"model_type": "mamba2", "architectures": ["Mamba2ForSequenceClassification"], "hidden_size": 64,
            "num_hidden_layers": 2, "vocab_size": 16, "num_heads": 4, "head_dim": 32, "n_groups": 1, "num_labels": 3,
            "pooling_strategy": "max"}"#;
        let config = Config::parse(text).unwrap();
        assert_eq!(config.head, Head::SequenceClassification { n_labels: 3, pooling: ClassifierPooling::Max });
        let other = String::from_utf8_lossy(text).replace("Mamba2For", "MambaFor");
        let message = Config::parse(other.as_bytes()).unwrap_err().to_string();
        assert!(
            message.contains("expected Mamba2ForCausalLM, Mamba2ForSequenceClassification or Mamba2Model"),
            "{message}"
        );
    }

    #[test]
    fn another_activation_is_an_error() {
        let text = br#"{"model_type": "mamba", "hidden_size": 48, "num_hidden_layers": 2, "vocab_size": 16, "hidden_act": "gelu"}"#;
        let message = Config::parse(text).unwrap_err().to_string();
        assert_eq!(message, "\"hidden_act\": expected \"silu\", found \"gelu\"");
    }

    #[test]
    fn heads_must_fill_the_inner_width() {
        let text = br#"{"model_type": "mamba2", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 16, "num_heads": 8, "head_dim": 8}"#;
        let message = Config::parse(text).unwrap_err().to_string();
        assert!(message.starts_with("\"num_heads\": expected num_heads x head_dim = expand x hidden_size = 128"));
    }

    #[test]
    fn a_bidirectional_fork_is_an_error() {
        let text = br#"{"model_type": "mamba2", "architectures": ["BiMambaForMaskedLM"], "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 16}"#;
        let message = Config::parse(text).unwrap_err().to_string();
        assert!(message.contains("found [\"BiMambaForMaskedLM\"]"), "{message}");
    }
}
