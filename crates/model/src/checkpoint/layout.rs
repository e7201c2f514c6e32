//! Which tensor is which: from names in a file to [`Weights`].

use super::tensors::Tensors;
use super::{CheckpointError, NormWeights, Weights};
use crate::config::{ClassifierPooling, Config, Head, Naming, NormKind};

mod mixer;

use mixer::layer;

/// Takes every tensor that a model of `config` has, and nothing else may be there.
pub(super) fn weights(tensors: &mut Tensors, config: &Config) -> Result<Weights, CheckpointError> {
    let names = Names::find(tensors, config);
    complement_maps(tensors, config, &names)?;
    let (lm_head, score) = heads(tensors, config, &names)?;
    let weights = Weights {
        embedding: tensors.take(&names.embedding, &[config.vocab_size, config.d_model])?,
        layers: (0..config.n_layer).map(|i| layer(tensors, config, &names, i)).collect::<Result<_, _>>()?,
        norm_f: norm(tensors, config, &format!("{}norm_f.{}", names.backbone, names.norm_wrapper))?,
        lm_head,
        score,
    };
    tensors.finish()?;
    Ok(weights)
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
    backbone: String,
    /// The embedding's full name.
    embedding: String,
    /// Between a mixer or an unfused norm of an RCPS model and its tensors.
    mixer_wrapper: &'static str,
    norm_wrapper: &'static str,
}

impl Names {
    fn find(tensors: &Tensors, config: &Config) -> Self {
        let bare = config.head == Head::None;
        let backbone = match config.naming {
            Naming::Caduceus if bare => "backbone.",
            Naming::Caduceus => "caduceus.backbone.",
            Naming::HuggingFace if bare => "",
            Naming::HuggingFace | Naming::StateSpaces => "backbone.",
        };
        let wrapper = |wrapped: bool| if wrapped { "submodule." } else { "" };
        Self {
            backbone: backbone.into(),
            embedding: format!("{backbone}{}", embedding_name(tensors, config, backbone)),
            mixer_wrapper: wrapper(config.rcps.is_some()),
            norm_wrapper: wrapper(config.rcps.as_ref().is_some_and(|rcps| !rcps.fused_add_norm)),
        }
    }
}

/// Early exports of transformers kept the name of state-spaces, as transformers still reads it.
fn embedding_name(tensors: &Tensors, config: &Config, backbone: &str) -> &'static str {
    const STATE_SPACES: &str = "embedding.weight";
    match config.naming {
        Naming::Caduceus if config.rcps.is_some() => "embeddings.word_embeddings.embedding.weight",
        Naming::Caduceus => "embeddings.word_embeddings.weight",
        Naming::StateSpaces => STATE_SPACES,
        Naming::HuggingFace if tensors.has(&format!("{backbone}{STATE_SPACES}")) => STATE_SPACES,
        Naming::HuggingFace => "embeddings.weight",
    }
}

/// Checks the buffers of an RCPS model, which must repeat the config's map.
fn complement_maps(tensors: &mut Tensors, config: &Config, names: &Names) -> Result<(), CheckpointError> {
    let Some(rcps) = &config.rcps else {
        return Ok(());
    };
    let expected: Vec<i64> = rcps.complement_map.iter().map(|&id| i64::from(id)).collect();
    let mut buffers = vec![format!("{}embeddings.word_embeddings.complement_map", names.backbone)];
    if matches!(config.head, Head::LanguageModel { .. }) {
        buffers.push("lm_head.complement_map".into());
    }
    for name in buffers {
        tensors.take_repeated(&name, &expected, "complement_map of config.json")?;
    }
    Ok(())
}

type OptionalMatrix = Option<Vec<f32>>;

/// The language-model and the classification head.
fn heads(
    tensors: &mut Tensors,
    config: &Config,
    names: &Names,
) -> Result<(OptionalMatrix, OptionalMatrix), CheckpointError> {
    let shape = [config.vocab_size, config.d_model];
    let lm_head = if config.rcps.is_some() { "lm_head.lm_head.weight" } else { "lm_head.weight" };
    match config.head {
        Head::None => Ok((None, None)),
        Head::LanguageModel { tied: true } => {
            tensors.take_alias(lm_head, &names.embedding, &shape)?;
            Ok((None, None))
        }
        Head::LanguageModel { tied: false } => Ok((Some(tensors.take(lm_head, &shape)?), None)),
        Head::SequenceClassification { n_labels, .. } => {
            Ok((None, Some(tensors.take("score.weight", &[n_labels, config.d_model])?)))
        }
    }
}

fn norm(tensors: &mut Tensors, config: &Config, prefix: &str) -> Result<NormWeights, CheckpointError> {
    let shape = [config.d_model];
    let weight = tensors.take(&format!("{prefix}weight"), &shape)?;
    let bias = match config.norm.kind {
        NormKind::Rms => None,
        NormKind::Layer => Some(tensors.take(&format!("{prefix}bias"), &shape)?),
    };
    Ok(NormWeights { weight, bias })
}
