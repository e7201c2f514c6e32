use std::path::Path;

use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::config::{Directions, Family, MixerConfig};

use super::*;
use crate::init::{InitOptions, initial_weights};

fn file(text: &str) -> Option<ConfigFile<'_>> {
    Some(ConfigFile { path: Path::new("run.toml"), text })
}

fn message(text: &str) -> String {
    resolve(None, file(text), &[]).unwrap_err().to_string()
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_preset() {
    let text = "preset = \"tiny\"\n[run]\nsteps = 100\nseed = 7\n[schedule]\npeak = 1e-3\n";
    let settings =
        resolve(None, file(text), &[Flag::new("run.steps", 50), Flag::new("data.split.kind", "fraction")]).unwrap();
    assert_eq!((settings.run.steps, settings.run.seed, settings.run.tokens), (50, 7, 4_096));
    assert_eq!((settings.schedule.peak, settings.schedule.last), (1e-3, 1e-4));
    assert_eq!((settings.preset.as_deref(), settings.model.d_model), (Some("tiny"), 64));
    let settings = resolve(Some("caduceus-ps-1k"), file("preset = \"tiny\"\n"), &[]).unwrap();
    assert_eq!((settings.preset.as_deref(), settings.model.family), (Some("caduceus-ps-1k"), FamilyName::CaduceusPs));
    assert_eq!(resolve(None, None, &[]).unwrap(), Settings::default());
}

#[test]
fn what_was_resolved_gives_itself_again() {
    for preset in PRESETS {
        let flags = [
            Flag::new("data.genomes", vec!["a.fa.gz", "b.2bit"]),
            Flag::new("schedule.warmup_steps", 5),
            Flag::new("model.d_state", 8),
        ];
        let settings = resolve(Some(preset.name), None, &flags).unwrap();
        let text = settings.to_toml().unwrap();
        assert_eq!(resolve(None, file(&text), &[]).unwrap(), settings, "{text}");
    }
    let text = "[[data.stages]]\nfrom_step = 0\nlength = 64\n[[data.stages]]\nfrom_step = 9\nlength = 1024\n";
    let settings = resolve(None, file(text), &[]).unwrap();
    assert_eq!(settings.lengths().unwrap().at(9), 1_024);
    assert_eq!(resolve(None, file(&settings.to_toml().unwrap()), &[]).unwrap(), settings);
}

#[test]
fn unknown_keys_and_types_are_told_with_their_line() {
    let told = message("[run]\nsteps = 5\n\nstep = 6\n");
    assert!(told.starts_with("run.toml, line 4: unknown field `step`, expected one of `steps`, `tokens`"), "{told}");
    let told = message("[data.split]\nkind = \"chromosome\"\n");
    assert!(told.starts_with("run.toml, line 2: unknown variant `chromosome`, expected one of `fraction`"), "{told}");
    let told = message("\n[run]\nsteps = \"many\"\n");
    assert!(told.starts_with("run.toml, line 3: invalid type: string \"many\""), "{told}");
    let told = message("[runs]\n");
    assert!(told.starts_with("run.toml, line 1: unknown field `runs`"), "{told}");
    let told = message("a = = 1\n");
    assert!(told.starts_with("run.toml, line 1: ") && !told.contains('\n'), "{told}");
    let told = resolve(None, None, &[Flag::new("run.stepps", 1)]).unwrap_err().to_string();
    assert!(told.starts_with("setting run.stepps: unknown field `stepps`"), "{told}");
    let told = resolve(None, None, &[Flag::new("run.steps", -1)]).unwrap_err().to_string();
    assert!(told.starts_with("setting run.steps: invalid value: integer `-1`"), "{told}");
    let told = resolve(Some("huge"), None, &[]).unwrap_err().to_string();
    assert!(told.starts_with("preset: expected one of tiny, tiny-ps, caduceus-ph-1k"), "{told}");
}

#[test]
fn values_out_of_range_are_told() {
    for (text, expected) in [
        ("[run]\nsteps = 0", "setting run.steps: expected at least 1, found 0"),
        (
            "[run]\ntokens = 1000",
            "setting run.tokens: expected tokens of a step to be a multiple of the window length, 1024, found 1000",
        ),
        ("[data]\nlength = 0", "setting data.length: expected at least 1 base, found 0"),
        (
            "[data]\nreverse_complement = 1.5",
            "setting data.reverse_complement: expected a number from 0 to 1, found 1.5",
        ),
        (
            "[data.split]\nvalid = 0.6\ntest = 0.4",
            "setting data.split: expected valid and test together below 1, found 0.6 and 0.4",
        ),
        ("[data.split]\nkind = \"bed\"", "setting data.split.bed: expected a BED file, found none"),
        (
            "[data]\nlength = 1000\n[run]\ntokens = 10000\n[data.split]\nkind = \"bed\"\nbed = \"x\"\nreading = \"compatible\"",
            "setting data.length: expected a divisor of 1048576 for the compatible reading of a split, found 1000",
        ),
        (
            "[data.split]\nkind = \"contigs\"",
            "setting data.split.valid_contigs: expected names of contigs, or test_contigs, found none",
        ),
        ("[schedule]\npeak = nan", "setting schedule.peak: expected a number of at least 0, found NaN"),
        (
            "[schedule]\nwarmup_steps = 10001",
            "setting schedule: expected a warm-up and decay of at most run.steps, 10000, together, found 10001 and 0",
        ),
        ("[optimizer]\nbeta2 = 1.0", "setting optimizer.beta2: expected a number from 0 to below 1, found 1"),
        ("[optimizer]\nclip = 0.0", "setting optimizer.clip: expected a number above 0, found 0"),
        (
            "[model]\nfamily = \"mamba\"",
            "setting objective.kind: expected \"causal\" for a model that runs left to right, found \"masked\"",
        ),
        ("[model]\nd_conv = 17", "setting model.d_conv: expected a whole number from 1 to 16, found 17"),
        (
            "[model]\nfamily = \"mamba2\"\nd_model = 40\nhead_dim = 64",
            "setting model.head_dim: expected a divisor of the inner width, 80, found 64",
        ),
        ("[model]\ndt_max = 1e-4", "setting model.dt_max: expected at least dt_min, 0.001, found 0.0001"),
        ("[objective]\nselect = 2.0", "setting objective: expected a fraction of selected bases from 0 to 1, found 2"),
    ] {
        assert_eq!(message(text), expected);
    }
}

#[test]
fn presets_have_the_published_sizes() {
    let weights = |name: &str| {
        let settings = resolve(Some(name), None, &[]).unwrap();
        let config = settings.model_config().unwrap();
        (initial_weights(&config, &InitOptions::default(), 0).parameter_count(), settings)
    };
    let (n, settings) = weights("caduceus-ph-1k");
    assert_eq!(n, Checkpoint::builtin().unwrap().weights.parameter_count());
    let config = settings.model_config().unwrap();
    assert_eq!((config.vocab_size, config.trained_context), (16, Some(1_024)));
    assert_eq!(settings.lengths().unwrap().batch(0, settings.run.tokens), Ok(1_024));
    let (n, settings) = weights("caduceus-ph-131k");
    assert!((7_700_000..7_760_000).contains(&n), "{n}");
    assert_eq!((settings.run.steps, settings.lengths().unwrap().batch(0, settings.run.tokens)), (50_000, Ok(8)));
    let (n, settings) = weights("caduceus-ps-32k");
    let map = settings.model_config().unwrap().rcps.unwrap().complement_map;
    assert_eq!(map, [0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11, 12, 13, 14, 15]);
    assert!((3_850_000..3_880_000).contains(&n), "{n}");
    let (n, settings) = weights("mamba-131k");
    assert!((6_900_000..7_100_000).contains(&n), "{n}");
    assert_eq!(settings.model_config().unwrap().directions, Directions::Causal);
    let (n, settings) = weights("tiny");
    assert!((100_000..300_000).contains(&n), "{n}");
    assert_eq!(settings.run.steps * settings.run.tokens, 1 << 22);
}

#[test]
fn schedules_follow_the_steps() {
    let schedule = |text: &str| resolve(None, file(text), &[]).unwrap().schedule().unwrap();
    assert_eq!(schedule("").rate(1_000), 8e-3);
    assert_eq!(schedule("[run]\nsteps = 100").rate(10), 8e-3);
    let constant = schedule("[schedule]\nkind = \"constant\"\nwarmup_steps = 3\nstart = 0.0");
    assert_eq!((constant.rate(0), constant.rate(3), constant.rate(9_999)), (0.0, 8e-3, 8e-3));
    let wsd = schedule("[schedule]\nkind = \"wsd\"\nfinal = 0.0\ndecay = 0.2");
    assert_eq!((wsd.rate(7_999), wsd.rate(9_999)), (8e-3, 0.0));
    let one = schedule("[schedule]\nfirst_step = \"one-increment\"\nstart = 0.0\nwarmup_steps = 4");
    assert_eq!(one.rate(0), 2e-3);
}

#[test]
fn mamba2_has_a_state_of_its_own() {
    let text = "[model]\nfamily = \"mamba2\"\n[objective]\nkind = \"causal\"\n";
    let config = resolve(None, file(text), &[]).unwrap().model_config().unwrap();
    assert_eq!(config.family, Family::Mamba2);
    let MixerConfig::Mamba2(mixer) = config.mixer else { panic!("a Mamba-2 mixer") };
    assert_eq!((mixer.d_state, mixer.n_heads, mixer.norm_group), (128, 8, 512));
}
