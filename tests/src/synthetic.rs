//! Models with random weights of any size, initialised as published, for tests and benchmarks that need a shape rather
//! than a trained model.

use std::{collections::BTreeMap, fs, path::Path};

use longstrand_model::checkpoint::Checkpoint;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

/// The families that can be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// HF `mamba`: causal.
    Mamba,
    /// HF `mamba2`: causal.
    Mamba2,
    /// Caduceus-Ph: bidirectional, tied, add.
    CaduceusPh,
    /// Caduceus-PS: the same with RCPS, fused.
    CaduceusPs,
}

/// A model's shape.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The family.
    pub family: Family,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of layers.
    pub n_layer: usize,
}

const VOCABULARY: usize = 16;
const STATES: usize = 16;
const TAPS: usize = 4;
/// Head width and states of Mamba-2, as published but for small models.
const HEAD_DIM: usize = 32;
const STATES_2: usize = 64;

impl Shape {
    /// A checkpoint of this shape; the same one for the same seed.
    pub fn checkpoint(&self, seed: u64) -> Checkpoint {
        let name = format!("{:?}-d{}-l{}", self.family, self.d_model, self.n_layer);
        Checkpoint::from_bytes(&name, self.config().to_string().as_bytes(), &self.weights(seed))
            .expect("a synthetic checkpoint is whole")
    }

    /// Writes the checkpoint of [`Shape::checkpoint`] as a Hugging Face folder.
    pub fn write(&self, seed: u64, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder for the checkpoint");
        fs::write(folder.join("config.json"), self.config().to_string()).expect("config.json");
        fs::write(folder.join("model.safetensors"), self.weights(seed)).expect("model.safetensors");
    }

    fn config(&self) -> Value {
        let Self { d_model: d, n_layer, family } = *self;
        match family {
            Family::Mamba => json!({
                "model_type": "mamba", "architectures": ["MambaForCausalLM"], "hidden_size": d,
                "num_hidden_layers": n_layer, "vocab_size": VOCABULARY, "state_size": STATES,
                "conv_kernel": TAPS, "expand": 2, "time_step_rank": rank(d), "layer_norm_epsilon": 1e-5,
                "use_bias": false, "use_conv_bias": true, "hidden_act": "silu",
            }),
            Family::Mamba2 => json!({
                "model_type": "mamba2", "architectures": ["Mamba2ForCausalLM"], "hidden_size": d,
                "num_hidden_layers": n_layer, "vocab_size": VOCABULARY, "state_size": STATES_2,
                "conv_kernel": TAPS, "expand": 2, "head_dim": HEAD_DIM, "num_heads": 2 * d / HEAD_DIM,
                "n_groups": 1, "layer_norm_epsilon": 1e-5, "use_bias": false, "use_conv_bias": true,
                "hidden_act": "silu", "rms_norm": true, "tie_word_embeddings": true,
            }),
            Family::CaduceusPh | Family::CaduceusPs => json!({
                "model_type": "caduceus", "architectures": ["CaduceusForMaskedLM"], "d_model": d,
                "n_layer": n_layer, "vocab_size": VOCABULARY, "pad_vocab_size_multiple": 8,
                "ssm_cfg": {"d_state": STATES, "d_conv": TAPS, "expand": 2, "dt_rank": "auto",
                            "conv_bias": true, "bias": false},
                "rms_norm": true, "fused_add_norm": true, "norm_epsilon": 1e-5, "bidirectional": true,
                "bidirectional_strategy": "add", "bidirectional_weight_tie": true,
                "rcps": family == Family::CaduceusPs,
                "complement_map": if family == Family::CaduceusPs { complement_map() } else { Value::Null },
            }),
        }
    }

    fn weights(&self, seed: u64) -> Vec<u8> {
        let mut tensors = Tensors { random: Random(seed), map: BTreeMap::new() };
        let caduceus = matches!(self.family, Family::CaduceusPh | Family::CaduceusPs);
        let embedding = match self.family {
            Family::CaduceusPs => "caduceus.backbone.embeddings.word_embeddings.embedding.weight",
            Family::CaduceusPh => "caduceus.backbone.embeddings.word_embeddings.weight",
            _ => "backbone.embeddings.weight",
        };
        tensors.uniform(embedding, &[VOCABULARY, self.d_model], 1.0);
        let backbone = if caduceus { "caduceus.backbone" } else { "backbone" };
        for layer in 0..self.n_layer {
            let layer = format!("{backbone}.layers.{layer}");
            tensors.constant(&format!("{layer}.norm.weight"), self.d_model, 1.0);
            match self.family {
                Family::Mamba => tensors.mamba(&format!("{layer}.mixer"), self.d_model, true),
                Family::Mamba2 => tensors.mamba2(&format!("{layer}.mixer"), self.d_model),
                Family::CaduceusPh => tensors.pair(&format!("{layer}.mixer"), self.d_model),
                Family::CaduceusPs => tensors.pair(&format!("{layer}.mixer.submodule"), self.d_model),
            }
        }
        tensors.constant(&format!("{backbone}.norm_f.weight"), self.d_model, 1.0);
        if self.family == Family::CaduceusPs {
            tensors.complement_map("caduceus.backbone.embeddings.word_embeddings.complement_map");
            tensors.complement_map("lm_head.complement_map");
        }
        tensors.serialize()
    }
}

fn rank(d_model: usize) -> usize {
    d_model.div_ceil(16)
}

/// A ↔ T, C ↔ G; the rest are their own complements.
fn complements() -> impl Iterator<Item = i64> {
    (0..VOCABULARY as i64).map(|id| if (7..=10).contains(&id) { 17 - id } else { id })
}

fn complement_map() -> Value {
    complements().enumerate().map(|(id, complement)| (id.to_string(), json!(complement))).collect()
}

struct Tensors {
    random: Random,
    map: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

impl Tensors {
    fn put(&mut self, name: &str, shape: &[usize], values: impl Iterator<Item = f32>) {
        let bytes = values.flat_map(f32::to_le_bytes).collect();
        self.map.insert(name.into(), (Dtype::F32, shape.to_vec(), bytes));
    }

    /// Uniform in ±`bound`.
    fn uniform(&mut self, name: &str, shape: &[usize], bound: f32) {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| bound * (2.0 * self.random.unit() - 1.0)).collect();
        self.put(name, shape, values.into_iter());
    }

    /// A weight `[out, in]`, uniform in ± 1/√in.
    fn linear(&mut self, name: &str, n_out: usize, n_in: usize) {
        self.uniform(name, &[n_out, n_in], (n_in as f32).powf(-0.5));
    }

    fn constant(&mut self, name: &str, len: usize, value: f32) {
        self.put(name, &[len], std::iter::repeat_n(value, len));
    }

    /// The inverse softplus of steps that are log-uniform in [0.001, 0.1].
    fn step_bias(&mut self, name: &str, len: usize) {
        let values: Vec<f32> = (0..len)
            .map(|_| (0.001_f32.ln() + self.random.unit() * 100_f32.ln()).exp())
            .map(|step| step + (-(-step).exp_m1()).ln())
            .collect();
        self.put(name, &[len], values.into_iter());
    }

    fn mamba(&mut self, at: &str, d: usize, projections: bool) {
        let inner = 2 * d;
        let states = (0..inner).flat_map(|_| (1..=STATES).map(|n| (n as f32).ln()));
        self.put(&format!("{at}.A_log"), &[inner, STATES], states);
        self.constant(&format!("{at}.D"), inner, 1.0);
        self.uniform(&format!("{at}.conv1d.weight"), &[inner, 1, TAPS], 0.5);
        self.uniform(&format!("{at}.conv1d.bias"), &[inner], 0.5);
        self.linear(&format!("{at}.x_proj.weight"), rank(d) + 2 * STATES, inner);
        self.linear(&format!("{at}.dt_proj.weight"), inner, rank(d));
        self.step_bias(&format!("{at}.dt_proj.bias"), inner);
        if projections {
            self.linear(&format!("{at}.in_proj.weight"), 2 * inner, d);
            self.linear(&format!("{at}.out_proj.weight"), d, inner);
        }
    }

    fn pair(&mut self, at: &str, d: usize) {
        self.mamba(&format!("{at}.mamba_fwd"), d, true);
        self.mamba(&format!("{at}.mamba_rev"), d, false);
    }

    fn mamba2(&mut self, at: &str, d: usize) {
        let (inner, heads) = (2 * d, 2 * d / HEAD_DIM);
        let channels = inner + 2 * STATES_2;
        self.linear(&format!("{at}.in_proj.weight"), inner + channels + heads, d);
        self.uniform(&format!("{at}.conv1d.weight"), &[channels, 1, TAPS], 0.5);
        self.uniform(&format!("{at}.conv1d.bias"), &[channels], 0.5);
        self.step_bias(&format!("{at}.dt_bias"), heads);
        self.put(&format!("{at}.A_log"), &[heads], (0..heads).map(|h| (1.0 + (h % 16) as f32).ln()));
        self.constant(&format!("{at}.D"), heads, 1.0);
        self.constant(&format!("{at}.norm.weight"), inner, 1.0);
        self.linear(&format!("{at}.out_proj.weight"), d, inner);
    }

    fn complement_map(&mut self, name: &str) {
        let bytes = complements().flat_map(i64::to_le_bytes).collect();
        self.map.insert(name.into(), (Dtype::I64, vec![VOCABULARY], bytes));
    }

    fn serialize(&self) -> Vec<u8> {
        let views = self.map.iter().map(|(name, (dtype, shape, bytes))| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).expect("bytes of the shape"))
        });
        safetensors::serialize(views, None).expect("a safetensors file")
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// Uniform in [0, 1).
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 40) as f32 / (1_u32 << 24) as f32
    }
}

/// Pseudo-random bases of a Caduceus vocabulary.
pub fn ids(len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    (0..len).map(|_| 7 + (random.unit() * 4.0) as u8).collect()
}
