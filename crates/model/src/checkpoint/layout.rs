//! Which tensor is which: the names and shapes of a model's tensors in a file, for reading and for writing.

use super::tensors::Tensors;
use super::{NormWeights, Weights};
use crate::config::{ClassifierPooling, Config, Head, Naming, NormKind};

mod mixer;
mod source;
mod spec;

use mixer::layer;
use source::Source;

pub(super) use spec::contents;
pub use spec::{NamedTensor, NamedTensorMut, TensorSpec};

/// Reads the tensors of a model of `config`; nothing else may be there.
pub(super) fn read(tensors: &mut Tensors, config: &Config) -> Result<Weights, super::CheckpointError> {
    let mut names = Names::of(config);
    names.accept_legacy_embedding(config, tensors);
    let weights = weights(tensors, config, &names)?;
    tensors.finish()?;
    Ok(weights)
}

/// Asks `source` for every tensor of a model of `config`, each once, in the order of [`Weights::tensors`].
fn weights<S, F: Source<S>>(source: &mut F, config: &Config, names: &Names) -> Result<Weights<S>, F::Error> {
    complement_maps(source, config, names)?;
    let shape = [config.vocab_size, config.d_model];
    if config.head == (Head::LanguageModel { tied: true }) {
        source.copy(names.lm_head, &names.embedding, &shape)?;
    }
    Ok(Weights {
        embedding: source.tensor(&names.embedding, &shape)?,
        layers: (0..config.n_layer).map(|i| layer(source, config, names, i)).collect::<Result<_, _>>()?,
        norm_f: norm(source, config, &format!("{}norm_f.{}", names.backbone, names.norm_wrapper))?,
        lm_head: match config.head {
            Head::LanguageModel { tied: false } => Some(source.tensor(names.lm_head, &shape)?),
            _ => None,
        },
        score: match config.head {
            Head::SequenceClassification { n_labels, .. } => {
                Some(source.tensor("score.weight", &[n_labels, config.d_model])?)
            }
            _ => None,
        },
    })
}

/// The head of a checkpoint whose config names the bare model although a model with a head wrote its tensors.
pub(super) fn head(tensors: &Tensors, config: &Config) -> Head {
    let with_head = match config.naming {
        Naming::Caduceus => "caduceus.",
        Naming::HuggingFace | Naming::StateSpaces => "backbone.",
    };
    match config.head {
        Head::None if tensors.names().any(|name| name.starts_with(with_head)) => match tensors.shape("score.weight") {
            Some(&[n_labels, _]) => Head::SequenceClassification { n_labels, pooling: ClassifierPooling::Mean },
            _ => Head::LanguageModel { tied: config.rcps.is_some() || !tensors.has("lm_head.weight") },
        },
        head => head,
    }
}

/// The parts of names that differ between writers.
struct Names {
    /// Before every name of the backbone.
    backbone: &'static str,
    /// The embedding's full name.
    embedding: String,
    /// Between a mixer or an unfused norm of an RCPS model and its tensors.
    mixer_wrapper: &'static str,
    norm_wrapper: &'static str,
    /// The language-model head's full name.
    lm_head: &'static str,
}

/// The embedding as state-spaces calls it, behind the backbone's prefix.
const STATE_SPACES_EMBEDDING: &str = "embedding.weight";

impl Names {
    fn of(config: &Config) -> Self {
        let bare = config.head == Head::None;
        let is_rcps = config.rcps.is_some();
        let backbone = match config.naming {
            Naming::Caduceus if bare => "backbone.",
            Naming::Caduceus => "caduceus.backbone.",
            Naming::HuggingFace if bare => "",
            Naming::HuggingFace | Naming::StateSpaces => "backbone.",
        };
        let embedding = match config.naming {
            Naming::Caduceus if is_rcps => "embeddings.word_embeddings.embedding.weight",
            Naming::Caduceus => "embeddings.word_embeddings.weight",
            Naming::StateSpaces => STATE_SPACES_EMBEDDING,
            Naming::HuggingFace => "embeddings.weight",
        };
        let wrapper = |wrapped: bool| if wrapped { "submodule." } else { "" };
        Self {
            backbone,
            embedding: format!("{backbone}{embedding}"),
            mixer_wrapper: wrapper(is_rcps),
            norm_wrapper: wrapper(config.rcps.as_ref().is_some_and(|rcps| !rcps.fused_add_norm)),
            lm_head: if is_rcps { "lm_head.lm_head.weight" } else { "lm_head.weight" },
        }
    }

    /// Early exports of transformers kept the embedding's name of state-spaces, as transformers still reads it.
    fn accept_legacy_embedding(&mut self, config: &Config, tensors: &Tensors) {
        let legacy = format!("{}{STATE_SPACES_EMBEDDING}", self.backbone);
        if config.naming == Naming::HuggingFace && tensors.has(&legacy) {
            self.embedding = legacy;
        }
    }
}

/// The buffers of an RCPS model, which repeat the config's map.
fn complement_maps<S, F: Source<S>>(source: &mut F, config: &Config, names: &Names) -> Result<(), F::Error> {
    let Some(rcps) = &config.rcps else {
        return Ok(());
    };
    let ids: Vec<i64> = rcps.complement_map.iter().map(|&id| i64::from(id)).collect();
    source.buffer(&format!("{}embeddings.word_embeddings.complement_map", names.backbone), &ids)?;
    if matches!(config.head, Head::LanguageModel { .. }) {
        source.buffer("lm_head.complement_map", &ids)?;
    }
    Ok(())
}

fn norm<S, F: Source<S>>(source: &mut F, config: &Config, prefix: &str) -> Result<NormWeights<S>, F::Error> {
    let shape = [config.d_model];
    let weight = source.tensor(&format!("{prefix}weight"), &shape)?;
    let bias = match config.norm.kind {
        NormKind::Rms => None,
        NormKind::Layer => Some(source.tensor(&format!("{prefix}bias"), &shape)?),
    };
    Ok(NormWeights { weight, bias })
}
