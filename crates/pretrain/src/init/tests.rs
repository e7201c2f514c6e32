use longstrand_model::checkpoint::Checkpoint;

use super::*;

fn parse(text: &str) -> Config {
    Config::parse(text.as_bytes()).unwrap()
}

fn caduceus(more: &str) -> Config {
    parse(&format!(
        r#"{{"model_type": "caduceus", "d_model": 64, "n_layer": 3, "vocab_size": 12, "pad_vocab_size_multiple": 8, "ssm_cfg": {{}} {more}}}"#
    ))
}

fn mamba(weights: &MixerWeights) -> &MambaWeights {
    let MixerWeights::Mamba(mamba) = weights else { panic!("a Mamba mixer") };
    mamba
}

/// The mean of squares.
fn power(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / values.len() as f64
}

fn is_uniform(values: &[f32], bound: f64) -> bool {
    let largest = values.iter().fold(0.0_f64, |largest, &x| largest.max(f64::from(x).abs()));
    largest <= bound * 1.000_001 && largest > 0.95 * bound && (power(values) / (bound * bound / 3.0) - 1.0).abs() < 0.15
}

#[test]
fn mamba_as_published() {
    let config = caduceus("");
    let weights = initial_weights(&config, &InitOptions::default(), 1);
    assert!((power(&weights.embedding).sqrt() / 0.02 - 1.0).abs() < 0.1);
    assert_eq!((&weights.lm_head, &weights.score), (&None, &None));
    assert_eq!(weights.norm_f.weight, [1.0; 64]);
    let forward = mamba(&weights.layers[1].forward);
    assert!(is_uniform(&forward.in_proj.as_ref().unwrap().weight, 1.0 / 8.0));
    assert!(is_uniform(&forward.out_proj.as_ref().unwrap().weight, (1.0_f64 / 128.0 / 3.0).sqrt()));
    assert!(is_uniform(&forward.x_proj, (1.0_f64 / 128.0).sqrt()));
    assert!(is_uniform(&forward.conv_weight, 0.5));
    assert!(is_uniform(forward.conv_bias.as_ref().unwrap(), 0.5));
    assert!(is_uniform(&forward.dt_proj.weight, 0.5));
    assert_eq!(forward.a_log[16..19], [0.0, 2.0_f32.ln(), 3.0_f32.ln()]);
    assert_eq!(forward.d, [1.0; 128]);
    let steps: Vec<f64> = forward.dt_proj.bias.as_ref().unwrap().iter().map(|&x| f64::from(x).exp().ln_1p()).collect();
    assert!(steps.iter().all(|step| (0.000_999..0.100_1).contains(step)));
    let mean_log = steps.iter().map(|step| step.log10()).sum::<f64>() / 128.0;
    assert!((mean_log + 2.0).abs() < 0.2, "{mean_log}");

    let reverse = mamba(weights.layers[1].reverse.as_ref().unwrap());
    assert_eq!((&reverse.in_proj, &reverse.out_proj), (&None, &None));
    assert_ne!(reverse.x_proj, forward.x_proj);
    assert_ne!(mamba(&weights.layers[0].forward).x_proj, forward.x_proj);
}

#[test]
fn the_seed_is_all_that_counts() {
    let config = caduceus("");
    let weights = |seed| initial_weights(&config, &InitOptions::default(), seed);
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1).embedding, weights(2).embedding);
    let untied = caduceus(r#", "bidirectional_weight_tie": false"#);
    let untied = initial_weights(&untied, &InitOptions::default(), 1);
    assert_eq!(untied.layers[2].forward, weights(1).layers[2].forward);
    let reverse = mamba(untied.layers[2].reverse.as_ref().unwrap());
    assert!(reverse.in_proj.is_some() && reverse.out_proj.is_some());
}

#[test]
fn mamba2_and_biases() {
    let config = parse(
        r#"{"model_type": "mamba2", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 16, "num_heads": 64,
            "head_dim": 2, "n_groups": 2, "state_size": 8, "use_bias": true, "tie_word_embeddings": false}"#,
    );
    let options = InitOptions { rescale_prenorm_residual: false, dt_floor: 0.05, ..InitOptions::default() };
    let weights = initial_weights(&config, &options, 1);
    assert!(is_uniform(weights.lm_head.as_ref().unwrap(), 1.0 / 8.0));
    let MixerWeights::Mamba2(mixer) = &weights.layers[0].forward else { panic!("a Mamba-2 mixer") };
    let in_proj = mixer.in_proj.as_ref().unwrap();
    assert_eq!(in_proj.bias.as_deref(), Some(&[0.0; 128 + 128 + 32 + 64][..]));
    assert!(is_uniform(&mixer.out_proj.as_ref().unwrap().weight, (1.0_f64 / 128.0).sqrt()));
    assert!(mixer.a_log.iter().all(|a| (0.0..16.0_f32.ln()).contains(a)));
    let smallest = mixer.dt_bias.iter().map(|&x| f64::from(x).exp().ln_1p()).fold(1.0, f64::min);
    assert!((smallest - 0.05).abs() < 1e-6, "{smallest}");
    assert_eq!(weights.layers[0].reverse, None);
}

/// A trained model has tensors of the same sizes.
#[test]
fn sizes_are_those_of_a_checkpoint() {
    let trained = Checkpoint::builtin().unwrap();
    let weights = initial_weights(&trained.config, &InitOptions::default(), 0);
    assert_eq!(weights.parameter_count(), trained.weights.parameter_count());
    let lengths = |weights: &Weights| {
        let reverse = mamba(weights.layers[3].reverse.as_ref().unwrap());
        [&reverse.conv_weight, &reverse.x_proj, &reverse.a_log, &reverse.dt_proj.weight].map(Vec::len)
    };
    assert_eq!(lengths(&weights), lengths(&trained.weights));
}
