//! What is saved is what was loaded, under the names and in the shapes of the published files.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use longstrand_model::checkpoint::{Checkpoint, Existing, MixerWeights, SaveError, TensorSpec, Weights};
use longstrand_model::config::Config;
use longstrand_seq::vocab::Vocabulary;
use safetensors::{Dtype, SafeTensors};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// Every folder of the fixtures that holds a model.
fn models() -> Vec<PathBuf> {
    let folders = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let mut models: Vec<PathBuf> = folders.filter(|folder| folder.join("config.json").is_file()).collect();
    models.sort();
    assert!(models.len() >= 22, "{}", models.len());
    models
}

/// Saves into a folder of the same name elsewhere, and loads that.
fn again(checkpoint: &Checkpoint) -> (tempfile::TempDir, Checkpoint) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join(&checkpoint.name);
    let digest = checkpoint.save(&path, Existing::Refuse).unwrap();
    let loaded = Checkpoint::load(&path).unwrap();
    assert_eq!(loaded.digest, digest, "{}", checkpoint.name);
    (parent, loaded)
}

#[test]
fn every_fixture_is_the_same_when_it_is_saved_and_loaded() {
    for folder in models() {
        let original = Checkpoint::load(&folder).unwrap();
        let (_parent, loaded) = again(&original);
        assert_eq!(loaded.config, original.config, "{}", original.name);
        assert_eq!(loaded.weights, original.weights, "{}", original.name);
        assert_eq!(loaded.vocabulary, original.vocabulary, "{}", original.name);
        assert_eq!(loaded.tokenizer, original.tokenizer, "{}", original.name);
        let (_parent, twice) = again(&loaded);
        assert_eq!(twice.digest, loaded.digest, "{}", original.name);
    }
}

#[test]
fn every_config_is_the_same_when_it_is_written_and_parsed() {
    for folder in models() {
        let config = Config::parse(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        let vocabulary = Checkpoint::load(&folder).unwrap().vocabulary;
        let text = config.to_json(&vocabulary).unwrap();
        assert_eq!(Config::parse(&text).unwrap(), config, "{}", folder.display());
    }
}

type Listing = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn listing(path: &Path) -> Listing {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let entry = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
    };
    file.tensors().into_iter().map(entry).collect()
}

#[test]
fn tensors_are_those_of_the_published_file() {
    for folder in models() {
        let published = folder.join("model.safetensors");
        if !published.exists() {
            continue;
        }
        let original = Checkpoint::load(&published).unwrap();
        let (parent, _) = again(&original);
        let written = parent.path().join(&original.name).join("model.safetensors");
        assert!(listing(&written) == listing(&published), "{}", original.name);
        let (_, metadata) = SafeTensors::read_metadata(&fs::read(&written).unwrap()).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    }
}

/// Keys whose value is ours: who wrote the file, where its code is, and what only the reference code's own arithmetic reads.
const OWN_WORDS: [&str; 6] =
    ["transformers_version", "auto_map", "residual_in_fp32", "ssm_cfg", "time_step_rank", "chunk_size"];

/// Keys of transformers' models that it reads no more, or that are its defaults.
const LEGACY: [&str; 8] =
    ["d_model", "d_inner", "n_layer", "fused_add_norm", "rms_norm", "pad_vocab_size_multiple", "use_mambapy", "dtype"];

#[test]
fn keys_are_those_of_the_published_config() {
    for case in ["hf-mamba", "hf-mamba2-groups", "caduceus-ph", "caduceus-ps", "caduceus-ps-seqcls"] {
        let original = Checkpoint::load(fixtures().join(case)).unwrap();
        let json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        let published = json(&fs::read(fixtures().join(case).join("config.json")).unwrap());
        let written = json(&original.config.to_json(&original.vocabulary).unwrap());
        for (key, value) in published.as_object().unwrap() {
            let is_legacy = case.starts_with("hf-") && LEGACY.contains(&key.as_str());
            if !is_legacy && !OWN_WORDS.contains(&key.as_str()) {
                assert_eq!(written.get(key), Some(value), "{case}: {key}");
            }
        }
    }
}

#[test]
fn a_model_made_here_is_loaded_as_it_is() {
    let vocabulary = Vocabulary::caduceus();
    for config in [
        Config::mamba(32, 2, &vocabulary),
        Config::mamba2(32, 2, &vocabulary),
        Config::caduceus_ph(32, 2, &vocabulary),
        Config { trained_context: Some(1024), ..Config::caduceus_ps(32, 2, &vocabulary) },
    ] {
        let mut next = 0.0;
        let weights = Weights::build(&config, |spec| {
            let start = next;
            next += spec.elements() as f32;
            (0..spec.elements()).map(|i| start + i as f32).collect()
        });
        assert_eq!(weights.parameter_count(), next as u64);
        let made = Checkpoint::new("new".into(), config, weights, vocabulary.clone()).unwrap();
        let (_parent, loaded) = again(&made);
        assert_eq!((&loaded.config, &loaded.weights), (&made.config, &made.weights));
        assert_eq!((&loaded.digest, &loaded.tokenizer), (&made.digest, &made.tokenizer));
    }
}

#[test]
fn names_are_those_of_the_files_in_the_order_of_the_fields() {
    let checkpoint = Checkpoint::load(fixtures().join("caduceus-ps")).unwrap();
    let (config, mut weights) = (checkpoint.config, checkpoint.weights);
    let names: Vec<String> = weights.named(&config).into_iter().map(|tensor| tensor.spec.name).collect();
    assert_eq!(names[0], "caduceus.backbone.embeddings.word_embeddings.embedding.weight");
    assert_eq!(names[1], "caduceus.backbone.layers.0.norm.weight");
    assert_eq!(names.last().unwrap(), "caduceus.backbone.norm_f.weight");
    let d = "caduceus.backbone.layers.1.mixer.submodule.mamba_rev.D";
    let tensor = weights.named_mut(&config).into_iter().find(|tensor| tensor.spec.name == d).unwrap();
    assert_eq!(tensor.spec.shape, [96]);
    tensor.values[5] = 7.5;
    let Some(MixerWeights::Mamba(reverse)) = &weights.layers[1].reverse else { panic!("a reverse mixer") };
    assert_eq!(reverse.d[5], 7.5);
}

/// The list that the authors publish for the model of 16 layers at 131,072 bases: 274 tensors, and in the PS form two buffers
/// more.
#[test]
fn caduceus_has_the_published_names_and_shapes() {
    let vocabulary = Vocabulary::caduceus();
    for (config, wrapper, embedding) in [
        (Config::caduceus_ph(256, 16, &vocabulary), "", ""),
        (Config::caduceus_ps(256, 16, &vocabulary), "submodule.", "embedding."),
    ] {
        let backbone = "caduceus.backbone";
        let mut expected: BTreeMap<String, Vec<usize>> = BTreeMap::from([
            (format!("{backbone}.embeddings.word_embeddings.{embedding}weight"), vec![16, 256]),
            (format!("{backbone}.norm_f.weight"), vec![256]),
        ]);
        for layer in 0..16 {
            let layer = format!("{backbone}.layers.{layer}");
            let mixer = format!("{layer}.mixer.{wrapper}mamba");
            expected.insert(format!("{layer}.norm.weight"), vec![256]);
            expected.insert(format!("{mixer}_fwd.in_proj.weight"), vec![1024, 256]);
            expected.insert(format!("{mixer}_fwd.out_proj.weight"), vec![256, 512]);
            for direction in ["fwd", "rev"] {
                for (name, shape) in [
                    ("A_log", vec![512, 16]),
                    ("D", vec![512]),
                    ("conv1d.weight", vec![512, 1, 4]),
                    ("conv1d.bias", vec![512]),
                    ("x_proj.weight", vec![48, 512]),
                    ("dt_proj.weight", vec![512, 16]),
                    ("dt_proj.bias", vec![512]),
                ] {
                    expected.insert(format!("{mixer}_{direction}.{name}"), shape);
                }
            }
        }
        assert_eq!(expected.len(), 274);
        let specs = TensorSpec::all(&config).into_iter();
        assert_eq!(specs.map(|spec| (spec.name, spec.shape)).collect::<BTreeMap<_, _>>(), expected);
    }
}

/// The published file of the PS form of that model is 30,937,760 bytes long.
#[test]
fn caduceus_ps_has_the_published_length() {
    let config = Config::caduceus_ps(256, 16, &Vocabulary::caduceus());
    let weights: Weights = Weights::build(&config, |spec| vec![0.0; spec.elements()]);
    assert_eq!(weights.to_safetensors(&config).unwrap().len(), 30_937_760);
}

#[test]
fn moments_are_written_under_the_same_names() {
    let checkpoint = Checkpoint::load(fixtures().join("caduceus-ps-odd")).unwrap();
    let moments = checkpoint.weights.map(|values| values.iter().map(|value| value * value).collect());
    let bytes = moments.to_safetensors(&checkpoint.config).unwrap();
    assert_eq!(Weights::from_safetensors(&checkpoint.config, "moments", bytes.clone()).unwrap(), moments);
    let message =
        Weights::from_safetensors(&checkpoint.config, "moments", bytes[1..].to_vec()).unwrap_err().to_string();
    assert!(message.starts_with("moments ("), "{message}");
}

#[test]
fn weights_that_could_not_be_loaded_are_not_saved() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("model");
    let mut checkpoint = Checkpoint::load(fixtures().join("hf-mamba")).unwrap();
    checkpoint.weights.norm_f.weight[3] = f32::NAN;
    let error = checkpoint.save(&path, Existing::Refuse).unwrap_err();
    assert_eq!(error.to_string(), "tensor \"backbone.norm_f.weight\": expected finite values, found NaN at index 3");
    checkpoint.weights.norm_f.weight.pop();
    let message = checkpoint.save(&path, Existing::Refuse).unwrap_err().to_string();
    assert!(
        message.ends_with("tensor \"backbone.norm_f.weight\": expected the elements of [48], found 47"),
        "{message}"
    );
    checkpoint.config.n_layer = 0;
    assert!(matches!(checkpoint.save(&path, Existing::Refuse), Err(SaveError::Config(_))));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_checkpoint_gives_way_to_another_only_when_told_to() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("model");
    let first = Checkpoint::load(fixtures().join("hf-mamba")).unwrap();
    let second = Checkpoint::load(fixtures().join("caduceus-ps-odd")).unwrap();
    first.save(&path, Existing::Refuse).unwrap();
    assert!(matches!(second.save(&path, Existing::Refuse), Err(SaveError::Exists { .. })));
    assert_eq!(Checkpoint::load(&path).unwrap().weights, first.weights);
    second.save(&path, Existing::Replace).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap().weights, second.weights);
}
