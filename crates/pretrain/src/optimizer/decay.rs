//! Which tensors decay.

/// Tensors of a Mamba mixer that never decay, whatever their shape.
const SPARED: [&str; 2] = ["A_log", "D"];

/// Whether a tensor decays: all but those of one dimension (norms, biases, step sizes), `A_log` and `D`.
///
/// The name is the published one, such as `backbone.layers.0.mixer.A_log`.
pub fn decays(name: &str, shape: &[usize]) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    shape.len() > 1 && !SPARED.contains(&last) && last != "bias"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_and_convolutions_decay() {
        for (name, shape, expected) in [
            ("backbone.embeddings.weight", &[16, 32][..], true),
            ("backbone.layers.0.mixer.conv1d.weight", &[64, 1, 4], true),
            ("backbone.layers.0.mixer.dt_proj.weight", &[64, 2], true),
            ("backbone.layers.0.mixer.dt_proj.bias", &[64], false),
            ("backbone.layers.0.mixer.A_log", &[64, 16], false),
            ("caduceus.backbone.layers.0.mixer.submodule.mamba_rev.D", &[64], false),
            ("caduceus.backbone.layers.0.norm.submodule.weight", &[32], false),
            ("backbone.norm_f.weight", &[32], false),
            ("lm_head.weight", &[16, 32], true),
        ] {
            assert_eq!(decays(name, shape), expected, "{name}");
        }
    }
}
