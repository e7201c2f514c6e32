//! `config.json` of state-spaces/mamba, and the `ssm_cfg` that Caduceus shares with it.

use super::fields::Fields;
use super::{
    Config, ConfigError, Directions, Family, Head, Mamba2Config, MambaConfig, MixerConfig, Naming, NormConfig, NormKind,
};

/// The version of the mixer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Mamba,
    Mamba2,
}

pub(super) fn parse(fields: &Fields<'_>) -> Result<Config, ConfigError> {
    refuse_other_blocks(fields)?;
    let d_model = fields.required_size("d_model")?;
    let ssm = fields.object("ssm_cfg")?;
    let version = layer_version(&ssm)?.unwrap_or(Version::Mamba);
    let kind = if fields.bool_or("rms_norm", true)? { NormKind::Rms } else { NormKind::Layer };
    Ok(Config {
        family: match version {
            Version::Mamba => Family::Mamba,
            Version::Mamba2 => Family::Mamba2,
        },
        d_model,
        n_layer: fields.required_size("n_layer")?,
        vocab_size: padded_vocab_size(fields)?,
        mixer: mixer(&ssm, version, d_model)?,
        norm: NormConfig { kind, epsilon: fields.epsilon_or("norm_epsilon", 1e-5)? },
        directions: Directions::Causal,
        rcps: None,
        head: Head::LanguageModel { tied: fields.bool_or("tie_embeddings", true)? },
        naming: Naming::StateSpaces,
        trained_context: super::trained_context(fields),
    })
}

/// Refuses MLP and attention blocks.
pub(super) fn refuse_other_blocks(fields: &Fields<'_>) -> Result<(), ConfigError> {
    if fields.count_or("d_intermediate", 0)? > 0 {
        return Err(ConfigError::unsupported("MLP blocks (\"d_intermediate\" above 0)"));
    }
    if fields.is_filled("attn_layer_idx") {
        return Err(ConfigError::unsupported("attention layers (\"attn_layer_idx\" is not empty)"));
    }
    Ok(())
}

/// The version that `ssm_cfg.layer` names.
pub(super) fn layer_version(ssm: &Fields<'_>) -> Result<Option<Version>, ConfigError> {
    match ssm.text("layer")? {
        None => Ok(None),
        Some("Mamba1") => Ok(Some(Version::Mamba)),
        Some("Mamba2") => Ok(Some(Version::Mamba2)),
        Some(_) => Err(ssm.invalid("layer", "\"Mamba1\" or \"Mamba2\"")),
    }
}

/// `vocab_size` rounded up to `pad_vocab_size_multiple`.
pub(super) fn padded_vocab_size(fields: &Fields<'_>) -> Result<usize, ConfigError> {
    let multiple = fields.size_or("pad_vocab_size_multiple", 8)?;
    Ok(fields.required_size("vocab_size")?.next_multiple_of(multiple))
}

pub(super) fn mixer(ssm: &Fields<'_>, version: Version, d_model: usize) -> Result<MixerConfig, ConfigError> {
    match version {
        Version::Mamba => mamba(ssm, d_model).map(MixerConfig::Mamba),
        Version::Mamba2 => mamba2(ssm, d_model).map(MixerConfig::Mamba2),
    }
}

fn mamba(ssm: &Fields<'_>, d_model: usize) -> Result<MambaConfig, ConfigError> {
    Ok(MambaConfig {
        d_inner: ssm.expanded(d_model)?,
        d_state: ssm.size_or("d_state", 16)?,
        d_conv: ssm.taps("d_conv")?,
        dt_rank: ssm.rank("dt_rank", d_model)?,
        bias: ssm.bool_or("bias", false)?,
        conv_bias: ssm.bool_or("conv_bias", true)?,
    })
}

fn mamba2(ssm: &Fields<'_>, d_model: usize) -> Result<Mamba2Config, ConfigError> {
    ssm.refuse_true("norm_before_gate")?;
    ssm.refuse_true("D_has_hdim")?;
    ssm.refuse_false("rmsnorm")?;
    let d_inner = ssm.expanded(d_model)?;
    if ssm.size_or("d_ssm", d_inner)? != d_inner {
        return Err(ssm.invalid("d_ssm", format!("the inner width, {d_inner}")));
    }
    let head_dim = ssm.size_or("headdim", 64)?;
    if d_inner % head_dim != 0 {
        return Err(ssm.invalid("headdim", format!("a divisor of the inner width, {d_inner} (the default is 64)")));
    }
    let n_heads = d_inner / head_dim;
    let n_groups = ssm.size_or("ngroups", 1)?;
    if n_heads % n_groups != 0 {
        return Err(ssm.invalid("ngroups", format!("a divisor of the number of heads, {n_heads}")));
    }
    Ok(Mamba2Config {
        d_inner,
        d_state: ssm.size_or("d_state", 128)?,
        d_conv: ssm.taps("d_conv")?,
        n_heads,
        head_dim,
        n_groups,
        dt_limit: ssm.limits_or("dt_limit", (0.0, f64::INFINITY))?,
        norm_group: d_inner / n_groups,
        norm_epsilon: 1e-5,
        bias: ssm.bool_or("bias", false)?,
        conv_bias: ssm.bool_or("conv_bias", true)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_is_padded() {
        let text = br#"{"d_model": 768, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {}}"#;
        let config = Config::parse(text).unwrap();
        assert_eq!(config.vocab_size, 50280);
        assert_eq!(config.family, Family::Mamba);
    }

    #[test]
    fn gated_norm_runs_over_a_group() {
        let text = br#"{"d_model": 64, "n_layer": 2, "vocab_size": 12, "ssm_cfg": {"layer": "Mamba2", "headdim": 32, "ngroups": 2}}"#;
        let MixerConfig::Mamba2(mixer) = Config::parse(text).unwrap().mixer else { panic!("a Mamba-2 mixer") };
        assert_eq!((mixer.norm_group, mixer.n_heads, mixer.projection_rows()), (64, 4, 2 * 128 + 2 * 2 * 128 + 4));
    }

    #[test]
    fn other_blocks_are_not_supported() {
        let mlp = br#"{"d_model": 64, "n_layer": 2, "vocab_size": 12, "ssm_cfg": {}, "d_intermediate": 128}"#;
        let message = Config::parse(mlp).unwrap_err().to_string();
        assert_eq!(message, "not supported: MLP blocks (\"d_intermediate\" above 0)");
        let attention = br#"{"d_model": 64, "n_layer": 2, "vocab_size": 12, "ssm_cfg": {}, "attn_layer_idx": [1]}"#;
        assert!(Config::parse(attention).unwrap_err().to_string().contains("attention layers"));
    }

    #[test]
    fn keys_that_change_the_function_are_refused() {
        for (key, value) in
            [("norm_before_gate", "true"), ("D_has_hdim", "true"), ("rmsnorm", "false"), ("d_ssm", "32")]
        {
            let text = format!(
                r#"{{"d_model": 64, "n_layer": 2, "vocab_size": 12, "ssm_cfg": {{"layer": "Mamba2", "{key}": {value}}}}}"#
            );
            let message = Config::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(message.starts_with(&format!("\"ssm_cfg.{key}\": expected")), "{message}");
        }
    }
}
