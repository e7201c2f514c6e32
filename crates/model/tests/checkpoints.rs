//! Every published layout loads, and every damaged one is an error that says what is wrong.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use longstrand_model::checkpoint::{Checkpoint, CheckpointError, MixerWeights, StoredType, TensorProblem};
use longstrand_model::config::{Directions, Family, Head, MixerConfig, NormKind, Strategy};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

fn load(case: &str) -> Checkpoint {
    Checkpoint::load(fixtures().join(case)).unwrap_or_else(|e| panic!("{case}: {}", chain(&e)))
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        None => error.to_string(),
        Some(source) => format!("{error}: {}", chain(source)),
    }
}

/// Folder, family, unique parameters as counted from the tensors' shapes in the files.
const CASES: [(&str, Family, u64); 21] = [
    ("hf-mamba", Family::Mamba, 60_000),
    ("hf-mamba-variant", Family::Mamba, 40_120),
    ("hf-mamba2", Family::Mamba2, 92_168),
    ("hf-mamba2-groups", Family::Mamba2, 41_880),
    ("train-hf-mamba", Family::Mamba, 20_448),
    ("ss-mamba", Family::Mamba, 60_000),
    ("ss-mamba2", Family::Mamba2, 61_272),
    ("caduceus-ph", Family::CaduceusPh, 103_152),
    ("caduceus-ph-untied", Family::CaduceusPh, 40_288),
    ("caduceus-ph-ewmul", Family::CaduceusPh, 28_000),
    ("caduceus-ph-layernorm", Family::CaduceusPh, 28_096),
    ("caduceus-ph-bias", Family::CaduceusPh, 22_176),
    ("caduceus-ph-seqcls", Family::CaduceusPh, 28_064),
    ("caduceus-uni", Family::CaduceusPh, 20_448),
    ("caduceus-ps", Family::CaduceusPs, 103_152),
    ("caduceus-ps-odd", Family::CaduceusPs, 58_880),
    ("caduceus-ps-unfused", Family::CaduceusPs, 58_880),
    ("caduceus-ps-untied", Family::CaduceusPs, 40_288),
    ("caduceus-ps-ewmul", Family::CaduceusPs, 28_000),
    ("caduceus-ps-layernorm-unfused", Family::CaduceusPs, 41_856),
    ("caduceus-ps-seqcls", Family::CaduceusPs, 28_096),
];

#[test]
fn every_layout_loads() {
    for (case, family, parameters) in CASES {
        let checkpoint = load(case);
        assert_eq!(checkpoint.config.family, family, "{case}");
        assert_eq!(checkpoint.weights.parameter_count(), parameters, "{case}");
        assert_eq!(checkpoint.weights.layers.len(), checkpoint.config.n_layer, "{case}");
        assert_eq!(checkpoint.stored_types, [StoredType::F32], "{case}");
        assert_eq!(checkpoint.name, case);
        assert_eq!(checkpoint.digest.len(), 64, "{case}");
    }
}

#[test]
fn choices_are_read() {
    let variant = load("hf-mamba-variant").config;
    assert_eq!(variant.head, Head::LanguageModel { tied: false });
    assert_eq!(variant.norm.epsilon, 1e-3);
    let MixerConfig::Mamba(mixer) = variant.mixer else { panic!("a Mamba mixer") };
    assert_eq!((mixer.d_inner, mixer.d_state, mixer.d_conv, mixer.dt_rank), (120, 8, 3, 5));
    assert!(mixer.bias && !mixer.conv_bias);

    let MixerConfig::Mamba2(groups) = load("hf-mamba2-groups").config.mixer else { panic!("a Mamba-2 mixer") };
    assert_eq!((groups.n_groups, groups.dt_limit, groups.norm_group), (3, (0.01, 0.2), 96));
    let MixerConfig::Mamba2(plain) = load("hf-mamba2").config.mixer else { panic!("a Mamba-2 mixer") };
    assert_eq!(plain.dt_limit, (0.0, f64::INFINITY));

    let untied = load("caduceus-ph-untied");
    assert_eq!(untied.config.directions, Directions::Bidirectional { strategy: Strategy::Add, tied: false });
    let Some(MixerWeights::Mamba(reverse)) = &untied.weights.layers[0].reverse else { panic!("a reverse mixer") };
    assert!(reverse.in_proj.is_some());
    assert_eq!(load("caduceus-uni").config.directions, Directions::Causal);
    assert_eq!(load("caduceus-ph-layernorm").config.norm.kind, NormKind::Layer);
    assert_eq!(load("ss-mamba").config.vocab_size, 16);

    let odd = load("caduceus-ps-odd").config.rcps.unwrap();
    assert!(odd.fused_add_norm);
    assert_eq!(odd.complement_map, [0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11, 12, 13, 14, 15]);
    assert!(!load("caduceus-ps-unfused").config.rcps.unwrap().fused_add_norm);
    let head = load("caduceus-ps-seqcls");
    assert!(matches!(head.config.head, Head::SequenceClassification { n_labels: 3, .. }));
    assert_eq!(head.weights.score.unwrap().len(), 3 * 32);
    assert_eq!(load("caduceus-ps").config.trained_context, Some(131_072));
}

#[test]
fn plant_caduceus_loads_with_every_alias() {
    let checkpoint = load("plantcaduceus");
    assert_eq!(checkpoint.config.family, Family::PlantCaduceus);
    assert_eq!(checkpoint.config.head, Head::LanguageModel { tied: true });
    assert_eq!(checkpoint.config.trained_context, Some(512));
    let Some(MixerWeights::Mamba(reverse)) = &checkpoint.weights.layers[0].reverse else { panic!("a reverse mixer") };
    assert!(reverse.in_proj.is_none());
}

#[test]
fn pickle_and_safetensors_hold_the_same_model() {
    for case in ["ss-mamba", "ss-mamba2"] {
        let folder = fixtures().join(case);
        let pickle = Checkpoint::load(folder.join("pytorch_model.bin")).unwrap();
        let safetensors = Checkpoint::load(folder.join("model.safetensors")).unwrap();
        assert_eq!(pickle.weights, safetensors.weights, "{case}");
        assert_eq!(pickle.name, case);
        assert_ne!(pickle.digest, safetensors.digest);
    }
}

#[test]
fn the_builtin_model_is_what_its_card_says() {
    let summary = Checkpoint::builtin().unwrap().summary();
    assert_eq!(summary.parameters, 1_934_592);
    assert_eq!((summary.n_layer, summary.d_model, summary.trained_context), (4, 256, Some(1024)));
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["family"], "Caduceus-Ph");
    assert_eq!(json["head"], "language model, tied to the embedding");
    assert_eq!(json["stored_types"][0], "BF16");
}

#[test]
fn a_digest_is_that_of_the_bytes() {
    let folder = fixtures().join("caduceus-ps-odd");
    let config = fs::read(folder.join("config.json")).unwrap();
    let weights = fs::read(folder.join("model.safetensors")).unwrap();
    let from_bytes = Checkpoint::from_bytes("odd", &config, &weights).unwrap();
    let loaded = load("caduceus-ps-odd");
    assert_eq!(from_bytes.digest, loaded.digest);
    assert_eq!(from_bytes.weights, loaded.weights);
    let spaced = [config.as_slice(), b" "].concat();
    assert_ne!(Checkpoint::from_bytes("odd", &spaced, &weights).unwrap().digest, loaded.digest);
}

#[test]
fn another_tokenizer_is_another_digest() {
    let folder = copy("hf-mamba");
    let digest = || Checkpoint::load(folder.path()).unwrap().digest;
    let by_rows = digest();
    let write = |vocabulary: serde_json::Value| {
        let tokenizer = serde_json::json!({"model": {"vocab": vocabulary}});
        fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    };
    write(serde_json::json!({
        "[CLS]": 0, "[SEP]": 1, "[BOS]": 2, "[MASK]": 3, "[PAD]": 4, "[RESERVED]": 5, "[UNK]": 6,
        "A": 7, "C": 8, "G": 9, "T": 10, "N": 11,
    }));
    assert_eq!(digest(), by_rows, "the same alphabet, said or not");
    write(serde_json::json!({"[PAD]": 0, "[MASK]": 1, "[UNK]": 2, "a": 3, "c": 4, "g": 5, "t": 6}));
    assert_ne!(digest(), by_rows);
}

/// A safetensors file taken apart, to be put together otherwise.
struct Parts {
    config: Vec<u8>,
    tensors: Vec<(String, safetensors::Dtype, Vec<usize>, Vec<u8>)>,
}

impl Parts {
    fn of(case: &str) -> Self {
        let folder = fixtures().join(case);
        let config = fs::read(folder.join("config.json")).unwrap();
        let bytes = fs::read(folder.join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let part = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
            (name, view.dtype(), view.shape().to_vec(), view.data().to_vec())
        };
        Self { config, tensors: file.tensors().into_iter().map(part).collect() }
    }

    fn find(&mut self, name: &str) -> &mut (String, safetensors::Dtype, Vec<usize>, Vec<u8>) {
        self.tensors.iter_mut().find(|(found, ..)| found == name).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, shape, data)| {
            (name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    fn load(&self) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::from_bytes("parts", &self.config, &self.bytes())
    }

    fn error(&self) -> (String, TensorProblem) {
        match self.load() {
            Err(CheckpointError::Tensor { origin, name, problem }) => {
                assert_eq!(origin, "parts");
                (name, *problem)
            }
            Err(other) => panic!("another error: {}", chain(&other)),
            Ok(_) => panic!("it loads"),
        }
    }
}

const EMBEDDING: &str = "caduceus.backbone.embeddings.word_embeddings.weight";
const X_PROJ: &str = "caduceus.backbone.layers.1.mixer.mamba_rev.x_proj.weight";
const IN_PROJ: &str = "caduceus.backbone.layers.0.mixer.mamba_fwd.in_proj.weight";

#[test]
fn a_missing_tensor_is_named() {
    for case in ["caduceus-ph", "caduceus-ps", "hf-mamba2-groups", "ss-mamba", "caduceus-ps-layernorm-unfused"] {
        let whole = Parts::of(case);
        for i in 0..whole.tensors.len() {
            let mut parts = Parts::of(case);
            let (removed, _, shape, _) = parts.tensors.swap_remove(i);
            assert_eq!(parts.error(), (removed, TensorProblem::Missing { expected: shape }), "{case}");
        }
    }
}

#[test]
fn a_misshapen_tensor_is_named() {
    for (case, names) in
        [("caduceus-ph", [EMBEDDING, X_PROJ, IN_PROJ]), ("caduceus-ph-untied", [EMBEDDING, X_PROJ, IN_PROJ])]
    {
        for name in names {
            let mut parts = Parts::of(case);
            let shape = parts.find(name).2.clone();
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            parts.find(name).2 = reversed.clone();
            assert_eq!(parts.error(), (name.into(), TensorProblem::Shape { expected: shape, found: reversed }));
        }
    }
}

#[test]
fn an_extra_tensor_is_named() {
    let mut parts = Parts::of("caduceus-ph");
    parts.tensors.push(("caduceus.backbone.layers.4.norm.weight".into(), safetensors::Dtype::F32, vec![1], vec![0; 4]));
    assert_eq!(parts.error(), ("caduceus.backbone.layers.4.norm.weight".into(), TensorProblem::Unexpected));
}

#[test]
fn another_type_is_named() {
    let mut parts = Parts::of("caduceus-ph");
    let tensor = parts.find(X_PROJ);
    tensor.1 = safetensors::Dtype::I32;
    let expected = TensorProblem::Type { expected: "F32, F16 or BF16", found: "I32".into() };
    assert_eq!(parts.error(), (X_PROJ.into(), expected));
}

#[test]
fn narrow_floats_are_widened() {
    let mut parts = Parts::of("caduceus-ph");
    let tensor = parts.find(EMBEDDING);
    tensor.1 = safetensors::Dtype::BF16;
    tensor.3 = tensor.3.chunks_exact(4).flat_map(|word| [word[2], word[3]]).collect();
    let checkpoint = parts.load().unwrap();
    let whole = load("caduceus-ph");
    for (narrow, wide) in checkpoint.weights.embedding.iter().zip(&whole.weights.embedding) {
        assert_eq!(narrow.to_bits(), wide.to_bits() & 0xffff_0000);
    }
    assert!(checkpoint.stored_types.contains(&StoredType::BF16));
}

#[test]
fn a_weight_that_is_not_a_number_is_named() {
    let mut parts = Parts::of("caduceus-ph");
    parts.find(X_PROJ).3[8..12].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    assert_eq!(parts.error(), (X_PROJ.into(), TensorProblem::NotFinite { index: 2, value: "-inf".into() }));
}

#[test]
fn tied_tensors_must_agree() {
    for (alias, original) in
        [("lm_head.weight", EMBEDDING), ("caduceus.backbone.layers.0.mixer.mamba_rev.in_proj.weight", IN_PROJ)]
    {
        let mut parts = Parts::of("caduceus-ph");
        let (_, dtype, shape, mut data) = parts.find(original).clone();
        parts.tensors.push((alias.into(), dtype, shape.clone(), data.clone()));
        assert_eq!(parts.load().unwrap().weights, load("caduceus-ph").weights);
        let value = |data: &[u8]| f32::from_le_bytes(data[4..8].try_into().unwrap()).to_string();
        let expected = value(&data);
        data[4] ^= 1;
        let problem = TensorProblem::Differs { from: original.into(), index: 1, expected, found: value(&data) };
        parts.find(alias).3 = data;
        assert_eq!(parts.error(), (alias.into(), problem));
    }
}

#[test]
fn complement_buffers_must_repeat_the_config() {
    for name in ["caduceus.backbone.embeddings.word_embeddings.complement_map", "lm_head.complement_map"] {
        let mut parts = Parts::of("caduceus-ps");
        parts.find(name).3.swap(7 * 8, 8 * 8);
        let (from, expected, found) = ("complement_map of config.json".into(), "10".into(), "9".into());
        assert_eq!(parts.error(), (name.into(), TensorProblem::Differs { from, index: 7, expected, found }));
    }
}

#[test]
fn fused_and_unfused_files_are_told_apart() {
    let mut parts = Parts::of("caduceus-ps-unfused");
    parts.config = fs::read(fixtures().join("caduceus-ps-odd/config.json")).unwrap();
    let (name, problem) = parts.error();
    assert!(matches!(problem, TensorProblem::Missing { .. }));
    assert_eq!(name, "caduceus.backbone.layers.0.norm.weight");
}

#[test]
fn a_bare_backbone_loads() {
    let mut parts = Parts::of("hf-mamba");
    let config = String::from_utf8(parts.config.clone()).unwrap();
    parts.config = config.replace("MambaForCausalLM", "MambaModel").into_bytes();
    assert_eq!(parts.load().unwrap().config.head, Head::LanguageModel { tied: true });
    for tensor in &mut parts.tensors {
        tensor.0 = tensor.0.strip_prefix("backbone.").unwrap().into();
    }
    let bare = parts.load().unwrap();
    assert_eq!(bare.config.head, Head::None);
    assert_eq!(bare.weights, load("hf-mamba").weights);
}

#[test]
fn a_bare_caduceus_backbone_loads() {
    let mut parts = Parts::of("caduceus-ph");
    let config = String::from_utf8(parts.config.clone()).unwrap();
    parts.config = config.replace("\"CaduceusForMaskedLM\"\n", "\"Caduceus\"\n").into_bytes();
    assert_eq!(parts.load().unwrap().config.head, Head::LanguageModel { tied: true });
    for tensor in &mut parts.tensors {
        tensor.0 = tensor.0.strip_prefix("caduceus.").unwrap().into();
    }
    assert_eq!(parts.load().unwrap().config.head, Head::None);
}

/// The names are those of the Mamba-2 mixer in Caduceus's wrappers; no published file was at hand.
#[test]
fn plant_cad2_loads_by_its_config() {
    let config = serde_json::json!({
        "architectures": ["CaduceusForMaskedLM"], "model_type": "caduceus", "bidirectional": true, "rcps": true,
        "complement_map": {"0": 0, "1": 1, "2": 2, "3": 6, "4": 5, "5": 4, "6": 3, "7": 7}, "d_intermediate": 0,
        "d_model": 32, "fused_add_norm": true, "n_layer": 1, "vocab_size": 8, "rms_norm": true,
        "ssm_cfg": {"bias": false, "conv_bias": true, "d_conv": 4, "d_state": 4, "expand": 4},
    });
    let backbone = "caduceus.backbone.";
    let mixer = format!("{backbone}layers.0.mixer.submodule.mamba_");
    let mut floats = vec![
        (format!("{backbone}embeddings.word_embeddings.embedding.weight"), vec![8, 32]),
        (format!("{backbone}layers.0.norm.weight"), vec![32]),
        (format!("{backbone}norm_f.weight"), vec![32]),
        (format!("{mixer}fwd.in_proj.weight"), vec![128 + 128 + 4 + 4 + 2, 32]),
        (format!("{mixer}fwd.out_proj.weight"), vec![32, 128]),
    ];
    for direction in ["fwd", "rev"] {
        for (name, shape) in
            [("conv1d.weight", vec![136, 1, 4]), ("conv1d.bias", vec![136]), ("norm.weight", vec![128])]
        {
            floats.push((format!("{mixer}{direction}.{name}"), shape));
        }
        for name in ["dt_bias", "A_log", "D"] {
            floats.push((format!("{mixer}{direction}.{name}"), vec![2]));
        }
    }
    let parameters: usize = floats.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let map: Vec<u8> = [0_i64, 1, 2, 6, 5, 4, 3, 7].iter().flat_map(|id| id.to_le_bytes()).collect();
    let buffers = [format!("{backbone}embeddings.word_embeddings.complement_map"), "lm_head.complement_map".into()];
    let floats = floats.into_iter().map(|(name, shape)| {
        let bytes = vec![0; 4 * shape.iter().product::<usize>()];
        (name, safetensors::Dtype::F32, shape, bytes)
    });
    let buffers = buffers.map(|name| (name, safetensors::Dtype::I64, vec![8], map.clone()));
    let parts = Parts { config: config.to_string().into(), tensors: floats.chain(buffers).collect() };
    let checkpoint = parts.load().unwrap();
    assert_eq!(checkpoint.config.family, Family::PlantCad2);
    assert_eq!(checkpoint.weights.parameter_count(), parameters as u64);
    assert_eq!(checkpoint.summary().n_heads, Some(2));
}

#[test]
fn a_vocabulary_that_is_not_known_is_an_error() {
    let mut parts = Parts::of("hf-mamba");
    let config = String::from_utf8(parts.config.clone()).unwrap();
    parts.config = config.replace("\"vocab_size\": 16", "\"vocab_size\": 32").into_bytes();
    let tensor = parts.find("backbone.embeddings.weight");
    tensor.2[0] = 32;
    tensor.3.extend_from_within(..);
    let message = parts.load().unwrap_err().to_string();
    assert!(message.contains("no tokenizer files and an embedding of 32 rows"), "{message}");
}

/// A folder with the files of a case, to be damaged.
fn copy(case: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(fixtures().join(case)).unwrap() {
        let file = file.unwrap();
        if file.file_name() != "expected.safetensors" {
            fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
    }
    folder
}

fn message(location: &Path) -> String {
    chain(&Checkpoint::load(location).unwrap_err())
}

#[test]
fn truncated_files_are_errors() {
    for (case, file, expected) in [
        ("caduceus-ph", "model.safetensors", "is truncated or not a safetensors file"),
        ("plantcaduceus", "pytorch_model.bin", "not a whole zip archive as torch.save writes it"),
    ] {
        let folder = copy(case);
        let path = folder.path().join(file);
        let bytes = fs::read(&path).unwrap();
        for len in [0, 1, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..len]).unwrap();
            let message = message(folder.path());
            assert!(message.contains(expected) && message.contains(file), "{len}: {message}");
        }
    }
}

#[test]
fn a_hostile_pickle_is_an_error_that_names_its_global() {
    let folder = copy("plantcaduceus");
    let path = folder.path().join("pytorch_model.bin");
    let mut bytes = fs::read(&path).unwrap();
    let global = b"ctorch._utils\n_rebuild_tensor_v2\n";
    let at = bytes.windows(global.len()).position(|window| window == global).unwrap();
    bytes[at..at + global.len()].copy_from_slice(b"cposix\nsystem\nX\x0d\x00\x00\x00touch hacked..");
    fs::write(&path, &bytes).unwrap();
    let message = message(folder.path());
    assert!(message.contains("global \"posix system\" is not allowed"), "{message}");
}

#[test]
fn an_alias_in_a_pickle_must_agree() {
    let folder = copy("plantcaduceus");
    let path = folder.path().join("pytorch_model.bin");
    let mut bytes = fs::read(&path).unwrap();
    let find =
        |from: usize, wanted: &[u8]| from + bytes[from..].windows(wanted.len()).position(|w| w == wanted).unwrap();
    let row_major = b"K\x30K\x01\x86";
    let at = find(find(0, b"lm_head.lm_head.weight"), row_major);
    bytes[at..at + row_major.len()].copy_from_slice(b"K\x01K\x08\x86");
    fs::write(&path, &bytes).unwrap();
    let differs = message(folder.path());
    let wrong = format!("{}: tensor \"lm_head.lm_head.weight\": expected the values of", path.display());
    assert!(differs.starts_with(&wrong), "{differs}");

    bytes[at..at + row_major.len()].copy_from_slice(b"K\x01K\x09\x86");
    fs::write(&path, &bytes).unwrap();
    let beyond = message(folder.path());
    assert!(beyond.contains("reach beyond its storage of 384"), "{beyond}");
}

#[test]
fn shards_are_read_through_their_index() {
    let folder = copy("caduceus-ps");
    let parts = Parts::of("caduceus-ps");
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let mut map = serde_json::Map::new();
    for (i, half) in parts.tensors.chunks(parts.tensors.len() / 2 + 1).enumerate() {
        let file = format!("model-{i}.safetensors");
        let views = half.iter().map(|(name, dtype, shape, data)| {
            (name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        fs::write(folder.path().join(&file), safetensors::serialize(views, None).unwrap()).unwrap();
        map.extend(half.iter().map(|(name, ..)| (name.clone(), file.clone().into())));
    }
    let index = folder.path().join("model.safetensors.index.json");
    let write = |map: &serde_json::Map<String, serde_json::Value>| {
        fs::write(&index, serde_json::json!({"metadata": {}, "weight_map": map}).to_string()).unwrap();
    };
    write(&map);
    assert_eq!(Checkpoint::load(folder.path()).unwrap().weights, load("caduceus-ps").weights);

    let moved = map.keys().find(|name| map[*name] == "model-0.safetensors").unwrap().clone();
    let mut wrong = map.clone();
    wrong[&moved] = "model-1.safetensors".into();
    write(&wrong);
    assert!(message(folder.path()).contains(&format!("tensor \"{moved}\" is in model-0.safetensors")));
    wrong[&moved] = "../model-0.safetensors".into();
    write(&wrong);
    assert!(message(folder.path()).contains("expected the name of a file beside the index"));
    let mut config: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("config.json")).unwrap()).unwrap();
    let layers = config["n_layer"].take();
    for (n_layer, file) in [(layers.as_u64().unwrap() - 1, "model-"), (layers.as_u64().unwrap() + 1, "index.json")] {
        config["n_layer"] = n_layer.into();
        write(&map);
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let message = message(folder.path());
        let (origin, _) = message.split_once(": tensor \"").unwrap();
        assert!(origin.contains(file), "{message}");
    }
    write(&map);
    fs::remove_file(folder.path().join("model-1.safetensors")).unwrap();
    assert!(message(folder.path()).contains("model-1.safetensors"));
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(message(folder.path()).contains("has none of model.safetensors"));
    assert!(message(&folder.path().join("none")).contains("no such file or folder"));
    fs::copy(fixtures().join("hf-mamba/model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    assert!(message(folder.path()).contains("config.json"));
    fs::write(folder.path().join("config.json"), "{").unwrap();
    assert!(message(folder.path()).contains("not valid JSON"));
}
